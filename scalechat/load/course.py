"""The phases of a run, as its configuration plans them: ramp, warm-up, one leg or several, drain."""

from __future__ import annotations

import bisect
import enum
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scalechat.config import LoadConfig
from scalechat.load.tempo import SECOND_NS


class PhaseNumber(enum.IntEnum):
    """The phases that every run has; the legs of a scenario beyond the first have higher numbers."""

    RAMP = 0
    WARMUP = 1
    STEADY = 2
    DRAIN = 3


FIRST_LEG: Final = PhaseNumber.STEADY
PHASE_NAMES: Final[dict[int, str]] = {
    PhaseNumber.RAMP: "ramp",
    PhaseNumber.WARMUP: "warmup",
    PhaseNumber.STEADY: "steady",
    PhaseNumber.DRAIN: "drain",
}
"""Unless a scenario names its legs."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of constant load after the warm-up; times count from the end of that."""

    number: int
    """As a phase: of `PhaseNumber`, or above."""
    name: str
    measured: bool
    """What is published in it counts for objectives and figures."""
    clients: int
    """How many are there: the first so many of the plan."""
    begin_ns: int
    end_ns: int


@dataclass(frozen=True)
class Course:
    """All phases, each with a number of its own."""

    warmup_ns: int
    legs: tuple[Leg, ...]

    @classmethod
    def of(cls, config: LoadConfig) -> Course:
        """The course of a configuration: a leg for each step."""
        ends = list(itertools.accumulate((step.duration_s for step in config.steps), initial=0.0))
        return cls(
            round(config.warmup_s * SECOND_NS),
            tuple(
                Leg(
                    number=_number(index),
                    name=step.name,
                    measured=step.measured,
                    clients=step.clients or config.clients,
                    begin_ns=round(begin_s * SECOND_NS),
                    end_ns=round(end_s * SECOND_NS),
                )
                for index, (step, (begin_s, end_s)) in enumerate(
                    zip(config.steps, itertools.pairwise(ends), strict=True)
                )
            ),
        )

    @property
    def length_ns(self) -> int:
        """Of warm-up and legs together."""
        return self.warmup_ns + self.legs[-1].end_ns

    @property
    def measured(self) -> frozenset[int]:
        """The phases whose messages count."""
        return frozenset(leg.number for leg in self.legs if leg.measured)

    @cached_property
    def names(self) -> Mapping[int, str]:
        """Number → name, of every phase."""
        return PHASE_NAMES | {leg.number: leg.name for leg in self.legs}

    def phase_at(self, after_warmup_ns: int) -> int:
        """The phase of a message that was intended then, however late it goes out."""
        if after_warmup_ns < 0:
            return PhaseNumber.WARMUP
        return FIRST_LEG if len(self.legs) == 1 else self._leg_at(after_warmup_ns).number

    def clients_at(self, after_warmup_ns: int) -> int:
        """How many clients are to be there then; the warm-up is for the first leg."""
        return self._leg_at(max(0, after_warmup_ns)).clients

    def clients_in(self, phase: int) -> int:
        """The same by the phase's number."""
        return next((leg.clients for leg in self.legs if leg.number == phase), self.legs[0].clients)

    def _leg_at(self, after_warmup_ns: int) -> Leg:
        return self.legs[bisect.bisect_right(self.legs, after_warmup_ns, key=lambda leg: leg.begin_ns) - 1]


def _number(index: int) -> int:
    return FIRST_LEG if index == 0 else max(PhaseNumber) + index
