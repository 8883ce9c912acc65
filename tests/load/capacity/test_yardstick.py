"""The same work again and again: a machine that was not the same all along is said so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from scalechat.load.capacity.yardstick import STEADY, caution, lay
from scalechat.load.results import SearchRow, read_run
from tests.load.worlds import Memory

from .worlds import Saturating, virtual_search


def test_the_work_takes_some_ms_and_leaves_the_process_where_it_was() -> None:
    """CPU time, of which a machine that runs the tests has some; on each core."""
    before = os.sched_getaffinity(0)
    assert 0.1 < lay() < 1_000
    assert os.sched_getaffinity(0) == before


@given(st.floats(1, 1_000), st.lists(st.floats(1, 2), min_size=1))
def test_a_caution_is_given_when_the_slowest_is_far_from_the_fastest(fastest_ms: float, factors: list[float]) -> None:
    """In whatever order they come, and whatever the machine."""
    measured = [fastest_ms, *(fastest_ms * factor for factor in factors)]
    assert (caution(measured) is not None) == (max(measured) > STEADY * min(measured))
    assert caution(measured[::-1]) == caution(measured)


def test_nothing_is_said_of_a_machine_that_was_not_measured() -> None:
    assert caution([]) is None


@pytest.mark.parametrize(
    "measured, seen, said",
    [
        ([5.0, 5.2, 5.1], [5.0, 5.2, 5.1], None),
        ([5.0, 6.5, 6.4, 5.1, 5.0], [5.0, 5.1, 5.0], None),
        ([5.0, *[6.5] * 6, 5.0], [5.0, 6.5, 5.0], "took 5.0 to 6.5 ms"),
    ],
)
async def test_a_probe_waits_until_the_machine_is_itself(
    measured: list[float], seen: list[float], said: str | None, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Not for ever: what was slower then stands with its probe, and beside the answer."""
    told, watcher = iter(measured), Memory()
    found = await virtual_search(
        Saturating(9), tmp_path, clients=2, max_value=4, yardstick=lambda: next(told), watcher=watcher
    )
    assert found.text == "at least 4 clients: that is --max"
    assert list(told) == []
    waits = [note.strip() for note in watcher.notes if "slower than it was" in note]
    assert waits == ["the machine is slower than it was (6.5 to 5.0 ms): waiting"] * (len(measured) > 3)
    run = read_run(found.search_dir)
    assert run.manifest is not None
    assert run.manifest.search is not None
    assert run.manifest.search.caution == found.caution
    assert found.caution is None if said is None else said in str(found.caution)
    assert [row.yardstick_ms for row in run.rows(SearchRow)] == seen
