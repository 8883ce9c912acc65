"""One client's way out: a direct write when the socket takes it, else a bounded memory channel and its writer.

Theory of operation: every byte for a client passes `Outbox.offer`, which never blocks. While nothing waits, the bytes
go straight to the socket, and that is all that ever happens to a client that keeps up. What the socket does not take
goes into a bounded Trio memory channel, and a writer task, started on demand, sends it and ends when the channel is
empty. While the writer lives nothing is written past it, so the bytes of two frames never interleave. An idle client
owns neither channel nor task.

`offer` returns an `Outcome` instead of raising: what is to happen to a slow client is its caller's decision.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import trio

Spawn = Callable[[Callable[[], Awaitable[None]]], None]
"""Run a task in a nursery that outlives the connection; what it raises must not end others."""
SendNow = Callable[[bytes], int]
"""Write without blocking and return how many bytes were taken; 0 when none. Raises OSError on a broken connection."""


class Outcome(enum.Enum):
    SENT = enum.auto()
    QUEUED = enum.auto()
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
    outboxes: set[Outbox] = field(default_factory=set)

    def oldest_age_s(self, now_s: float) -> float:
        """Age of the oldest queued frame of all clients; 0 when nothing waits."""
        return max((outbox.age_s(now_s) for outbox in self.outboxes), default=0.0)


class _Item(msgspec.Struct, frozen=True, gc=False):
    data: bytes
    frames: int
    queued_at_s: float
    begun: bool
    """The rest of what is partly on the wire: it must follow."""


class Outbox:
    """See the module's docstring. One writer at a time: nobody else may write to `stream`.

    A write that failed or was cancelled may have left half a frame on the wire; from then on the outbox is `closed`,
    and the only right thing to do with the connection is to close it by force.
    """

    __slots__ = (
        "_backlog",
        "_channel",
        "_limits",
        "_oldest_at_s",
        "_send_now",
        "_spawn",
        "_stream",
        "_writer",
        "_written",
        "bytes",
        "closed",
        "frames",
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
        self._limits = limits
        self._backlog = backlog
        self._send_now = send_now
        self._channel: tuple[trio.MemorySendChannel[_Item], trio.MemoryReceiveChannel[_Item]] | None = None
        self._writer: trio.CancelScope | None = None
        self._written: trio.Event | None = None  # Made by those who wait for the writer to end.
        self._oldest_at_s = 0.0
        self.frames = 0
        self.bytes = 0
        self.closed = False

    def offer(self, data: bytes, frames: int = 1, *, direct: bool = True) -> Outcome:
        """Send or queue `data`, which holds `frames` whole frames. `direct` False always queues."""
        if self.closed:
            return Outcome.CLOSED
        if self._channel is None and direct and self._send_now is not None:
            try:
                taken = self._send_now(data)
            except OSError:
                self.close()
                return Outcome.CLOSED
            self._backlog.sent_bytes += taken
            if taken == len(data):
                return Outcome.SENT
            if taken:  # The rest of a frame that has begun must follow, whatever the limits say.
                return self._queue(data[taken:], frames, begun=True)
        if self.frames + frames > self._limits.frames or self.bytes + len(data) > self._limits.bytes:
            return Outcome.OVERFLOW
        return self._queue(data, frames)

    @property
    def queued(self) -> bool:
        """Whether anything waits."""
        return self._channel is not None

    def age_s(self, now_s: float) -> float:
        """How long the oldest queued frame has waited."""
        return now_s - self._oldest_at_s if self._channel is not None else 0.0

    async def wait_written(self) -> None:
        """Wait until nothing is queued. Callers set the deadline: a stopped reader makes this last for ever."""
        if self._channel is not None:
            if self._written is None:
                self._written = trio.Event()
            await self._written.wait()

    def finish(self, last: bytes) -> None:
        """Send or queue `last`, whatever the limits say, and take nothing any more: a Close frame ends a connection."""
        if not self.closed:
            taken = 0
            if self._channel is None and self._send_now is not None:
                try:
                    taken = self._send_now(last)
                except OSError:
                    self.close()
                    return
                self._backlog.sent_bytes += taken
            if taken < len(last):
                self._queue(last[taken:], 1, begun=taken > 0)
            self.closed = True

    def abandon(self) -> None:
        """Drop every frame that has not begun to be written; the one under way stays whole."""
        if self._channel is not None:
            send, receive = self._channel
            for _ in range(receive.statistics().current_buffer_used):
                item = receive.receive_nowait()
                if item.begun:  # Its writer has not run yet.
                    send.send_nowait(item)
                else:
                    self._account(item, -1)

    def close(self) -> None:
        """Take nothing any more, forget what waits and stop the writer. The stream itself is closed by its owner."""
        self.closed = True
        self.abandon()
        if self._writer is not None:
            self._writer.cancel()

    def _queue(self, data: bytes, frames: int, *, begun: bool = False) -> Outcome:
        item = _Item(data, frames, trio.current_time(), begun)
        if self._channel is None:
            # The frame limit counts frames and an item has at least one, so this buffer is never the first to be full;
            # one more for the rest of a frame that has begun, one for the last frame.
            self._channel = trio.open_memory_channel[_Item](self._limits.frames + 2)
            self._oldest_at_s = item.queued_at_s
            self._backlog.outboxes.add(self)
            self._writer = trio.CancelScope()
            self._spawn(self._write)
        self._channel[0].send_nowait(item)
        self._account(item, +1)
        return Outcome.QUEUED

    async def _write(self) -> None:
        assert self._channel is not None
        assert self._writer is not None
        receive = self._channel[1]
        item: _Item | None = None
        try:
            with self._writer:
                while receive.statistics().current_buffer_used:
                    item = receive.receive_nowait()
                    self._oldest_at_s = item.queued_at_s
                    await self._stream.send_all(item.data)
                    self._backlog.sent_bytes += len(item.data)
                    self._account(item, -1)
                    item = None
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # The reader meets the same end and tells why.
        finally:
            if item is not None:
                self._account(item, -1)
                self.close()
            self._channel = self._writer = None
            self._backlog.outboxes.discard(self)
            if self._written is not None:
                self._written.set()
                self._written = None

    def _account(self, item: _Item, sign: int) -> None:
        frames, size = sign * item.frames, sign * len(item.data)
        self.frames += frames
        self.bytes += size
        self._backlog.frames += frames
        self._backlog.bytes += size
