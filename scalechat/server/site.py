"""What the HTTP side tells about everything behind one port: this process alone, or all workers that share the port.

`Here` is this process. `scalechat.server.supervisor.everywhere` asks the others as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nlargest
from typing import Literal, Protocol

from prometheus_client.metrics_core import Metric
from pydantic import BaseModel, Field

from scalechat.server.hub import Hub
from scalechat.server.member import Member
from scalechat.server.metrics import Metrics
from scalechat.server.recent import Recent, Sample

SortConnections = Literal["queue", "age", "connected"]


class Stats(BaseModel):
    """A few live figures, as the page shows them. Rates are over the last second."""

    connections: int
    rooms: int
    publications_total: int
    deliveries_total: int
    publications_per_s: float
    deliveries_per_s: float
    loop_lag_p99_ms: float
    queue_bytes: int
    cpu_ratio: float
    rss_bytes: int
    uptime_s: float
    draining: bool


class ConnectionOut(BaseModel):
    session: str
    client_id: str | None = Field(alias="clientId")
    dialect: str
    address: str
    rooms: list[str]
    queue_frames: int
    queue_bytes: int
    queue_age_s: float
    connected_unix_s: float


class Connections(BaseModel):
    total: int
    connections: list[ConnectionOut]


def largest(every: Iterable[ConnectionOut], sort: SortConnections, limit: int) -> list[ConnectionOut]:
    """The first `limit` connections when the largest in `sort` comes first."""
    keys: dict[SortConnections, Callable[[ConnectionOut], float]] = {
        "queue": lambda c: c.queue_bytes,
        "age": lambda c: c.queue_age_s,
        "connected": lambda c: -c.connected_unix_s,
    }
    return sorted(every, key=keys[sort], reverse=True)[:limit]


class Site(Protocol):
    """Every question may raise `SiteError`; none waits longer than a few seconds."""

    knows_all_nodes: bool
    """Whether no node of the bus is outside."""

    async def families(self) -> Iterable[Metric]:
        """Every metric."""

    async def stats(self) -> Stats:
        """The live figures."""

    async def recent(self, since_unix_s: int) -> list[Sample]:
        """A sample of each of the last seconds after that one, oldest first."""

    async def not_ready(self) -> str | None:
        """Why no more clients should be sent here, or None."""

    async def connections(self, sort: SortConnections, limit: int) -> Connections:
        """The connections, the largest first."""

    async def kick(self, session_id: str) -> bool:
        """End a connection for an operator; False when it is not here."""


class SiteError(Exception):
    """The other processes behind the port did not answer."""


class Here:
    """This process. `now_s` is the queues' clock."""

    def __init__(
        self,
        hub: Hub,
        metrics: Metrics,
        recent: Recent,
        *,
        read_stats: Callable[[], Stats],
        not_ready: Callable[[], str | None],
        knows_all_nodes: bool,
        now_s: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._metrics = metrics
        self._recent = recent
        self._read_stats = read_stats
        self._not_ready = not_ready
        self._now_s = now_s
        self.knows_all_nodes = knows_all_nodes

    @property
    def rooms(self) -> list[str]:
        """Names of the rooms with members in this process."""
        return list(self._hub.rooms)

    async def families(self) -> Iterable[Metric]:
        return self._metrics.registry.collect()

    async def stats(self) -> Stats:
        return self._read_stats()

    async def recent(self, since_unix_s: int) -> list[Sample]:
        return self._recent.since(since_unix_s)

    async def not_ready(self) -> str | None:
        return self._not_ready()

    async def connections(self, sort: SortConnections, limit: int) -> Connections:
        moment_s = self._now_s()
        keys: dict[SortConnections, Callable[[Member], float]] = {
            "queue": lambda m: m.outbox.bytes,
            "age": lambda m: m.outbox.age_s(moment_s),
            "connected": lambda m: -m.connected_unix_s,
        }
        # Only those that are asked for are described: of 10,000 that would hold the loop up for longer than a sweep.
        chosen = [
            ConnectionOut(
                session=m.session_id,
                clientId=m.client_id,
                dialect=m.session.dialect.value,
                address=m.address,
                rooms=sorted(m.session.rooms),
                queue_frames=m.outbox.frames,
                queue_bytes=m.outbox.bytes,
                queue_age_s=round(m.outbox.age_s(moment_s), 3),
                connected_unix_s=m.connected_unix_s,
            )
            for m in nlargest(limit, self._hub.members.values(), key=keys[sort])
        ]
        return Connections(total=len(self._hub.members), connections=chosen)

    async def kick(self, session_id: str) -> bool:
        return self._hub.kick(session_id)
