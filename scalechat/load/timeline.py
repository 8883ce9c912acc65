"""Run time: what the phases are called, when they began, and how the run's clock relates to the wall clock."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from scalechat.load.course import FIRST_LEG, PHASE_NAMES, PhaseNumber
from scalechat.load.pacing import NowNs
from scalechat.load.results import Phase, PhaseKind

_KINDS: Final[dict[int, PhaseKind]] = {
    PhaseNumber.RAMP: "ramp",
    PhaseNumber.WARMUP: "warmup",
    PhaseNumber.DRAIN: "drain",
}


class Timeline:
    """The phases so far. `start_ns` is the run's beginning on its clock: ``t_s`` counts from there."""

    __slots__ = ("_began", "_clock", "_measured", "_names", "_unix_offset_ns", "start_ns")

    def __init__(
        self,
        clock: NowNs,
        *,
        start_ns: int,
        unix_ns: int,
        names: Mapping[int, str] = PHASE_NAMES,
        measured: Container[int] = (FIRST_LEG,),
    ) -> None:
        """The run begins at `start_ns`, which is `unix_ns` on the wall clock: one that is set later moves nothing."""
        self._clock = clock
        self._names = names
        self._measured = measured
        self.start_ns = start_ns
        self._unix_offset_ns = unix_ns - self.start_ns
        self._began: list[tuple[int, int]] = [(PhaseNumber.RAMP, self.start_ns)]

    @property
    def phase(self) -> int:
        """The phase of now."""
        return self._began[-1][0]

    @property
    def is_publishing(self) -> bool:
        """Whether messages are due: neither ramp nor drain."""
        return self.phase not in (PhaseNumber.RAMP, PhaseNumber.DRAIN)

    @property
    def is_measured(self) -> bool:
        """Whether the phase of now counts."""
        return self.phase in self._measured

    @property
    def name(self) -> str:
        """Its name."""
        return self._names[self.phase]

    def enter(self, phase: int) -> None:
        """The phase begins now."""
        self._began.append((phase, self._clock()))

    def t_s(self, at_ns: int) -> float:
        """Seconds since the start, to the µs."""
        return (at_ns - self.start_ns + 500) // 1000 / 1e6  # `round` takes three times as long

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
        return [
            Phase(
                name=self._names[phase],
                kind=_KINDS.get(phase, "steady"),
                start_s=self.t_s(start_ns),
                end_s=self.t_s(end_ns),
                measured=phase in self._measured,
            )
            for (phase, start_ns), end_ns in began
        ]
