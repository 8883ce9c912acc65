"""Two systems, measured: better, worse, no difference that matters, or cannot tell.

For each figure the effect is the new value against the old one, as a ratio where the figure has a natural zero. Its
interval is Welch's (1947), at a confidence that holds for all figures together (Bonferroni: with eight figures at 95 %
each, every third comparison of a system with itself would find something).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from scipy.special import stdtrit

from scalechat.intervals import Estimate, of_ratio, of_runs

from . import saturation
from .frames import RunFrames
from .percentiles import quantile_of_seconds

__all__ = ["FIGURES", "Comparison", "Effect", "Figure", "compare", "effect_of"]

_SAYS_NOTHING: Final = math.log(10)
"""Of the logarithm of a change that may be one for the better or the worse: ten times as much. Two runs against two
give intervals of millions of percent, which look like an error."""

Answer = Literal["better", "worse", "same", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that can be compared. `estimate` is a run's own; NaN where the run does not know it."""

    name: str
    unit: str
    more_is_better: bool
    estimate: Callable[[RunFrames], Estimate]


@dataclass(frozen=True, slots=True)
class Effect:
    """How a figure has changed.

    `change` and its bounds are relative (0.2 is 20 % more) or, for a figure that may be zero, a difference in its unit;
    NaN where they cannot be said.
    """

    figure: str
    unit: str
    answer: Answer
    base: float
    new: float
    change: float
    low: float
    high: float
    relative: bool
    why: str | None = None
    """Why it cannot be told."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer on every figure."""

    effects: tuple[Effect, ...]
    confidence: float
    margin: float
    base_runs: int
    new_runs: int

    @property
    def answer(self) -> Answer:
        """Worse when any figure is worse; else better when any is better; else the same if all that is known is."""
        answers = [effect.answer for effect in self.effects]
        for answer in ("worse", "better"):
            if answer in answers:
                return answer
        return "same" if "same" in answers and "cannot tell" not in answers else "cannot tell"

    @property
    def within_runs_only(self) -> bool:
        """One run a side: how much runs of the same system differ is not in the intervals."""
        return min(self.base_runs, self.new_runs) < 2


def compare(
    base: Sequence[RunFrames], new: Sequence[RunFrames], *, margin: float = 0.05, confidence: float = 0.95
) -> Comparison:
    """Compare the runs of one system with those of another.

    Args:
        base, new: at least one run each. With two or more on both sides the run is the unit.
        margin: a relative change that does not matter.
        confidence: of all intervals together.
    """
    pairs = [(figure, _side(figure, base, new), _side(figure, new, base)) for figure in FIGURES]
    known = [pair for pair in pairs if not (math.isnan(pair[1].value) and math.isnan(pair[2].value))]
    tail = (1 - confidence) / 2 / max(len(known), 1)
    return Comparison(
        effects=tuple(effect_of(figure, old, now, margin=margin, tail=tail) for figure, old, now in known),
        confidence=confidence,
        margin=margin,
        base_runs=len(base),
        new_runs=len(new),
    )


def effect_of(figure: Figure, base: Estimate, new: Estimate, *, margin: float, tail: float) -> Effect:
    """The effect on one figure; `tail` is the probability on either side of the interval."""
    relative = base.relative and new.relative
    if math.isnan(base.value) or math.isnan(new.value):
        return _untold(figure, base, new, "not measured on both sides")
    change = math.log(new.value / base.value) if relative else new.value - base.value
    error = math.hypot(base.error, new.error)
    if math.isnan(error):
        return _untold(figure, base, new, "needs several runs on each side, or longer ones")
    reach = float(stdtrit(_degrees(base, new), 1 - tail)) * error if error else 0.0
    low, high = change - reach, change + reach
    if relative:
        if low < 0 and high > _SAYS_NOTHING:
            return _untold(figure, base, new, "an interval of all that is possible: needs more runs on each side")
        change, low, high = (math.expm1(value) for value in (change, low, high))
    # What is no ratio has no natural margin: any change that is real counts.
    matters = margin if relative else 0.0
    answer: Answer = "cannot tell"
    if (low > 0 or high < 0) and abs(change) > matters:
        answer = "better" if (change > 0) == figure.more_is_better else "worse"
    elif -matters <= low and high <= matters:
        answer = "same"
    why = None if answer != "cannot tell" else "the interval is too wide"
    return Effect(figure.name, figure.unit, answer, base.value, new.value, change, low, high, relative, why)


