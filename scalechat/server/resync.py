"""Members that are paused in a room, and how they get back: the room's log, piece by piece, while they read.

Theory of operation: a paused member stands at a position above all others, so a sweep passes it at no cost. Its outbox
asks for more when nothing waits any more (`Outbox.when_drained`); it is given the next piece of the log, and with the
piece that reaches the room's position it is an ordinary member again, in the same step: no message falls between. When
the log no longer reaches back to where the member is, it is ended: it must learn that there is a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate

from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Outcome
from scalechat.server.room import Room

PIECE_FRAMES = 128
PIECE_BYTES = 128 * 1024
"""One piece of the log, at most (or one message, if that is larger): as much as a sweep gives a member at once."""


class Resync:
    """`evict` is told of each member that the log has left behind, or whose queue cannot hold its next message."""

    def __init__(self, *, counters: Counters, evict: Callable[[Member], None]) -> None:
        self._counters = counters
        self._evict = evict

    def pause(self, room: Room, member: Member, after_seq: int) -> None:
        """`member` has had everything of `room` up to `after_seq`, and gets the rest when it has read that."""
        room.pause(member, after_seq)
        member.outbox.when_drained(room.name, partial(self._refill, room, member))

    def _refill(self, room: Room, member: Member) -> bool:
        """See `scalechat.server.outbox.Refill`."""
        after_seq = room.paused.get(member)
        if after_seq is None:  # It has left, or joined again.
            return False
        limits = member.outbox.limits
        missed = room.after(after_seq, min(PIECE_FRAMES, limits.frames))
        if missed is None:
            self._evict(member)
            return False
        sizes = accumulate(len(prepared.frame) for prepared in missed)
        budget_bytes = min(PIECE_BYTES, limits.bytes)
        piece = [
            prepared
            for at, (prepared, size) in enumerate(zip(missed, sizes, strict=True))
            if at == 0 or size <= budget_bytes
        ]
        if piece:
            data = b"".join([prepared.frame for prepared in piece])
            if member.outbox.offer(data, len(piece), direct=False) is not Outcome.QUEUED:
                self._evict(member)
                return False
            self._counters.deliveries += len(piece)
            after_seq = piece[-1].seq
        if after_seq < room.seq:
            room.pause(member, after_seq)
            return True
        room.resume(member)
        return False
