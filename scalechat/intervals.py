"""A figure with how sure one may be of it: from the seconds of one run, or from several runs.

Deliveries of one broadcast arrive together, and what slows one broadcast slows its neighbours; treated as independent
they would promise an accuracy a hundred times too good. So within a run whole stretches of seconds are drawn again
(the circular block bootstrap of Politis and Romano 1992, with blocks of n^(1/3) seconds as in Künsch 1989): a second
holds its broadcasts whole, and a stretch holds what lasts. With few seconds the bootstrap's own percentiles are too
narrow, so only its standard error is used, with Student's t for as many degrees of freedom as there are blocks.

Between runs there is more: another start, another memory layout, another hour. A run cannot know that of itself, so
where there are several, each run is one value and nothing else counts (Kalibera and Jones 2013).

A tail that one event made has no interval: whatever is drawn, the event is in it or is not, and the spread of that says
nothing about how often such a thing happens. So the stretches that lie beyond a quantile are counted as the effective
number of a weighted sample (Kish 1965, (Σw)² / Σw²); with fewer than four, one resample in fifty has none of them.

What a run says of itself and what its report says are computed here, so nothing of ours is imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "Estimate", "bounds", "of_quantiles", "of_ratio", "of_runs"]

Floats = npt.NDArray[np.float64]

RESAMPLES: Final = 1_000
"""A standard error from so many is off by 2 %."""
_SEED: Final = 20_260_101
"""The same run has the same interval each time one asks."""
_FEWEST_BLOCKS: Final = 3
_FEWEST_BEYOND: Final = 4
"""Stretches that must share what lies beyond a quantile; e^-4 of the resamples have none of four."""
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its standard error and the degrees of freedom of that.

    `relative` figures (times, rates) live on a logarithmic scale: their error is that of the logarithm, so about a
    relative one. The others (shares that may be zero) have an error in their own unit. NaN: cannot be said.
    """

    value: float
    error: float
    degrees: float
    relative: bool = True


def of_quantiles(counts: Floats, low: Floats, high: Floats, ranks: Sequence[float]) -> list[Estimate]:
    """Quantiles of what `counts[second, bucket]` counted in buckets from `low` to `high`."""
    weights, degrees = _resampled(len(counts))
    whole, drawn = counts.sum(axis=0)[np.newaxis], weights @ counts
    found = []
    for rank in ranks:
        value = float(_quantiles(whole, low, high, rank)[0])
        known = _beyond(counts[:, high > value]) >= _FEWEST_BEYOND
        found.append(_relative(value, _quantiles(drawn, low, high, rank), degrees if known else math.nan))
    return found


def bounds(estimate: Estimate, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of one figure by Student's t; NaN where its error is not known."""
    if not estimate.error >= 0 or not estimate.degrees >= 1:
        return math.nan, math.nan
    reach = _student(int(estimate.degrees), confidence) * estimate.error
    if estimate.relative:
        return estimate.value * math.exp(-reach), estimate.value * math.exp(reach)
    return estimate.value - reach, estimate.value + reach


def of_ratio(above: Floats, below: Floats, *, relative: bool = True) -> Estimate:
    """The sum of `above` over the sum of `below`, both per second."""
    whole = float(below.sum())
    value = float(above.sum()) / whole if whole > 0 else math.nan
    weights, degrees = _resampled(len(above))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (weights @ above) / (weights @ below)
    if relative:
        return _relative(value, drawn, degrees)
    return Estimate(value, _spread(drawn, degrees), degrees, relative=False)


def of_runs(values: Sequence[float], *, relative: bool = True) -> Estimate:
    """The mean of several runs, each of which is one value."""
    known = np.asarray([value for value in values if not math.isnan(value)])
    if len(known) < 2:
        return Estimate(float(known[0]) if len(known) else math.nan, math.nan, math.nan, relative)
    if not relative:
        return Estimate(float(known.mean()), float(known.std(ddof=1)) / math.sqrt(len(known)), len(known) - 1, False)
    if (known <= 0).any():
        return Estimate(math.nan, math.nan, math.nan)
    logs = np.log(known)
    return Estimate(math.exp(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(len(known)), len(known) - 1)


def _relative(value: float, drawn: Floats, degrees: float) -> Estimate:
    if not value > 0:
        return Estimate(value, math.nan, math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(value, _spread(np.log(drawn), degrees), degrees)


def _spread(drawn: Floats, degrees: float) -> float:
    known = drawn[np.isfinite(drawn)]
    return float(known.std(ddof=1)) if degrees > 0 and len(known) > RESAMPLES / 2 else math.nan


def _beyond(counts: Floats) -> float:
    """How many stretches share these counts per second, as the effective number of a weighted sample."""
    length = _length(len(counts))
    shares = np.add.reduceat(counts.sum(axis=1), np.arange(0, len(counts), length)) if len(counts) else np.zeros(0)
    squares = float((shares**2).sum())
    return float(shares.sum()) ** 2 / squares if squares else 0.0


def _student(degrees: int, confidence: float) -> float:
    """How many standard errors a value of Student's t lies from 0 at most, with this confidence.

    By bisection of its distribution, which is a finite sum for whole degrees (Abramowitz and Stegun 26.7.3 and 4):
    SciPy has it too, and is no dependency of a run.
    """

    def within(t: float) -> float:
        angle = math.atan(t / math.sqrt(degrees))
        term = total = math.cos(angle) if degrees % 2 else 1.0
        for k in range(3 if degrees % 2 else 2, degrees, 2):
            term *= math.cos(angle) ** 2 * (k - 1) / k
            total += term
        if degrees % 2:
            return 2 / math.pi * (angle + (math.sin(angle) * total if degrees > 1 else 0.0))
        return math.sin(angle) * total

    low, high = 0.0, 1.0
    while within(high) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < confidence else (low, middle)
    return high


def _length(seconds: int) -> int:
    """Of a block, in seconds."""
    return max(1, round(math.cbrt(seconds)))


def _resampled(seconds: int) -> tuple[Floats, float]:
    """How often each second is drawn in each resample, and the degrees of freedom that so many seconds give."""
    length = _length(seconds)
    blocks = seconds / length
    if blocks < _FEWEST_BLOCKS:
        return np.zeros((0, seconds)), math.nan
    starts = np.random.default_rng(_SEED).integers(0, seconds, size=(RESAMPLES, math.ceil(blocks)))
    drawn = (starts[:, :, np.newaxis] + np.arange(length)) % seconds
    weights = np.zeros((RESAMPLES, seconds))
    np.add.at(weights, (np.arange(RESAMPLES)[:, np.newaxis], drawn.reshape(RESAMPLES, -1)), 1.0)
    return weights, blocks - 1


def _quantiles(counts: Floats, low: Floats, high: Floats, rank: float) -> Floats:
    """The quantile of each row, evenly spread inside its bucket, as `latency.quantile` has it."""
    if not counts.shape[1]:
        return np.full(len(counts), math.nan)
    reached = counts.cumsum(axis=1)
    position = rank * reached[:, -1]
    bucket = np.minimum((reached < position[:, np.newaxis]).sum(axis=1), counts.shape[1] - 1)
    rows = np.arange(len(counts))
    inside = position - (reached[rows, bucket] - counts[rows, bucket])
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = low[bucket] + inside / counts[rows, bucket] * (high - low)[bucket]
    return found
