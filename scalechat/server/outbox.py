"""One client's way out: a direct write when the socket takes it, else a bounded memory channel and its writer.

Theory of operation: every byte for a client passes `Outbox.offer`, which never blocks. While nothing waits, the bytes
go straight to the socket, and that is all that ever happens to a client that keeps up. What the socket does not take
goes into a bounded Trio memory channel (``waiting.py``), and a writer task, started on demand, sends it and ends when
the channel is empty. While the writer lives nothing is written past it, so the bytes of two frames never interleave. An
idle client owns neither channel nor task.

`offer` returns an `Outcome` instead of raising: what is to happen to a slow client is its caller's decision. Of a
`Spare` batch it queues or drops what the room's policy says. What must be sent (answers, control frames, batches of
other rooms) takes the place of messages that may be dropped before it is refused.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from scalechat.server.slow_consumer import DROPPING, Spare
from scalechat.server.waiting import Taken, Waiting

Data = bytes  # In the body of `Outbox` the name of the type is taken.
Spawn = Callable[[Callable[[], Awaitable[None]]], None]
"""Run a task in a nursery that outlives the connection; what it raises must not end others."""
SendNow = Callable[[bytes], int]
"""Write without blocking and return how many bytes were taken. When none, it may as well raise BlockingIOError, as a
socket's own ``send`` does; other OSErrors mean a broken connection."""
Refill = Callable[[], bool]
"""Queue a piece of what a client has still to be sent, now that nothing waits; False when there is no more to come."""


class Outcome(enum.Enum):
    SENT = enum.auto()
    QUEUED = enum.auto()
    """It waits, or its room's policy has dropped it and that is counted."""
    OVERFLOW = enum.auto()
    """Over a limit: nothing of it was kept, so this client has a hole now unless it is cut."""
    CLOSED = enum.auto()
    """The connection is going or gone; its reader notices by itself."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Per client. Frames bound the memory of small messages, bytes that of large ones."""

    frames: int
    bytes: int


@dataclass(slots=True, eq=False)
class Backlog:
    """What all outboxes hold together, as plain integers, and which of them hold anything."""

    frames: int = 0
    bytes: int = 0
    sent_bytes: int = 0
    """Ever written to any client's socket."""
    drops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DROPPING, 0))
    """Messages that were ever dropped, by policy."""
    outboxes: set[Outbox] = field(default_factory=set)

    def oldest_age_s(self, now_s: float) -> float:
        """Age of the oldest queued frame of all clients; 0 when nothing waits."""
        return max((outbox.age_s(now_s) for outbox in self.outboxes), default=0.0)


