"""Counts by stretch of time: bounded, mergeable, and as good for an interval as the seconds themselves."""

from __future__ import annotations

import numpy as np
import pytest

from scalechat.load.histogram import Histogram
from scalechat.load.stretches import MOST, Stretches


def histogram_of(rng: np.random.Generator, count: int = 200) -> Histogram:
    histogram = Histogram()
    histogram.add((1e6 * rng.lognormal(0, 0.4, count)).astype(np.int64))
    return histogram


def test_a_run_of_any_length_keeps_so_many_stretches_and_everything_that_was_counted() -> None:
    """Neighbours become one when they are too many."""
    rng, stretches, whole = np.random.default_rng(1), Stretches(), Histogram()
    for second in range(1, 3 * MOST):
        one = histogram_of(rng, 10)
        whole.merge(one)
        stretches.add("delivery", second, one)
    assert stretches.length_s == 4
    assert len(stretches.counts["delivery"]) <= MOST
    assert sum(sum(counts.values()) for counts in stretches.counts["delivery"].values()) == whole.count


def test_processes_are_put_together_by_time_whatever_their_stretches_are() -> None:
    """The same counts in any split over processes are the same estimate."""
    rng, whole = np.random.default_rng(2), Histogram()
    alone, one, other = Stretches(), Stretches(), Stretches(length_s=2)
    for second in range(1, 41):
        histogram = histogram_of(rng)
        whole.merge(histogram)
        alone.add("delivery", second, histogram)
        (one if second % 3 else other).add("delivery", second, histogram)
    both = Stretches()
    both.merge(one)
    both.merge(other)
    alone.merge(Stretches(length_s=2))
    assert both == alone
    assert both.estimates("delivery", whole, [0.5, 0.99]) == alone.estimates("delivery", whole, [0.5, 0.99])


def test_an_estimate_is_of_everything_and_knows_its_error() -> None:
    """What no stretch holds (what was given up after the last) is in the value too."""
    rng, stretches, whole = np.random.default_rng(3), Stretches(), Histogram()
    for second in range(1, 61):
        histogram = histogram_of(rng)
        whole.merge(histogram)
        stretches.add("delivery", second, histogram)
    (before,) = stretches.estimates("delivery", whole, [0.5])
    assert before.value == pytest.approx(1e6, rel=0.05)
    assert 0 < before.error < 0.05
    whole.add_many(5_000_000_000, whole.count * 2)
    (after,) = stretches.estimates("delivery", whole, [0.5])
    assert after.value == pytest.approx(5e9, rel=0.016)


def test_nothing_counted_has_no_estimate() -> None:
    """As of acknowledgements of a target that gives none."""
    (estimate,) = Stretches().estimates("ack_rtt", Histogram(), [0.5])
    assert np.isnan(estimate.value)
