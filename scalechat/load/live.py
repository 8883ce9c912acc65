"""What a person may see of a run while it goes: one snapshot a second, for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from scalechat.config import LoadConfig
from scalechat.load.histogram import Histogram

WRITING: Final = "writing the run"


@dataclass(frozen=True, slots=True)
class ServerGlimpse:
    """The server by its newest scrape; None for what its page does not show."""

    cpu_cores: float | None = None
    """Since the scrape before."""
    rss_bytes: float | None = None
    connections: float | None = None
    queue_frames: float | None = None
    queue_bytes: float | None = None
    queue_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The run at one moment; rates and percentiles are of the last window (about a second)."""

    phase: str
    elapsed_s: float
    phase_left_s: float | None
    """How long the phase still takes; None when that depends on the server."""
    window_s: float
    """How long the window was."""
    clients: int
    target_clients: int
    offered_per_s: float
    published_per_s: float
    delivered_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    missing: int
    """Deliveries that were overtaken by later ones and have not come; final after the drain."""
    duplicated: int
    reordered: int
    errors: int
    cpu_ratio: float
    """Of the load client's core."""
    p99_9_ms: float | None = None
    corrupted: int = 0
    loop_lag_p99_ms: float | None = None
    """Of the load client, in the window."""
    send_lag_p50_ms: float | None = None
    rss_bytes: int | None = None
    """Of the load client."""
    delivery: Histogram = field(default_factory=Histogram)
    """The latencies of the window, for whoever adds up several processes."""
    delivered: int = 0
    """Since the start."""
    expected: int = 0
    """Deliveries that the messages published since the start ask for."""
    measured: dict[str, Histogram] = field(default_factory=dict)
    """Metric → what was measured of it so far, for those that an objective names."""
    counted: dict[str, int | None] = field(default_factory=dict)
    """What objectives may count, since the start; None for what is known at the end only."""
    is_closed_loop: bool = False
    """Stalls of the server are hidden."""
    server: ServerGlimpse | None = None
    """None when the target shows no metrics, or has not been asked yet."""


class Watcher(Protocol):
    """Somebody who watches a run. Neither method may block or raise."""

    def show(self, snapshot: Snapshot) -> None:
        """Once a second and at each change of phase."""
        ...

    def note(self, line: str) -> None:
        """Something happened that a person should know."""
        ...


class Audience(Watcher, Protocol):
    """Somebody who watches runs, from before the first connection to the last file."""

    def begin(self, config: LoadConfig) -> None:
        """A run begins that is to do this; whatever was shown is of another."""
        ...

    def wait(self, what: str) -> None:
        """Nothing is to be seen for a while, because of this."""
        ...


class Nobody:
    """Watches nothing."""

    def begin(self, config: LoadConfig) -> None:
        """Ignore it."""

    def wait(self, what: str) -> None:
        """Ignore it."""

    def show(self, snapshot: Snapshot) -> None:
        """Ignore it."""

    def note(self, line: str) -> None:
        """Ignore it."""