class Outbox:
    """See the module's docstring. One writer at a time: nobody else may write to `stream`.

    A write that failed or was cancelled may have left half a frame on the wire; from then on the outbox is `closed`,
    and the only right thing to do with the connection is to close it by force.
    """

    __slots__ = (
        "_backlog",
        "_refills",
        "_send_now",
        "_spawn",
        "_stream",
        "_waiting",
        "_writer",
        "_written",
        "closed",
        "direct",
        "limits",
    )

    def __init__(
        self,
        stream: trio.abc.SendStream,
        *,
        spawn: Spawn,
        limits: QueueLimits,
        backlog: Backlog,
        send_now: SendNow | None,
    ) -> None:
        """`spawn` runs the writer; `send_now` None (a stream without a socket) sends everything through it."""
        self._stream = stream
        self._spawn = spawn
        self.limits = limits
        self._backlog = backlog
        self._send_now = send_now
        self._waiting: Waiting | None = None
        self._writer: trio.CancelScope | None = None
        self._written: trio.Event | None = None  # Made by those who wait for the writer to end.
        self._refills: dict[str, Refill] | None = None  # By room.
        self.closed = False
        self.direct = send_now
        """How to write past the queue: only while nothing waits and nothing has ended, None otherwise. Whoever calls it
        gives what the socket has not taken to `queue_rest`, and adds to `Backlog.sent_bytes` what it has."""

    def offer(self, data: Data, frames: int = 1, spare: Spare | None = None, *, direct: bool = True) -> Outcome:
        """Send or queue `data`, which holds `frames` whole frames. `direct` False always queues.

        With `spare` the frames are that batch's last ones, and they may be dropped.
        """
        if self.closed:
            return Outcome.CLOSED
        if not direct or self.direct is None:
            return self.queue_rest(data, 0, frames, spare)
        taken = self._write_now(self.direct, data)
        if taken is None:
            return Outcome.CLOSED
        return Outcome.SENT if taken == len(data) else self.queue_rest(data, taken, frames, spare)

    def queue_rest(self, data: Data, taken: int, frames: int = 1, spare: Spare | None = None) -> Outcome:
        """Queue `data` but for the bytes that a direct write took; see `offer`."""
        waiting = self._waiting or Waiting(self.limits, self._backlog)
        if spare is not None:
            fitted = _admit(waiting, spare, len(spare.frames) - frames, taken)
        else:
            # The rest of a frame that has begun must follow, whatever the limits say.
            fitted = taken > 0 or waiting.make_room(frames, len(data))
            if fitted:
                waiting.append(data[taken:], frames, begun=taken > 0)
        if waiting.frames and self._waiting is None:
            self._start_writer(waiting)
        return Outcome.QUEUED if fitted else Outcome.OVERFLOW

    @property
    def queued(self) -> bool:
        """Whether anything waits."""
        return self._waiting is not None

    @property
    def frames(self) -> int:
        """How many wait."""
        return self._waiting.frames if self._waiting is not None else 0

    @property
    def bytes(self) -> int:
        """How many wait."""
        return self._waiting.bytes if self._waiting is not None else 0

    def age_s(self, now_s: float) -> float:
        """How long the oldest queued frame has waited."""
        return now_s - self._waiting.oldest_at_s if self._waiting is not None else 0.0

    def expire(self, before_s: float) -> bool:
        """Drop what may be dropped and was queued before; whether what the writer has is too old all the same."""
        if self._waiting is None:
            return False
        self._waiting.expire(before_s)
        return self._waiting.under_way_s < before_s

    def when_drained(self, room: str, refill: Refill) -> None:
        """Call `refill` once nothing waits any more, again and again until it returns False. One of each room."""
        if self._refills is None:
            self._refills = {}
        self._refills[room] = refill
        if self._waiting is None and not self.closed:
            self._start_writer(Waiting(self.limits, self._backlog))

    async def wait_written(self) -> None:
        """Wait until nothing is queued. Callers set the deadline: a stopped reader makes this last for ever."""
        if self._waiting is not None:
            if self._written is None:
                self._written = trio.Event()
            await self._written.wait()

    def finish(self, last: Data) -> None:
        """Send or queue `last`, whatever the limits say, and take nothing any more: a Close frame ends a connection."""
        if not self.closed:
            taken = 0 if self.direct is None else self._write_now(self.direct, last)
            if taken is None:
                return
            if taken < len(last):
                waiting = self._waiting or Waiting(self.limits, self._backlog)
                waiting.append(last[taken:], 1, begun=taken > 0)
                if self._waiting is None:
                    self._start_writer(waiting)
            self.closed = True
            self.direct = None

    def abandon(self) -> None:
        """Drop every frame that has not begun to be written; the one under way stays whole."""
        if self._waiting is not None:
            self._waiting.abandon()

    def close(self) -> None:
        """Take nothing any more, forget what waits and stop the writer. The stream itself is closed by its owner."""
        self.closed = True
        self.direct = None
        self.abandon()
        if self._writer is not None:
            self._writer.cancel()

    def _write_now(self, direct: SendNow, data: Data) -> int | None:
        """How many bytes the socket took; None when it is broken, and the outbox closed therefore."""
        try:
            taken = direct(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            return None
        self._backlog.sent_bytes += taken
        return taken

    def _start_writer(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.direct = None
        self._backlog.outboxes.add(self)
        self._writer = trio.CancelScope()
        self._spawn(self._write)

    async def _write(self) -> None:
        waiting = self._waiting
        assert waiting is not None
        assert self._writer is not None
        taken: Taken | None = None
        try:
            with self._writer:
                while (taken := self._take(waiting)) is not None:
                    await self._stream.send_all(taken.data)
                    self._backlog.sent_bytes += len(taken.data)
                    waiting.sent(taken)
                    taken = None
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # The reader meets the same end and tells why.
        finally:
            if taken is not None:
                waiting.sent(taken)
                self.close()
            self._waiting = self._writer = None
            self.direct = None if self.closed else self._send_now
            self._backlog.outboxes.discard(self)
            if self._written is not None:
                self._written.set()
                self._written = None

    def _take(self, waiting: Waiting) -> Taken | None:
        while (taken := waiting.take()) is None and self._refills and not self.closed:
            room, refill = self._refills.popitem()
            if refill():
                self._refills = {room: refill, **self._refills}  # Last in, first out: the others' turn comes first.
        return taken


def _admit(waiting: Waiting, spare: Spare, first: int, taken: int) -> bool:
    """Of the frames from `first` on the socket took `taken` bytes: the rest of one that has begun must follow."""
    while taken:
        frame = spare.frames[first]
        if taken < len(frame):
            waiting.append(frame[taken:], 1, begun=True)
        taken -= min(taken, len(frame))
        first += 1
    return waiting.admit(spare, first)
