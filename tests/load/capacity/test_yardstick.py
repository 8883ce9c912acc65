"""The same work again and again: a machine that was not the same all along is said so."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from scalechat.load.capacity.searching import MOST_DISTURBED
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
    "measured, seen, waits",
    [
        ([5.0, 5.2, 5.1], [5.0, 5.2, 5.1], 0),
        ([5.0, 6.5, 6.4, 5.1, 5.0], [5.0, 5.1, 5.0], 1),
        ([5.0, *[6.5] * 6, 5.0], [5.0, 6.5, 5.0], 1),
    ],
    ids=["steady", "slow for a moment", "slow for longer than it waits"],
)
async def test_a_probe_waits_until_the_machine_is_itself(
    measured: list[float], seen: list[float], waits: int, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Not for ever; and what holds on a slower machine counts: there is nothing to be careful about."""
    told, watcher = iter(measured), Memory()
    found = await virtual_search(
        Saturating(9), tmp_path, clients=2, max_value=4, yardstick=lambda: next(told), watcher=watcher
    )
    assert (found.text, found.caution) == ("at least 4 clients: that is --max", None)
    assert list(told) == []
    said = [note.strip() for note in watcher.notes if "slower than it was" in note]
    assert said == ["the machine is slower than it was (6.5 to 5.0 ms): waiting"] * waits
    assert [row.yardstick_ms for row in read_run(found.search_dir).rows(SearchRow)] == seen


async def test_what_did_not_hold_on_a_slow_machine_does_not_count(autojump_clock: MockClock, tmp_path: Path) -> None:
    """It is tried again, and stands in the table with the reason."""
    looks = itertools.count()
    found = await virtual_search(
        Saturating(5), tmp_path, clients=4, yardstick=lambda: 6.5 if next(looks) == 2 else 5.0, resolution=0.3
    )
    assert found.caution is None
    rows = [(row.step, row.value, row.outcome) for row in read_run(found.search_dir).rows(SearchRow)]
    assert rows[:3] == [("first", 4, "held"), ("double", 8, "disturbed"), ("repeat", 8, "failed")]
    disturbed = list(read_run(found.search_dir).rows(SearchRow))[1]
    assert str(disturbed.reason).startswith("the machine was slower than it can be (6.5 to 5.0 ms); p99(delivery)")


async def test_a_machine_that_stays_slow_has_an_answer_and_a_caution(autojump_clock: MockClock, tmp_path: Path) -> None:
    """After so many probes that did not count they do, and it is said beside the answer."""
    looks = itertools.count()
    found = await virtual_search(
        Saturating(5),
        tmp_path,
        clients=4,
        yardstick=lambda: 6.5 if next(looks) > 1 else 5.0,
        resolution=0.3,
        calm_timeout_s=1.0,
    )
    run = read_run(found.search_dir)
    outcomes = [row.outcome for row in run.rows(SearchRow)]
    assert outcomes.count("disturbed") == MOST_DISTURBED
    assert found.text == "5 clients held, 6 did not"
    assert "took 5.0 to 6.5 ms beside probes that did not hold" in str(found.caution)
    assert run.manifest is not None
    assert run.manifest.search is not None
    assert run.manifest.search.caution == found.caution
