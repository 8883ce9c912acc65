"""What other processes publish is known by its first sight here, and in full when they have told of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load.elsewhere import Elsewhere
from scalechat.load.plan import Plan, Share


def shared_room(clients: int = 4) -> tuple[Plan, Elsewhere, list[int]]:
    """One room dealt out over two processes, seen from the first; the publishers of the second."""
    plan = Plan.of(LoadConfig(clients=clients), 1, Share(0, 2))
    return plan, Elsewhere(plan), [client for client in range(clients) if not plan.is_mine(client)]


@given(
    st.lists(st.integers(1, 20), max_size=30),
    st.integers(0, 25),
    st.sets(st.integers(1, 25), max_size=6),
)
def test_what_nobody_saw_is_what_was_published_and_owed_and_not_seen(
    seen: list[int], published: int, refused: set[int]
) -> None:
    """In stretches, whatever came in whatever order."""
    _plan, elsewhere, (foreign, *_) = shared_room()
    news = [elsewhere.see(foreign, number) for number in seen]
    assert sum(bool(new) for new in news) == len(set(seen))
    published = max([published, *seen])
    unowed = refused - set(seen)
    elsewhere.announce(foreign, published, unowed)
    unseen = {n for who, low, high in elsewhere.unseen(0) if who == foreign for n in range(low, high + 1)}
    assert unseen == set(range(1, published + 1)) - set(seen) - unowed
    assert elsewhere.see(foreign, published + 1) is None


def test_until_a_process_has_told_a_message_may_have_any_number_that_the_plan_allows() -> None:
    """A number beyond what any publisher reaches was never published, whoever brings it."""
    _plan, elsewhere, (foreign, *_) = shared_room()
    elsewhere.most = 7
    assert elsewhere.see(foreign, 7) is True
    assert elsewhere.see(foreign, 8) is None
    assert elsewhere.published(foreign) == 7, "as far as is known here"


def test_it_is_complete_when_every_publisher_elsewhere_has_said_its_last_word() -> None:
    """By their slots in the room, which are what a ledger is a list of."""
    plan, elsewhere, (first, second) = shared_room()
    assert list(elsewhere.publishers(0)) == [first, second]
    assert elsewhere.slots(0) == {plan.slot_of(first), plan.slot_of(second)}
    elsewhere.announce(first, 3, unowed=[2, 1], refused=[2])
    assert (elsewhere.unowed[first], elsewhere.refused[first]) == ([1, 2], [2])
    elsewhere.announce(second, 3, final=False)
    assert (elsewhere.is_final(first), elsewhere.is_final(second), elsewhere.is_complete) == (True, False, False)
    elsewhere.announce(second, 4)
    assert elsewhere.is_complete


def test_a_room_that_is_whole_has_no_publishers_elsewhere() -> None:
    """Nor has the room of a process that is alone."""
    for plan in (Plan.of(LoadConfig(clients=8, rooms=4), 1, Share(0, 2)), Plan.of(LoadConfig(clients=8), 1)):
        assert [list(Elsewhere(plan).publishers(room)) for room in range(plan.rooms)] == [[]] * plan.rooms


@given(st.integers(-(10**12), 10**12))
def test_times_of_another_machine_are_moved_to_the_clock_of_this_one(shift_ns: int) -> None:
    """Only of the process whose clock differs; without any, times are what they were."""
    plan, elsewhere, (foreign, *_) = shared_room()
    assert elsewhere.ours_ns(foreign, 100) == 100
    elsewhere.shift_ns[plan.worker_of(foreign)] = shift_ns
    assert elsewhere.ours_ns(foreign, 100) == 100 + shift_ns
    assert elsewhere.theirs_ns(foreign, elsewhere.ours_ns(foreign, 100)) == 100
    assert elsewhere.ours_ns(plan.mine()[0], 100) == 100
