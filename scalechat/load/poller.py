"""One task reads the sockets of all clients.

A Trio task per socket costs two scheduler hops and two `epoll_ctl` calls a read, 14 µs in all; a selector inside Trio's
own, drained by one task, costs 4. On a meter that must be far cheaper than what it measures this is the largest single
saving, and everything else of a connection (its handshake, its end, its writes) stays with its own tasks.
"""

from __future__ import annotations

import select
import selectors
import socket
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

import trio

from scalechat.client.transport import RECEIVE_BYTES
from scalechat.load.pacing import NowNs, monotonic_ns

READS_PER_TURN: Final = 128
"""Sockets read before everybody else gets a turn: some 0.6 ms of small chunks, 2 ms of the largest known ones."""
DOZE_S: Final = 0.0002
"""In a burst what has just come is read so much later, together. A reader that keeps up with a server otherwise finds a
chunk or two each time it looks, and looking, with everything Trio does for it, costs ten times as much as reading one.
Shorter than Trio's clock can tell (epoll counts in ms), and than a turn: so nobody waits longer than for a turn of
reading, and no time of arrival is wrong by more."""
_BURST_READS: Final = 16
_BURST_NS: Final = 1_000_000
"""So many chunks in so short a time are a burst."""

if sys.platform == "darwin":

    class _Ready:
        """The sockets that can be read now."""

        def __init__(self) -> None:
            self._selector = selectors.KqueueSelector()
            self.fileno = self._selector.fileno
            self.unregister = self._selector.unregister
            self.close = self._selector.close

        def register(self, fd: int) -> None:
            self._selector.register(fd, selectors.EVENT_READ)

        def take(self, limit: int) -> list[tuple[int, int]]:
            return [(key.fd, events) for key, events in self._selector.select(0)[:limit]]

else:

    class _Ready:
        """The sockets that can be read now. epoll itself: what `selectors` adds costs as much as reading a message."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.fileno = self._epoll.fileno
            self.unregister = self._epoll.unregister
            self.close = self._epoll.close

        def register(self, fd: int) -> None:
            self._epoll.register(fd, select.EPOLLIN)

        def take(self, limit: int) -> list[tuple[int, int]]:
            return self._epoll.poll(0, limit)


class Fed(Protocol):
    """Who gets the bytes of a socket."""

    def feed(self, data: bytes) -> None:
        """What was read; b"" at the end of the stream."""
        ...

    def feed_error(self) -> None:
        """The connection broke."""
        ...


class Poller:
    """Reads sockets and feeds what came to their owners, synchronously."""

    __slots__ = ("_clock", "_doze", "_reading", "_reads", "_ready", "_since_ns")

    def __init__(self, *, clock: NowNs = monotonic_ns, doze: Callable[[float], None] = time.sleep) -> None:
        """`doze` waits so many seconds without a word to Trio."""
        self._clock = clock
        self._doze = doze
        self._reads, self._since_ns = 0, 0
        self._ready = _Ready()
        # With what is called for each chunk looked up beforehand.
        self._reading: dict[int, tuple[Callable[[int], bytes], Callable[[bytes], None], Fed]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready.close()

    def add(self, sock: socket.socket, owner: Fed) -> Callable[[], None]:
        """Read the (non-blocking) socket from now on; nobody else may. Returns how to stop, before it is closed."""
        fd = sock.fileno()
        reading = self._reading[fd] = (sock.recv, owner.feed, owner)
        self._ready.register(fd)

        def stop() -> None:
            if self._reading.get(fd) is reading:  # Otherwise the number belongs to another socket by now.
                self._stop(fd)

        return stop

    async def run(self) -> None:
        """Read until cancelled."""
        ready, reading = self._ready, self._reading
        while True:
            await trio.lowlevel.wait_readable(ready.fileno())
            while taken := ready.take(READS_PER_TURN):
                for fd, _events in taken:
                    if (entry := reading.get(fd)) is None:
                        continue
                    recv, feed, owner = entry
                    try:
                        data = recv(RECEIVE_BYTES)
                    except BlockingIOError:  # Ready was another socket that had this number.
                        continue
                    except OSError:
                        self._stop(fd)
                        owner.feed_error()
                        continue
                    if not data:
                        self._stop(fd)  # An end of stream stays readable; nothing more can come.
                    feed(data)
                if len(taken) < READS_PER_TURN:  # Everything that was there has been read.
                    if not self._is_burst(len(taken)):
                        break
                    self._doze(DOZE_S)
                await trio.lowlevel.checkpoint()

    def _is_burst(self, reads: int) -> bool:
        """Whether so much comes that the next chunks are on their way; to be asked after so many reads."""
        self._reads += reads
        if self._reads < _BURST_READS:
            return False
        now_ns = self._clock()
        is_burst = now_ns - self._since_ns < _BURST_NS
        self._reads, self._since_ns = 0, now_ns
        return is_burst

    def _stop(self, fd: int) -> None:
        del self._reading[fd]
        self._ready.unregister(fd)
