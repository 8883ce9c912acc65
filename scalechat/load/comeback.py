"""When a client that lost its connection dials again: the decision alone.

It comes back when a person's client would (full jitter, see `scalechat.client.reconnect`), or when the scenario that
took it away says so. Times are seconds of Trio's clock.
"""

from __future__ import annotations

from scalechat.client.reconnect import Backoff
from scalechat.load.connection import Connection
from scalechat.load.seeded import Draw
from scalechat.load.surroundings import Surroundings
from scalechat.scenario import Churning
from scalechat.wire.closing import LOST


class Comeback:
    """Of client `number`."""

    __slots__ = ("_away_s", "_backoff", "_kind", "_number", "_world")

    def __init__(self, number: int, world: Surroundings) -> None:
        self._number = number
        self._world = world
        self._kind = world.recorder.plan.crowd.kind_of(number)
        self._away_s: float | None = None
        """How long it stays away, when the scenario and not the server says so."""
        self._backoff: Backoff | None = None
        """Made when it is needed: most clients never lose a connection."""

    @property
    def resumes(self) -> bool:
        """Whether it asks for what it missed, where the server can tell it."""
        return self._kind.resume if isinstance(self._kind, Churning) else True

    def planned(self, away_s: float) -> None:
        """The scenario takes the connection away, for so long."""
        self._away_s = away_s

    def told(self, now_s: float, after_ms: int) -> None:
        """The server asks to come back so much later, after it will have closed the connection."""
        self._patient().told(now_s, after_ms)

    def connected(self, now_s: float) -> None:
        """It is there again."""
        if self._backoff is not None:
            self._backoff.connected(now_s)

    def lasts_s(self, ordinal: int) -> float:
        """How long the client keeps its `ordinal`-th connection."""
        return self._drawn_s(2 * ordinal)

    def wait_s(self, connection: Connection, now_s: float) -> float | None:
        """How long to wait before the next connection, as this one is over; None when there is to be none."""
        if not self._world.reconnects:
            return None
        if connection.opened_ns is None:
            # Who never was there is told of when the ramp ends, and does not come later.
            return self._patient().failed(now_s) if connection.ordinal else None
        if connection.closed_by == "client":
            away_s, self._away_s = self._away_s, None
            return self._drawn_s(2 * connection.ordinal + 1) if away_s is None else away_s
        code = LOST.code if connection.close_code is None else connection.close_code
        return self._patient().ended(now_s, code, connection.close_reason)

    def _patient(self) -> Backoff:
        if self._backoff is None:
            self._backoff = Backoff(self._world.random)
        return self._backoff

    def _drawn_s(self, number: int) -> float:
        """How long a connection of a churning client lasts (even numbers), or it stays away; for ever for others."""
        if not isinstance(self._kind, Churning):
            return 0.0 if number % 2 else float("inf")
        middle_s = self._kind.away_s if number % 2 else self._kind.every_s
        drawn = self._world.chance.uniform(Draw.CHURN, self._number, number)
        return middle_s * (1 + self._kind.jitter * (2 * drawn - 1))
