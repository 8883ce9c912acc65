"""Where time went: samples are charged to what somebody can change."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stacks import by_part, self_time

MAIN = "run (trio/_core/_run.py:2532);Sweeper.run (scalechat/server/fanout.py:153)"


def test_a_system_call_is_the_kernels() -> None:
    """Under whichever of the C library's names it is seen."""
    for name in ("send", "__send", "__libc_send"):
        (spent,) = self_time([f"{MAIN};sock_send (socketmodule.c:4196);{name} (libc.so.6) 3"])
        assert (spent.part, spent.function, spent.share) == ("kernel", "send()", 1.0)


def test_native_code_is_charged_to_the_python_function_that_called_it() -> None:
    """One's own lines and what they call in C are one thing to whoever would change them."""
    spent = self_time([f"{MAIN};list_append (libpython3.11.so.1.0) 1", f"{MAIN} 2"])
    assert [(s.part, s.function) for s in spent] == [("Scale-Chat", "Sweeper.run (server/fanout.py)")]


def test_a_collection_is_nobodys_code() -> None:
    """The collector runs wherever an allocation was one too many."""
    (spent,) = self_time([f"{MAIN};gc_collect_main (libpython3.11.so.1.0);visit_decref (libpython3.11.so.1.0) 1"])
    assert spent.part == "garbage collector"


def test_parts_are_sums() -> None:
    """By package, largest first."""
    lines = [f"{MAIN} 5", "main (a.py:1);f (trio/x.py:2) 2", "main (a.py:1);g (trio/y.py:9) 2", "not a stack"]
    assert by_part(self_time(lines)) == [("Scale-Chat", 5 / 9), ("Trio", 4 / 9)]


@given(st.lists(st.tuples(st.sampled_from([MAIN, "f (trio/x.py:1)", "0x7f (libc.so.6)"]), st.integers(1, 99))))
def test_shares_are_of_one_whole(stacks: list[tuple[str, int]]) -> None:
    """Nothing is lost and nothing counted twice."""
    spent = self_time(f"{stack} {count}" for stack, count in stacks)
    assert not stacks or abs(sum(s.share for s in spent) - 1) < 1e-9
