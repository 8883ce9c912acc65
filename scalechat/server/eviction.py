"""Every way in which the server itself ends a member's connection, counted by reason."""

from __future__ import annotations

from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.wire import closing

SLOW_RETRY_MS = 1000
"""When a client that was too slow is asked to come back and resume; its own jitter spreads it further."""

LOST_RETRY_MS = 100
LOST_RETRIES_PER_S = 1000
"""Members of a room whose log began anew come back one after the other: a third of what a node accepts on one core."""


class Evictor:
    """Plain decisions: count it, and ask the member to end. One that is ending already is neither counted nor asked."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def queue_full(self, member: Member) -> None:
        self._end(member, "queue_full", closing.TOO_SLOW, retry_after_ms=SLOW_RETRY_MS)

    def queue_too_old(self, member: Member) -> None:
        self._end(member, "queue_age", closing.TOO_SLOW, retry_after_ms=SLOW_RETRY_MS)

    def left_behind(self, member: Member) -> None:
        """It was paused, and the room's log does not reach back to where it is."""
        self._end(member, "resync", closing.TOO_SLOW, retry_after_ms=SLOW_RETRY_MS)

    def log_reset(self, member: Member, place: int) -> None:
        """A room's log does not go on from what it was given; `place` is its own among those it happens to at once."""
        after_ms = LOST_RETRY_MS + place * 1000 // LOST_RETRIES_PER_S
        self._end(member, "log_reset", closing.GOING_AWAY, "a room's log began anew", retry_after_ms=after_ms)

    def silent(self, member: Member) -> None:
        self._end(member, "heartbeat", closing.GOING_AWAY, "no answer to pings")

    def token_expired(self, member: Member) -> None:
        self._end(member, "token_expired", closing.NOT_AUTHORISED, "the token has expired")

    def too_fast(self, member: Member) -> None:
        self._end(member, "rate_limit", closing.RATE_LIMIT, retry_after_ms=RATE_RETRY_MS)

    def kicked(self, member: Member) -> None:
        self._end(member, "kicked", closing.KICKED)

    def _end(
        self, member: Member, reason: str, why: closing.Closing, detail: str = "", *, retry_after_ms: int | None = None
    ) -> None:
        if not member.outbox.closed:
            self._counters.evictions[reason] += 1
            member.end(why, detail, retry_after_ms=retry_after_ms)


RATE_RETRY_MS = 2000
"""When one who spoke too fast is asked to come back: its debt is forgiven by then."""
