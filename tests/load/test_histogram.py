"""Histograms: every value in its bucket, merging exact, percentiles never too low nor stated without samples."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.histogram import MAX_NS, MIN_BEYOND, Histogram

VALUES = st.lists(st.integers(-(2**40), 2**46), min_size=1, max_size=200)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add(np.array(values, dtype=np.int64))
    return histogram


@given(VALUES)
def test_each_value_is_counted_in_the_bucket_that_holds_it(values: list[int]) -> None:
    """Buckets are disjoint, ascending and at most 1/64 of their lower edge wide; the last takes all beyond."""
    buckets = list(histogram_of(values).buckets())
    for (_, high, _), (low, _, _) in itertools.pairwise(buckets):
        assert high <= low
    for low, high, count in buckets:
        held = [min(max(value, -MAX_NS), MAX_NS) for value in values]
        assert count == sum(low <= value < high for value in held)
        assert high - low <= max(1, max(abs(low), abs(high)) / 64)
    assert sum(count for _, _, count in buckets) == len(values)


@given(VALUES, VALUES)
def test_merging_is_counting_everything_at_once(some: list[int], others: list[int]) -> None:
    """However the values were split over windows and workers."""
    merged = histogram_of(some)
    merged.merge(histogram_of(others))
    whole = histogram_of(some + others)
    assert list(merged.buckets()) == list(whole.buckets())
    assert (merged.count, merged.sum_ns, merged.min_ns, merged.max_ns) == (
        *(whole.count, whole.sum_ns),
        *(whole.min_ns, whole.max_ns),
    )


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.floats(0.01, 1))
def test_a_quantile_is_the_ordered_value_to_within_a_bucket(values: list[int], q: float) -> None:
    """Never below the true one: an objective that is met by the figure is met."""
    histogram = histogram_of(values)
    found = histogram.quantile_ns(q, min_beyond=0)
    true = sorted(values)[max(0, int(np.ceil(q * len(values) - 1e-9)) - 1)]
    assert found is not None
    assert true <= found <= true * (1 + 1 / 64) + 1


@given(st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_a_percentile_needs_ten_samples_beyond_it(count: int, q: float) -> None:
    """p99 needs a thousand. The maximum needs one."""
    histogram = Histogram()
    histogram.add_many(5, count)
    enough = round(count * (1 - q), 6) >= MIN_BEYOND
    assert (histogram.quantile_ns(q) is not None) == enough
    assert histogram.quantile_ns(1) == 5


@given(VALUES)
def test_many_of_one_value_count_like_each_alone(values: list[int]) -> None:
    """`add_many` is `add` without the array."""
    one_by_one = Histogram()
    for value in values:
        one_by_one.add_many(value, 2)
    assert list(one_by_one.buckets()) == list(histogram_of(values * 2).buckets())


def test_an_empty_histogram_says_nothing() -> None:
    """None is not zero."""
    empty = Histogram()
    assert (empty.quantile_ns(0.5), empty.mean_ns, empty.max_ns, list(empty.buckets())) == (None, None, None, [])


def test_cumulative_counts_are_of_whole_buckets() -> None:
    """As Prometheus wants them."""
    histogram = histogram_of([-5, 1_000, 2_000_000, 3_000_000_000])
    assert [histogram.count_up_to(edge) for edge in (0, 10_000, 10**7, 10**11)] == [1, 2, 3, 4]
