"""What a run has shown up to now, for the eyes: its programme, the newest snapshot, and the windows before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from scalechat.config import LoadConfig
from scalechat.load.display.programme import Programme
from scalechat.load.live import Snapshot
from scalechat.load.slo import Slo
from scalechat.load.verdict import MIN_ACHIEVED

REMEMBERED: Final = 160
"""Windows of about a second: more than a wide terminal shows beside figures and words."""


LATELY: Final = 5
"""Windows."""


class Window(NamedTuple):
    """What is drawn of a second; None for what was not known."""

    measured: bool
    clients: float
    offered_per_s: float
    published_per_s: float
    delivered_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    p99_9_ms: float | None
    generator_cpu: float
    server_cpu: float | None
    queue_frames: float | None


class Story:
    """See the module's docstring."""

    def __init__(self) -> None:
        self.programme: Programme | None = None
        self.now: Snapshot | None = None
        self.waiting: str | None = None
        """For what, while there is nothing new to see."""
        self.windows: deque[Window] = deque(maxlen=REMEMBERED)

    @property
    def slos(self) -> Sequence[Slo]:
        """The objectives of the run."""
        return () if self.programme is None else self.programme.slos

    @property
    def is_behind(self) -> bool:
        """Whether less was published lately than was due: a single second says little, messages are due at random."""
        lately = list(self.windows)[-LATELY:]
        due = {window.offered_per_s for window in lately}
        if len(lately) < LATELY or len(due) > 1 or not any(due):
            return False  # a rate that has just changed is no measure either
        return sum(window.published_per_s for window in lately) < MIN_ACHIEVED * LATELY * due.pop()

    @property
    def going_on_s(self) -> float | None:
        """Since when the run goes on; None before and after."""
        return None if self.now is None or self.waiting is not None else self.now.elapsed_s

    def begin(self, config: LoadConfig) -> None:
        """Another run: nothing of the one before is shown any more."""
        self.programme = Programme.of(config)
        self.now = None
        self.waiting = f"connecting to {self.programme.target}"
        self.windows.clear()

    def wait(self, what: str) -> None:
        """Nothing new is to be seen, because of this."""
        self.waiting = what

    def see(self, snapshot: Snapshot) -> None:
        """One more window."""
        self.now, self.waiting = snapshot, None
        server = snapshot.server
        self.windows.append(
            Window(
                measured=self.programme is None or self.programme.is_measured(snapshot.phase),
                clients=snapshot.clients,
                offered_per_s=snapshot.offered_per_s,
                published_per_s=snapshot.published_per_s,
                delivered_per_s=snapshot.delivered_per_s,
                p50_ms=snapshot.p50_ms,
                p99_ms=snapshot.p99_ms,
                p99_9_ms=snapshot.p99_9_ms,
                generator_cpu=snapshot.cpu_ratio,
                server_cpu=None if server is None else server.cpu_cores,
                queue_frames=None if server is None else server.queue_frames,
            )
        )
