"""Merging is a sum and quantiles are within a bucket of the truth."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.analysis import latency

from .synthetic import histogram_rows

# From nothing to an hour, with the small values where buckets are single nanoseconds.
VALUES = st.lists(st.integers(0, 3_600_000_000_000) | st.integers(0, 300), min_size=1, max_size=60)


def frame(*windows: tuple[int, str, list[int]]) -> pd.DataFrame:
    """The histogram table of values in windows (second, worker, values), metric `delivery`."""
    rows = [
        row
        for second, worker, values in windows
        for row in histogram_rows(values, "delivery", second, "steady", worker)
    ]
    columns = ["t_s", "dt_s", "worker_id", "phase", "metric", "bucket_low_ns", "bucket_high_ns", "count"]
    return pd.DataFrame([msgspec.structs.asdict(row) for row in rows], columns=columns)


def buckets(values: list[int]) -> pd.DataFrame:
    return latency.merge(frame((1, "0", values)), "delivery")


@given(VALUES, st.data())
def test_a_quantile_is_within_a_bucket_of_the_raw_data(values: list[int], data: st.DataObject) -> None:
    """Any quantile is at most 1.6 % (one bucket) from numpy's on the raw values."""
    rank = data.draw(st.integers(1, len(values))) / len(values)
    exact = float(np.quantile(values, rank, method="inverted_cdf"))
    assert latency.quantile(buckets(values), rank) == pytest.approx(exact, rel=1 / 64, abs=1.0)


@given(VALUES)
def test_quantiles_never_fall(values: list[int]) -> None:
    """A higher rank never has a lower value, and all lie between the extremes' buckets."""
    found = latency.quantiles(buckets(values), np.linspace(0, 1, 50))
    assert (np.diff(found) >= 0).all()
    assert found[0] <= min(values) + 1
    assert max(values) <= found[-1] <= max(values) * (1 + 1 / 64) + 1


@given(VALUES, VALUES, VALUES)
def test_merging_is_exact_in_any_order(first: list[int], second: list[int], third: list[int]) -> None:
    """Windows and workers merge to the histogram of all values, however they were split."""
    whole = buckets(first + second + third)
    for parts in (
        ((1, "0", first), (2, "0", second), (3, "0", third)),
        ((1, "b", third), (1, "a", first), (1, "c", second)),
        ((7, "0", second + first), (7, "1", third)),
    ):
        pd.testing.assert_frame_equal(latency.merge(frame(*parts), "delivery"), whole)


def test_values_are_spread_evenly_inside_their_bucket() -> None:
    """Four values in [100, 200): the ranks 1 to 4 lie at its quarters."""
    four = pd.DataFrame({"bucket_low_ns": [100], "bucket_high_ns": [200], "count": [4]})
    assert latency.quantiles(four, [0.25, 0.5, 0.75, 1.0]).tolist() == [125.0, 150.0, 175.0, 200.0]


def test_a_rank_that_floating_point_misses_is_the_rank_meant() -> None:
    """0.07 · 100 is a little more than 7 in floating point, and the seventh value is meant."""
    hundred = pd.DataFrame({"bucket_low_ns": range(100), "bucket_high_ns": range(1, 101), "count": 1})
    assert latency.quantile(hundred, 0.07) == 7.0


def test_negative_latencies_are_kept() -> None:
    """Clock error shows as it is: the lowest quantile is negative."""
    assert latency.quantile(buckets([-1000, 2000, 3000]), 0.01) == pytest.approx(-1000, rel=1 / 32)


def test_no_samples_have_no_quantile() -> None:
    """Nothing measured is not 0 but unknown."""
    nothing = latency.merge(frame(), "delivery")
    assert latency.total(nothing) == 0
    assert np.isnan(latency.quantile(nothing, 0.5))
    assert latency.curve(nothing).empty
    assert latency.over_time(frame(), "delivery").empty


def test_phases_and_metrics_are_kept_apart() -> None:
    """Only the asked metric and phases are merged."""
    rows = frame((1, "0", [5])).assign(phase="warmup")
    both = pd.concat([rows, frame((2, "0", [5])), frame((2, "0", [5])).assign(metric="ack_rtt")])
    assert latency.total(latency.merge(both, "delivery")) == 2
    assert latency.total(latency.merge(both, "delivery", ["steady"])) == 1


@pytest.mark.parametrize(
    "count, rank, said", [(999, 0.99, False), (1000, 0.99, True), (100_000, 0.9999, True), (10, 1.0, False)]
)
def test_a_percentile_needs_ten_samples_beyond_it(count: int, rank: float, said: bool) -> None:
    """p99 asks for 1,000 samples, p99.99 for 100,000."""
    assert latency.enough(count, rank) is said


def test_the_curve_ends_where_the_samples_end() -> None:
    """1,000 values carry the curve to the 99th percentile and not beyond."""
    points = latency.curve(buckets(list(range(1000, 2000))))
    assert points["nines"].iloc[0] == 0.0
    assert points["nines"].iloc[-1] == pytest.approx(2.0)
    assert points["latency_ns"].iloc[-1] == pytest.approx(1990, rel=1 / 64)


def test_over_time_merges_workers_and_keeps_seconds_apart() -> None:
    """Each second has the quantiles of all workers' values in it, at its middle."""
    found = latency.over_time(frame((1, "0", [10] * 50), (1, "1", [30] * 50), (3, "0", [20])), "delivery")
    assert found["t_s"].tolist() == [0.5, 2.5]
    assert found["count"].tolist() == [100, 1]
    assert found["max"].tolist() == [31.0, 21.0]
    assert found["0.5"].iloc[0] == pytest.approx(11.0)


def test_a_second_with_few_values_has_no_p99() -> None:
    """With fewer than a hundred values the p99 of a second would be its maximum: left out."""
    found = latency.over_time(frame((1, "0", [10] * 99), (2, "0", [10] * 100)), "delivery")
    assert np.isnan(found["0.99"].iloc[0])
    assert not np.isnan(found["0.99"].iloc[1])


def test_a_phase_is_not_judged_by_the_one_before() -> None:
    """A window in which the warm-up ended has a row for the warm-up and one for what follows."""
    rows = pd.concat([frame((1, "0", [900] * 9)).assign(phase="warmup", t_s=0.3, dt_s=0.3), frame((1, "0", [10] * 9))])
    found = latency.over_time(rows.assign(dt_s=[0.3, 0.7]), "delivery")
    assert found[["phase", "max"]].to_numpy().tolist() == [["warmup", 904.0], ["steady", 11.0]]
    assert found["t_s"].tolist() == pytest.approx([0.15, 0.65])


def test_wider_windows_are_merged_not_averaged() -> None:
    """Two seconds as one window have the quantile of all their values."""
    found = latency.over_time(frame((1, "0", [10] * 300), (2, "0", [50] * 100)), "delivery", 2.0)
    assert found["t_s"].tolist() == [1.0]
    assert found["0.5"].iloc[0] == pytest.approx(10.67, abs=0.01)
