"""The plain integers of a run, counted where things happen and read wherever they are shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from scalechat.client.outgoing import Traffic


@dataclass(slots=True)
class Counters:
    """What happened since the run's start, in this process."""

    intended: int = 0
    published: int = 0
    acked: int = 0
    rejected: int = 0
    expected: int = 0
    delivered: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    phantom: int = 0
    early: int = 0
    """Deliveries of messages published before the recipient had joined: neither expected nor delivered."""
    unknown_frames: int = 0
    connects: int = 0
    open: int = 0
    reconnects: int = 0
    """Those of `connects` that were not a client's first."""
    disconnects: int = 0
    """Connections that ended without our wish."""
    evicted: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    connect_failures: dict[str, int] = field(default_factory=dict)
