"""Arrivals against the plainest account of them: a list of (message, time)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.arrivals import MAX_ROWS, Arrivals, Latencies, by_message

HOUR = 3_600_000_000_000
UPTIME = st.sampled_from([0, 1_000, 11 * 24 * HOUR])
"""Where a monotonic clock stands: sums of times of a machine that is up for long exceed 64 bits."""


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10**10)), min_size=1, max_size=200),
    UPTIME,
    st.sampled_from([1, MAX_ROWS]),
    st.booleans(),
)
def test_each_message_gets_its_own_times_in_order(
    pairs: list[tuple[int, int]], uptime: int, stride: int, long: bool
) -> None:
    """However far rows and times lie apart, nothing moves from one message to another, and sums are exact."""
    deliveries = [(row * stride, uptime + at) for row, at in pairs]
    if long:
        deliveries.append((0, uptime + 2 * HOUR))  # more than the short way of sorting can hold
    found = {
        row: (part.times.tolist(), part.first_ns, part.last_ns, part.sum_ns)
        for row, part in by_message(ints(*(row for row, _ in deliveries)), ints(*(at for _, at in deliveries)))
    }
    plain: dict[int, list[int]] = {}
    for row, at in sorted(deliveries):
        plain.setdefault(row, []).append(at)
    assert found == {row: (times, times[0], times[-1], sum(times)) for row, times in plain.items()}
    assert list(found) == sorted(found)


@given(
    st.lists(st.lists(st.integers(-50, 10**9), min_size=1, max_size=20).map(sorted), min_size=1, max_size=5),
    UPTIME,
)
def test_first_last_sum_and_median_are_exact_in_whatever_portions(portions: list[list[int]], uptime: int) -> None:
    """Portions that overlap in time are one message; what came before it was meant to be sent counts as 0."""
    intended = uptime + 100
    parts = [Arrivals.of(ints(*(intended + late for late in portion))) for portion in portions]
    plain = sorted(max(0, late) for portion in portions for late in portion)
    latencies = Latencies()
    expected = (plain[0], plain[-1], sum(plain), plain[(len(plain) - 1) // 2])
    assert latencies.of(parts, intended) == expected
    assert latencies.of(parts, intended) == expected


def test_neighbours_that_came_apart_are_told_apart() -> None:
    """What is remembered of a message is for those alone that reached the same members at the same times."""
    latencies, near, far = Latencies(), Arrivals.of(ints(7, 8)), Arrivals.of(ints(7, 8, 90))
    found = [latencies.of(parts, 0)[3] for parts in ([near], [far], [near, far], [far])]
    assert found == [7, 8, 8, 8]


def test_a_message_that_reached_nobody_has_no_latencies() -> None:
    """Nothing is not zero."""
    assert Latencies().of([], 5) == (None, None, 0, None)


def test_the_sum_of_ten_thousand_times_after_eleven_days_is_exact() -> None:
    """It does not fit into 64 bits."""
    start = 11 * 24 * HOUR
    times = np.arange(start, start + 10_000, dtype=np.int64)
    assert Arrivals.of(times).sum_ns == sum(range(start, start + 10_000)) > 2**63


@pytest.mark.parametrize("span", [0, (1 << 42) - 1, 1 << 42])
def test_the_way_of_sorting_changes_without_a_seam(span: int) -> None:
    """At the border between one integer and two keys the answer is the same."""
    found = [(row, part.times.tolist()) for row, part in by_message(ints(3, 3, 1), ints(span, 0, span))]
    assert found == [(1, [span]), (3, [0, span])]
