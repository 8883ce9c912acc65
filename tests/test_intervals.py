"""Standard errors: as wide as the truth scatters, also when seconds are alike."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from scalechat.intervals import Estimate, bounds, of_quantiles, of_ratio, of_runs

EDGES = np.geomspace(0.5, 50.0, 300)


def counts(rng: np.random.Generator, seconds: int, *, together: float) -> npt.NDArray[np.float64]:
    """Latencies per second whose median moves from second to second by `together`."""
    levels = np.exp(rng.normal(0, together, seconds))
    return np.array([np.histogram(3 * level * rng.lognormal(0, 0.4, 400), EDGES)[0] for level in levels], np.float64)


def quantile(table: npt.NDArray[np.float64], rank: float) -> Estimate:
    return of_quantiles(table, EDGES[:-1], EDGES[1:], [rank])[0]


def test_the_error_of_a_quantile_is_what_it_scatters_by_when_whole_seconds_are_slow() -> None:
    """Counting deliveries as independent would give a tenth of it."""
    rng = np.random.default_rng(1)
    runs = [quantile(counts(rng, 30, together=0.3), 0.5) for _ in range(60)]
    scatter = np.std([math.log(run.value) for run in runs], ddof=1)
    told = np.median([run.error for run in runs])
    assert 0.7 < told / scatter < 1.4
    assert runs[0].degrees == pytest.approx(9)


def test_the_same_seconds_have_the_same_interval() -> None:
    """Asking twice does not change the answer."""
    table = counts(np.random.default_rng(2), 20, together=0.1)
    assert quantile(table, 0.99) == quantile(table, 0.99)


def test_a_share_that_may_be_zero_has_its_error_in_its_own_unit() -> None:
    """Nothing lost in any second is nothing lost, without doubt; some lost now and then is not."""
    sure = of_ratio(np.zeros(20), np.full(20, 1000.0), relative=False)
    assert (sure.value, sure.error) == (0, 0)
    lost = np.zeros(20)
    lost[[3, 9, 15]] = 10
    doubtful = of_ratio(lost, np.full(20, 1000.0), relative=False)
    assert doubtful.value == pytest.approx(30 / 20_000)
    assert doubtful.error == pytest.approx(8e-4, rel=0.3)


def test_too_few_seconds_have_no_interval() -> None:
    """Two blocks say nothing about how blocks differ."""
    assert math.isnan(of_ratio(np.ones(2), np.ones(2)).error)


@pytest.mark.parametrize("stalls, known", [((5,), False), ((5, 20, 40), False), ((3, 9, 15, 21, 27, 33, 39, 45), True)])
def test_a_tail_that_few_stalls_made_has_no_interval(stalls: tuple[int, ...], known: bool) -> None:
    """How often such a stall comes cannot be known from one, and its p50 is as certain as before."""
    table = counts(np.random.default_rng(3), 60, together=0.02)
    for second in stalls:
        table[second] = np.roll(table[second], 100)
    tail, middle = quantile(table, 0.99), quantile(table, 0.5)
    assert math.isnan(tail.error) is not known
    assert middle.error < 0.05


@pytest.mark.parametrize(
    "degrees, confidence, reach", [(1, 0.95, 12.7062), (2, 0.95, 4.3027), (9, 0.99, 3.2498), (30, 0.95, 2.0423)]
)
def test_an_interval_reaches_as_far_as_student_says(degrees: int, confidence: float, reach: float) -> None:
    """By the printed tables; on a figure's own scale, or on that of its logarithm."""
    assert bounds(Estimate(5.0, 1.0, degrees, relative=False), confidence) == pytest.approx(
        (5 - reach, 5 + reach), abs=1e-3
    )
    low, high = bounds(Estimate(5.0, 0.1, degrees + 0.9), confidence)
    assert (low, high) == pytest.approx((5 * math.exp(-0.1 * reach), 5 * math.exp(0.1 * reach)), rel=1e-3)
    assert math.isnan(bounds(Estimate(5.0, math.nan, math.nan))[0])


def test_of_several_runs_each_is_one_value() -> None:
    """The mean on the figure's own scale, its error from run to run; one run has none."""
    three = of_runs([90.0, 100.0, 110.0])
    assert three.value == pytest.approx(99.67, abs=0.01)
    assert three.error == pytest.approx(0.058, abs=0.001)
    assert three.degrees == 2
    assert of_runs([0.0, 2.0], relative=False) == Estimate(1.0, 1.0, 1, relative=False)
    assert math.isnan(of_runs([5.0]).error)
    assert math.isnan(of_runs([]).value)
