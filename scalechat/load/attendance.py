"""Who of a run's clients is there: the end of the ramp, and the moment when nobody is left, follow from it."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Final

import trio

from scalechat.load.counters import Counters
from scalechat.load.virtual_client import VirtualClient

LOST: Final = "the server closed or lost every connection"
LOOK_S: Final = 0.02


class Attendance:
    """Of the clients of one process."""

    def __init__(self, clients: Sequence[VirtualClient], count: int, counters: Counters) -> None:
        """`clients` may be filled later; `count` of them are to be there first."""
        self._clients = clients
        self._counters = counters
        self.meant = count
        """How many are to be there now."""
        self._unsettled = count
        self._settled = trio.Event()
        if not count:
            self._settled.set()
        self._deserted = trio.Event()
        """No connection is open, and clients try to come back."""

    def settled(self) -> None:
        """One client has joined its room, or failed to; each says so once."""
        self._unsettled -= 1
        if not self._unsettled:
            self._settled.set()

    async def wait_settled(self) -> None:
        """Return when each client has."""
        await self._settled.wait()

    @property
    def is_full(self) -> bool:
        """Whether every client that is to be there has a connection."""
        return self._counters.open == self.meant

    @property
    def has_anybody(self) -> bool:
        """Whether there is a connection, or somebody who means to have one again."""
        return self._counters.open > 0 or any(client.is_away for client in self._clients)

    @property
    def awaits(self) -> bool:
        """Whether something can still come to somebody who is there; who is gone gets nothing any more."""
        return any(client.awaits for client in self._clients)

    def is_answered(self, number: int, sent_ns: int) -> bool:
        """Whether an answer can still come to what the client sent then: the connection that took it is there."""
        client = self._clients[bisect.bisect_left(self._clients, number, key=lambda client: client.number)]
        return client.is_open and client.connection is not None and (client.connection.opened_ns or 0) <= sent_ns

    def left(self, forlorn: Callable[[str], None]) -> None:
        """A connection ended before its time; when it was the last, and nobody comes back, `forlorn` is told why."""
        if not self._counters.open:
            if self.has_anybody:
                self._deserted.set()
            else:
                forlorn(LOST)

    async def watch(self, patience_s: float, forlorn: Callable[[str], None]) -> None:
        """When everybody is away, somebody is to be back in this time. Runs until cancelled."""
        while True:
            await self._deserted.wait()
            self._deserted = trio.Event()
            with trio.move_on_after(patience_s):
                while not self._counters.open:  # noqa: ASYNC110 - counters have no events
                    await trio.sleep(LOOK_S)
            if not self._counters.open:
                forlorn(f"{LOST} and nobody came back")
