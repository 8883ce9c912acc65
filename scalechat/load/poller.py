"""One task reads the sockets of all clients.

A Trio task per socket costs two scheduler hops and two `epoll_ctl` calls a read, 14 µs in all; a selector inside Trio's
own, drained by one task, costs 4. On a meter that must be far cheaper than what it measures this is the largest single
saving, and everything else of a connection (its handshake, its end, its writes) stays with its own tasks.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

import trio

from scalechat.client.transport import RECEIVE_BYTES

READS_PER_TURN: Final = 64
"""Sockets read before everybody else gets a turn: some 0.3 ms of small chunks."""

if sys.platform == "darwin":
    _Selector = selectors.KqueueSelector
else:
    _Selector = selectors.EpollSelector


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

    __slots__ = ("_selector",)

    def __init__(self) -> None:
        self._selector = _Selector()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()

    def add(self, sock: socket.socket, owner: Fed) -> Callable[[], None]:
        """Read the (non-blocking) socket from now on; nobody else may. Returns how to stop, before it is closed."""
        reading = _Reading(sock, owner)
        self._selector.register(sock, selectors.EVENT_READ, reading)

        def stop() -> None:
            if reading.active:
                reading.active = False
                self._selector.unregister(sock)

        return stop

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._selector.fileno())
            for count, (key, _events) in enumerate(self._selector.select(0), start=1):
                self._read(key.data)
                if count % READS_PER_TURN == 0:
                    await trio.lowlevel.checkpoint()

    def _read(self, reading: _Reading) -> None:
        if not reading.active:  # Closed meanwhile, and its number may belong to another socket by now.
            return
        try:
            data = reading.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._stop(reading)
            reading.owner.feed_error()
            return
        if not data:
            self._stop(reading)  # An end of stream stays readable; nothing more can come.
        reading.owner.feed(data)

    def _stop(self, reading: _Reading) -> None:
        reading.active = False
        self._selector.unregister(reading.sock)


class _Reading:
    """One socket that is being read."""

    __slots__ = ("active", "owner", "sock")

    def __init__(self, sock: socket.socket, owner: Fed) -> None:
        self.sock = sock
        self.owner = owner
        self.active = True
