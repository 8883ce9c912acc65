"""What a person may see of a run while it goes: one snapshot a second, for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from scalechat.load.histogram import Histogram


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


class Nobody:
    """Watches nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Ignore it."""

    def note(self, line: str) -> None:
        """Ignore it."""
