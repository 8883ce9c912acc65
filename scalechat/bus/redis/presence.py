"""Who is in which room: this node's own counts, and what it has said about them to Redis.

Theory of operation. Every change is said as an absolute number of connections, in order, so it may be said again. In
Redis a client's number in a room is the sum over nodes, kept up to date by the same script that takes the statement.
What a node said holds while its lease runs; it renews the lease three times within it, and whichever node touches the
shard next takes out what a node without a lease left behind. A node that finds its own lease gone (it was stopped too
long, or Redis was flushed) says everything again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import trio

from scalechat.bus.base import BusError
from scalechat.bus.redis.keys import ALL_SHARDS, Shard, shard_of
from scalechat.bus.redis.link import Reply
from scalechat.bus.redis.scripts import ENTER
from scalechat.bus.redis.writer import Job, Writer

LEASE_S: Final = 6
"""A killed node's members are gone this long after its last sign of life, plus a beat of a third of it."""
STATEMENTS: Final = 50_000
"""Statements that may wait, as many as a full node has members: they cannot be refused, since connections end when they
end. Over that they are forgotten, and all is said anew when Redis is back."""


class Presence:
    """`scalechat.bus.redis.writer.Work` for statements about this node's members. `writer` is set once.

    `read_said` reads the "room client" pairs that Redis has of this node."""

    script = ENTER

    def __init__(
        self,
        node: bytes,
        *,
        lease_s: int,
        stream_entries: int,
        read_said: Callable[[Shard], Awaitable[Iterable[str]]],
    ) -> None:
        self._node = node
        self._read_said = read_said
        self._lease_s = lease_s
        self._stream_entries = stream_entries
        self._here: defaultdict[Shard, dict[str, dict[str, int]]] = defaultdict(dict)
        self._leased: set[Shard] = set()
        self._forgotten = False
        self.writer: Writer

    def frame(self, shard: Shard) -> tuple[Sequence[bytes], Sequence[bytes | str | int]]:
        keys = (shard.meta, shard.stream, shard.nodes, shard.index, shard.of(self._node))
        return keys, (self._stream_entries, self._node, self._lease_s)

    def note(self, shard: Shard, jobs: Sequence[Job], reply: Sequence[Reply] | int) -> None:  # noqa: ARG002  as `Work`
        if reply:
            self._leased.add(shard)
        elif shard in self._leased:
            self._say_all(shard)
        self._leased.add(shard)

    async def enter(self, room: str, client_id: str) -> None:
        """One connection more. Raises `BusError`; then, and when cancelled, there is not."""
        job = self._count(room, client_id, 1)
        job.done = trio.Event()
        try:
            await self.writer.submit(job)
        except BaseException:
            self.exit(room, client_id)
            raise

    def exit(self, room: str, client_id: str) -> None:
        """One connection fewer."""
        self._put(self._count(room, client_id, -1))

    async def run(self) -> None:
        """Keep the lease, until cancelled."""
        while True:
            await trio.sleep(self._lease_s / 3)
            if self._forgotten:
                self._forgotten = False
                for shard in ALL_SHARDS:
                    await self._correct(shard)
            for shard in list(self._here):
                self._put(Job(shard, (), (), done=None))

    async def _correct(self, shard: Shard) -> None:
        """Say what is true, and take back what is not."""
        try:
            said = await self._read_said(shard)
        except BusError:
            self._forgotten = True
            return
        here = self._here.get(shard, {})
        for field in said:
            room, _, client_id = field.partition(" ")
            if client_id not in here.get(room, {}):
                self._put(self._statement(shard, room, client_id, 0))
        self._say_all(shard)

    def _count(self, room: str, client_id: str, change: int) -> Job:
        shard = shard_of(room)
        clients = self._here[shard].setdefault(room, {})
        count = clients[client_id] = clients.get(client_id, 0) + change
        if count == 0:
            del clients[client_id]
            if not clients:
                del self._here[shard][room]
                if not self._here[shard]:
                    del self._here[shard]
        return self._statement(shard, room, client_id, count)

    def _statement(self, shard: Shard, room: str, client_id: str, count: int) -> Job:
        return Job(shard, (shard.here(room),), (room, client_id, count), done=None)

    def _put(self, job: Job) -> None:
        if self.writer.jobs >= STATEMENTS:
            self.writer.forget()
            self._forgotten = True
        self.writer.put(job)

    def _say_all(self, shard: Shard) -> None:
        for room, clients in self._here.get(shard, {}).items():
            for client_id, count in clients.items():
                self._put(self._statement(shard, room, client_id, count))
