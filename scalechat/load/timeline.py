"""Run time: what the phases are called, when they began, and how the run's clock relates to the wall clock."""

from __future__ import annotations

import enum
from typing import Final, Literal

from scalechat.load.pacing import NowNs
from scalechat.load.results import Phase, PhaseKind


class PhaseNumber(enum.IntEnum):
    """The phases of a run, in order."""

    RAMP = 0
    WARMUP = 1
    STEADY = 2
    DRAIN = 3


PHASE_NAMES: Final[dict[int, Literal["ramp", "warmup", "steady", "drain"]]] = {
    PhaseNumber.RAMP: "ramp",
    PhaseNumber.WARMUP: "warmup",
    PhaseNumber.STEADY: "steady",
    PhaseNumber.DRAIN: "drain",
}


class Timeline:
    """The phases so far. `start_ns` is the run's beginning on its clock: ``t_s`` counts from there."""

    __slots__ = ("_began", "_clock", "_unix_offset_ns", "start_ns")

    def __init__(self, clock: NowNs, *, start_ns: int, unix_ns: int) -> None:
        """The run begins at `start_ns`, which is `unix_ns` on the wall clock: one that is set later moves nothing."""
        self._clock = clock
        self.start_ns = start_ns
        self._unix_offset_ns = unix_ns - self.start_ns
        self._began: list[tuple[PhaseNumber, int]] = [(PhaseNumber.RAMP, self.start_ns)]

    @property
    def phase(self) -> PhaseNumber:
        """The phase of now."""
        return self._began[-1][0]

    @property
    def name(self) -> str:
        """Its name."""
        return PHASE_NAMES[self.phase]

    def enter(self, phase: PhaseNumber) -> None:
        """The phase begins now."""
        self._began.append((phase, self._clock()))

    def t_s(self, at_ns: int) -> float:
        """Seconds since the start, to the µs."""
        return round((at_ns - self.start_ns) / 1e9, 6)

    def unix_ns(self, at_ns: int) -> int:
        """The same moment on the wall clock."""
        return at_ns + self._unix_offset_ns

    @property
    def unix_offset_ns(self) -> int:
        """Wall clock minus the run's clock."""
        return self._unix_offset_ns

    def phases(self, end_ns: int) -> list[Phase]:
        """The phases of a run that ends at `end_ns`."""
        ends = [*(began for _phase, began in self._began[1:]), end_ns]
        began = zip(self._began, ends, strict=True)
        return [_phase(phase, self.t_s(start_ns), self.t_s(end_ns)) for (phase, start_ns), end_ns in began]


def _phase(phase: PhaseNumber, start_s: float, end_s: float) -> Phase:
    kind: PhaseKind = PHASE_NAMES[phase]
    return Phase(name=kind, kind=kind, start_s=start_s, end_s=end_s, measured=phase is PhaseNumber.STEADY)
