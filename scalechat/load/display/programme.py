"""What a run is going to do, for whoever watches it: the server, the phases in order, the objectives."""

from __future__ import annotations

from dataclasses import dataclass

from scalechat.config import LoadConfig
from scalechat.load.course import PHASE_NAMES, PhaseNumber
from scalechat.load.live import Snapshot
from scalechat.load.slo import Slo, parse_slo
from scalechat.values import redact_url


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """One of the phases."""

    name: str
    duration_s: float | None
    """None: as long as the server needs."""
    measured: bool


@dataclass(frozen=True, slots=True)
class Programme:
    """See the module's docstring."""

    target: str
    clients: int
    rooms: int
    phases: tuple[PlannedPhase, ...]
    slos: tuple[Slo, ...]

    @classmethod
    def of(cls, config: LoadConfig) -> Programme:
        """The programme of a configuration. Raises `UsageError` for an objective that cannot be read."""
        ramp_s = (config.steps[0].clients or config.clients) / config.ramp_per_s
        warmup = PlannedPhase(PHASE_NAMES[PhaseNumber.WARMUP], config.warmup_s, measured=False)
        return cls(
            target=redact_url(config.server_url),
            clients=config.clients,
            rooms=config.rooms,
            phases=(
                PlannedPhase(PHASE_NAMES[PhaseNumber.RAMP], ramp_s, measured=False),
                *([warmup] if config.warmup_s else []),
                *(PlannedPhase(step.name, step.duration_s, step.measured) for step in config.steps),
                PlannedPhase(PHASE_NAMES[PhaseNumber.DRAIN], None, measured=False),
            ),
            slos=tuple(parse_slo(expression) for expression in config.slo),
        )

    @property
    def duration_s(self) -> float:
        """From the first connection to the last message, when nothing is late."""
        return sum(phase.duration_s or 0.0 for phase in self.phases)

    @property
    def size(self) -> str:
        """``400 clients in 4 rooms``."""
        clients = "1 client" if self.clients == 1 else f"{self.clients:,} clients"
        return f"{clients} in " + ("1 room" if self.rooms == 1 else f"{self.rooms:,} rooms")

    def position(self, name: str) -> int:
        """Which of the phases that is; the first for one that is not planned."""
        return next((index for index, phase in enumerate(self.phases) if phase.name == name), 0)

    def is_measured(self, name: str) -> bool:
        """Whether what is published in that phase counts."""
        return self.phases[self.position(name)].measured

    def phase_left_s(self, now: Snapshot) -> float | None:
        """How long the phase of now still takes; None when that depends on the server."""
        planned_s = self.phases[self.position(now.phase)].duration_s
        if now.phase_left_s is not None or planned_s is None:
            return now.phase_left_s
        # A ramp that is late says nothing of when it will end.
        return planned_s - now.elapsed_s if now.elapsed_s < planned_s else None

    def left_s(self, now: Snapshot) -> float:
        """Until nothing is published any more."""
        later = self.phases[self.position(now.phase) + 1 :]
        return (self.phase_left_s(now) or 0.0) + sum(phase.duration_s or 0.0 for phase in later)
