"""One task reads the sockets of all connections.

A Trio task that waits for its own socket costs two `epoll_ctl` calls and a scheduler hop a read, 5 µs in all. Here the
sockets stay registered in an epoll of our own, one task waits until that has anything, and what was read is given to
its connection by a plain function. A connection that has to wait for something (``fed.hungry`` is False) is not read
meanwhile, so what its peer sends stays in the kernel and slows the peer down, as it would without the pump.

Reading takes turns: a socket is read once a round, and after `TURN_S` everybody else has a turn.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from typing import Final, Protocol

import trio

RECEIVE_BYTES: Final = 16 * 1024
"""One read: a burst of some 60 messages of 256 bytes. trio-websocket's own 4 KiB costs large messages four reads."""
EVENTS_PER_ROUND: Final = 1024
"""Sockets read before any is read again; those beyond come first in the next round, since epoll keeps a queue."""
TURN_S: Final = 0.001
"""How long others wait for the pump, beyond what one read leads to; loop lag has to stay under 5 ms."""


class Fed(Protocol):
    """Who gets the bytes of a socket."""

    hungry: bool
    """Whether it can take bytes now; whoever makes it True calls `Reading.resume`."""

    def feed(self, data: bytes, now_s: float) -> None:
        """What was read, and when (`trio.current_time`); b"" at the end of the stream. It may raise."""

    def fail(self, error: Exception) -> None:
        """The connection broke (`trio.BrokenResourceError`), or `feed` has raised."""


class Reading:
    """One socket that the pump reads."""

    __slots__ = ("_epoll", "_readings", "fed", "fileno", "registered", "sock")

    def __init__(self, sock: socket.socket, fed: Fed, epoll: select.epoll, readings: dict[int, Reading]) -> None:
        self.sock = sock
        self.fed = fed
        self.fileno = sock.fileno()
        self._epoll = epoll
        self._readings = readings
        epoll.register(self.fileno, select.EPOLLIN)
        self.registered = True
        readings[self.fileno] = self

    def suspend(self) -> None:
        """Do not read on until `resume`: what is not read must not keep the epoll ready."""
        self.registered = False
        if not self._epoll.closed:
            self._epoll.unregister(self.fileno)

    def resume(self) -> None:
        """Read on, if it had been suspended."""
        if not self.registered:
            self._epoll.register(self.fileno, select.EPOLLIN)
            self.registered = True

    def stop(self) -> None:
        """Read no more. To be called before the socket is closed: its number may then be another socket's."""
        if self.registered:
            self.suspend()
        del self._readings[self.fileno]


class Pump:
    """See the module's docstring. Linux only; elsewhere each connection reads its own socket."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readings: dict[int, Reading] = {}
        self.in_round = False
        """Whether there is more to read that the pump has seen: it reads every such socket once in a round."""

    def read(self, sock: socket.socket, fed: Fed) -> Reading:
        """Read the (non-blocking) socket from now on; nobody else may, until `Reading.stop`."""
        return Reading(sock, fed, self._epoll, self._readings)

    async def run(self) -> None:
        """Read until cancelled; what is registered then is not read any more."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                while events := self._epoll.poll(0, EVENTS_PER_ROUND):
                    self.in_round = True
                    await self._read_round(events)
                    self.in_round = False
                    await trio.lowlevel.checkpoint()
        finally:
            self._epoll.close()

    async def _read_round(self, events: list[tuple[int, int]]) -> None:
        now_s, turn_ends_s = trio.current_time(), time.perf_counter() + TURN_S
        for fileno, _events in events:
            if time.perf_counter() > turn_ends_s:
                await trio.lowlevel.checkpoint()
                now_s, turn_ends_s = trio.current_time(), time.perf_counter() + TURN_S
            # It may have been stopped meanwhile. If another has its number now, that is found to have nothing.
            reading = self._readings.get(fileno)
            if reading is None or not reading.registered:
                continue
            if reading.fed.hungry:
                _read(reading, now_s)
            else:
                reading.suspend()


def _read(reading: Reading, now_s: float) -> None:
    fed = reading.fed
    try:
        data = reading.sock.recv(RECEIVE_BYTES)
    except BlockingIOError:
        return
    except OSError as error:
        broken = trio.BrokenResourceError()
        broken.__cause__ = error
        fed.fail(broken)
        return
    try:
        fed.feed(data, now_s)
    except Exception as error:  # noqa: BLE001 (whatever it is ends that connection, within its own fence)
        fed.fail(error)


def open_pump() -> Pump | None:
    """One where there can be one."""
    return Pump() if sys.platform == "linux" else None