def _untold(figure: Figure, base: Estimate, new: Estimate, why: str) -> Effect:
    both = base.value > 0 and new.value > 0
    change = new.value / base.value - 1 if both and base.relative else math.nan
    return Effect(
        figure.name, figure.unit, "cannot tell", base.value, new.value, change, math.nan, math.nan, base.relative, why
    )


def _degrees(base: Estimate, new: Estimate) -> float:
    """Welch and Satterthwaite's; a side without error adds none."""
    parts = [(side.error**2, side.degrees) for side in (base, new) if side.error > 0]
    return sum(variance for variance, _ in parts) ** 2 / sum(variance**2 / degrees for variance, degrees in parts)


def _side(figure: Figure, runs: Sequence[RunFrames], others: Sequence[RunFrames]) -> Estimate:
    estimates = [figure.estimate(run) for run in runs]
    if len(runs) == 1:
        if len(others) == 1:
            return estimates[0]
        # Against several runs, one run must not pass for a side that knows how much its runs differ.
        return Estimate(estimates[0].value, math.nan, math.nan, estimates[0].relative)
    if len(others) == 1:
        mean = of_runs([estimate.value for estimate in estimates], relative=estimates[0].relative)
        return Estimate(mean.value, math.nan, math.nan, mean.relative)
    return of_runs([estimate.value for estimate in estimates], relative=estimates[0].relative)


# ---- the figures ------------------------------------------------------------------------------


def _quantile(metric: str, rank: float) -> Callable[[RunFrames], Estimate]:
    def estimate(frames: RunFrames) -> Estimate:
        found = quantile_of_seconds(frames, metric, rank)
        return replace(found, value=found.value / 1e6)

    return estimate


def _delivered(frames: RunFrames) -> Estimate:
    grown = [
        saturation.per_second(frames.timeseries, "delivered_total", np.arange(phase.start_s, phase.end_s + 1e-6))
        for phase in frames.measured
    ]
    whole = np.concatenate([np.empty(0), *grown])
    return of_ratio(whole, np.ones(len(whole)))


def _missing(frames: RunFrames) -> Estimate:
    rows = frames.in_measured(frames.broadcasts)
    if rows.empty:
        return Estimate(math.nan, math.nan, math.nan, relative=False)
    sums = rows.groupby(np.floor(rows["t_s"]))[["expected", "delivered"]].sum().astype("float64")
    lost = (sums["expected"] - sums["delivered"]).clip(lower=0).to_numpy(np.float64)
    return of_ratio(1e6 * lost, sums["expected"].to_numpy(np.float64), relative=False)


def _server_cpu(frames: RunFrames) -> Estimate:
    rows = frames.in_measured(frames.server_series).dropna(subset=["cpu_cores", "deliveries_per_s"])
    sums = rows.groupby(np.floor(rows["t_s"]))[["cpu_cores", "deliveries_per_s"]].sum()
    return of_ratio(1e6 * sums["cpu_cores"].to_numpy(np.float64), sums["deliveries_per_s"].to_numpy(np.float64))


def _server_memory(frames: RunFrames) -> Estimate:
    # Memory grows to where it stays; the seconds of a run say nothing about where the next run will stand.
    peak = frames.in_measured(frames.server_series)["rss_bytes"].max()
    return Estimate(float(peak) / 1e6, math.nan, math.nan)


FIGURES: Final = (
    Figure("delivery p50", "ms", False, _quantile("delivery", 0.5)),
    Figure("delivery p99", "ms", False, _quantile("delivery", 0.99)),
    Figure("delivery p99.9", "ms", False, _quantile("delivery", 0.999)),
    Figure("last member p99", "ms", False, _quantile("broadcast_last", 0.99)),
    Figure("throughput", "deliveries/s", True, _delivered),
    Figure("missing", "ppm", False, _missing),
    Figure("server CPU per delivery", "µs", False, _server_cpu),
    Figure("server memory", "MB", False, _server_memory),
)
