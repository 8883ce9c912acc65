"""How much is kept in Redis, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scalechat.bus.redis.presence import LEASE_S


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a node asks Redis to keep; all nodes of a chat should ask for the same."""

    history_messages: int = 200
    history_age_s: int = 86_400
    """Of each room's log."""
    dedupe_s: int = 120
    """A repeated id is recognised for at least this long: longer than any client goes on retrying."""
    room_s: int = 7 * 86_400
    """A room in which nothing was said for so long begins anew."""
    stream_entries: int = 10_000
    stream_age_s: int = 600
    """Of each shard's stream, which only serves nodes that are behind; a node farther behind reads the logs."""
    lease_s: int = LEASE_S


DEFAULT: Final = Keeping()
