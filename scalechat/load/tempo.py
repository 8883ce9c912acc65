"""How fast everybody publishes when: the steps, pauses and bursts of a scenario as one warp of time.

A schedule is made for a steady rate in *beats*, ns that pass `rate` times as fast as the clock's. Where a beat falls on
the clock follows from the rates alone, so a plan stays fixed beforehand however they change, and an exponential gap in
beats is an inhomogeneous Poisson process on the clock (time rescaling: Cinlar, Introduction to Stochastic Processes,
1975, chapter 4).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass

from scalechat.config import LoadConfig
from scalechat.scenario import Burst, Pause

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Tempo:
    """`starts_ns[i]` is when the i-th stretch begins, `beats[i]` how many have passed by then, `rates[i]` its rate."""

    starts_ns: tuple[int, ...] = (0,)
    beats: tuple[float, ...] = (0.0,)
    rates: tuple[float, ...] = (1.0,)

    @classmethod
    def of(cls, config: LoadConfig) -> Tempo:
        """The tempo of a configuration; times count from the beginning of the warm-up."""
        at_s = config.warmup_s
        factors: list[tuple[float, float, float]] = []  # (from, until, factor)
        for index, step in enumerate(config.steps):
            # The warm-up is for the first step and has its rate.
            factors.append((at_s if index else 0.0, at_s + step.duration_s, step.rate))
            at_s += step.duration_s
        for event in config.happenings:
            if isinstance(event, Pause | Burst):
                begin_s = config.warmup_s + event.at_s
                factor = event.factor if isinstance(event, Burst) else 0.0
                factors.append((begin_s, begin_s + event.for_s, factor))
        return cls._through(factors)

    @classmethod
    def _through(cls, factors: Iterable[tuple[float, float, float]]) -> Tempo:
        spans = [(round(begin * SECOND_NS), round(end * SECOND_NS), factor) for begin, end, factor in factors]
        starts = sorted({0, *(at for begin, end, _factor in spans for at in (begin, end))})
        rates = [math.prod(factor for begin, end, factor in spans if begin <= at < end) for at in starts]
        beats = [0.0]
        for index in range(1, len(starts)):
            beats.append(beats[-1] + (starts[index] - starts[index - 1]) * rates[index - 1])
        return cls(tuple(starts), tuple(beats), tuple(rates))

    @property
    def is_steady(self) -> bool:
        """Whether a beat is a nanosecond everywhere."""
        return all(rate == 1 for rate in self.rates)

    def rate_at(self, at_ns: int) -> float:
        """How many times the usual rate."""
        return self.rates[bisect.bisect_right(self.starts_ns, at_ns) - 1]

    def beats_by(self, at_ns: int) -> float:
        """How many beats have passed by then."""
        index = bisect.bisect_right(self.starts_ns, at_ns) - 1
        return self.beats[index] + (at_ns - self.starts_ns[index]) * self.rates[index]

    def when(self, beat: float) -> int:
        """When so many beats have passed: ns, the first moment of those it could be."""
        index = max(bisect.bisect_left(self.beats, beat) - 1, 0)
        rate = self.rates[index]
        if not rate:  # before the first beat, or after the last one there will be
            return self.starts_ns[min(index + 1, len(self.starts_ns) - 1)]
        return self.starts_ns[index] + math.ceil((beat - self.beats[index]) / rate)
