"""The loop that follows the streams of the shards this node has rooms in, over a connection of its own.

One blocking read asks for everything after the last position of each shard, and for notices; in a Redis Cluster, where
one read may not span slots, there is a loop for each stream. A lost connection changes nothing about the positions.
When a shard is out of step (`following`), or may be after a reconnect, each of its rooms is compared with its log in
Redis before reading goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

import msgspec
import trio
from coredis.exceptions import RedisError

from scalechat.bus.base import BusError, Deliver, Page
from scalechat.bus.redis.address import ANSWER_S
from scalechat.bus.redis.following import Followed, OutOfStep, Reading, catch_up, parse_id
from scalechat.bus.redis.keys import NOTICE_KEY, NOTICE_SLOT, Shard
from scalechat.bus.redis.link import Command, Elsewhere, Link, LinkDown, Reply
from scalechat.bus.redis.pace import wait_tick
from scalechat.bus.redis.readings import Readings

BLOCK_S: Final = 2.0
"""A read that finds nothing ends after this, so a dead connection is noticed soon after."""
READ_ENTRIES: Final = 512
"""Entries of one read over all shards: a few ms of work, and with the largest messages 32 MiB."""
SLICE: Final = 64
"""Entries delivered before other tasks get a turn."""
NUDGE_S: Final = 0.02
"""Between two attempts to end a read that does not ask for a new shard yet."""


class Located(msgspec.Struct, frozen=True):
    """A page with where its shard stood when it was read."""

    page: Page
    generation: str
    number: int
    id: bytes


class Log(Protocol):
    """What a reader asks of Redis beside its stream."""

    async def read_page(self, room: str, epoch: str, seq: int) -> Located:
        """A room's page, whole or what comes after a position that is known."""

    async def read_number(self, shard: Shard) -> tuple[str, int]:
        """Generation and number of the shard's newest entry."""

    async def renew(self, shard: Shard, generation: str, number: int) -> None:
        """See `scalechat.bus.redis.generation.renew`."""


class Reader:
    """One loop. `wanted` tells which streams, in which slots, are read by it; `nudge` ends its blocking read."""

    def __init__(
        self,
        link: Link,
        readings: Readings,
        *,
        wanted: Callable[[bytes, int], bool],
        log: Log,
        nudge: Callable[[int], Awaitable[Reply]],
        deliver: Deliver,
        pause: Callable[[], Awaitable[None]],
        moved: Callable[[], Awaitable[None]],
    ) -> None:
        self.link = link
        self._readings = readings
        self._wanted = wanted
        self._log = log
        self._nudge = nudge
        self._deliver = deliver
        self._pause = pause
        self._moved = moved
        self._out_of_step: dict[bytes, Reading] = {}
        self._asked: frozenset[bytes] | None = None
        """Of the read under way."""
        self._changed = trio.Event()

    async def run(self) -> None:
        """Read until cancelled."""
        connects = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_nudging)
            while True:
                await self.link.wait_up()
                began_s = trio.current_time()
                try:
                    if (connected := self.link.connects) != connects:
                        await self._look_at_all()
                        connects = connected
                    await self._get_in_step()
                    reply = await self._read()
                except Elsewhere:
                    await self._moved()
                    await self._pause()
                    continue
                except (LinkDown, BusError):
                    await self._pause()
                    continue
                await self._take(reply)
                await wait_tick(began_s)

    def changed(self) -> None:
        """There are shards to read here that there were not before."""
        self._changed.set()

    def _mine(self) -> dict[bytes, Reading]:
        return {s: r for s, r in self._readings.by_stream.items() if r.id and self._wanted(s, r.shard.slot)}

    def _positions(self) -> dict[bytes, bytes]:
        positions = {stream: reading.id for stream, reading in self._mine().items()}
        if self._wanted(NOTICE_KEY, NOTICE_SLOT):
            positions[NOTICE_KEY] = self._readings.notice_id
        return positions

    async def _read(self) -> Reply:
        positions = self._positions()
        if not positions:
            await self._changed.wait()
            return None
        self._asked = frozenset(positions)
        try:
            many = max(4, READ_ENTRIES // len(positions))
            how: Command = (b"XREAD", b"COUNT", many, b"BLOCK", int(BLOCK_S * 1000), b"STREAMS")
            return await self.link.call(*how, *positions, *positions.values(), answer_s=BLOCK_S + ANSWER_S)
        except RedisError as refusal:
            raise LinkDown from refusal
        finally:
            self._asked = None

    async def _keep_nudging(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            while self._asked is not None and not self._asked.issuperset(self._positions()):
                try:
                    await self._nudge(self.link.client_id)
                except (LinkDown, Elsewhere, RedisError):
                    break  # It ends by itself, a little later.
                await trio.sleep(NUDGE_S)

    async def _take(self, reply: Reply) -> None:
        if not isinstance(reply, dict):
            return
        taken = 0
        for stream, entries in reply.items():
            reading = self._readings.by_stream.get(stream)
            for id, (_, value) in cast("list[tuple[bytes, tuple[bytes, bytes]]]", entries):
                if stream == NOTICE_KEY:
                    event = self._readings.take_notice(id, value)
                    if event is not None:
                        self._deliver(event)
                elif reading is None or not self._take_entry(stream, reading, id, value):
                    break
                taken += 1
                if taken % SLICE == 0:
                    await trio.lowlevel.checkpoint()
            self._readings.note_progress(id)

    def _take_entry(self, stream: bytes, reading: Reading, id: bytes, value: bytes) -> bool:
        """Whether reading this shard can go on."""
        if not reading.id:
            return False
        if parse_id(id) <= parse_id(reading.id):
            return True
        try:
            events = reading.take(id, value)
        except OutOfStep:
            self._out_of_step[stream] = reading
            return False
        for event in events:
            self._deliver(event)
        return True

    # --- getting back in step ---------------------------------------------------------------------------------------

    async def _look_at_all(self) -> None:
        """After a reconnect: a stream that holds less than was read from it will not say so by itself."""
        for stream, reading in self._mine().items():
            generation, number = await self._log.read_number(reading.shard)
            if generation != reading.generation or number < reading.number:
                self._out_of_step[stream] = reading

    async def _get_in_step(self) -> None:
        for stream, reading in list(self._out_of_step.items()):
            if self._readings.by_stream.get(stream) is reading and reading.id:
                await self._compare(reading)
            self._out_of_step.pop(stream, None)

    async def _compare(self, reading: Reading) -> None:
        """Give each room what it lacks, and go on from where the first of their pages was read."""
        await self._log.renew(reading.shard, reading.generation, reading.number)
        first: Located | None = None
        while behind := _read_before(reading, first):
            for room, followed in behind:
                located = await self._page_of(reading, room, followed)
                if reading.rooms.get(room) is followed:  # Else it was unfollowed meanwhile.
                    first = first or located
                    for event in catch_up(room, followed, located.page, parse_id(located.id)):
                        self._deliver(event)
        if first is None:
            reading.id = b""  # Whoever's page comes next says where to begin.
        else:
            reading.begin(first.id, first.generation, first.number)
        self._readings.note_progress()

    async def _page_of(self, reading: Reading, room: str, followed: Followed) -> Located:
        while True:
            located = await self._log.read_page(room, followed.epoch, followed.seq)
            if located.page.epoch != followed.epoch or located.page.seq >= followed.seq:
                return located
            # The log went back under the same name.
            await self._log.renew(reading.shard, located.generation, located.number + 1)


def _read_before(reading: Reading, first: Located | None) -> list[tuple[str, Followed]]:
    """Rooms whose page is older than `first`: nobody would read what lies between."""
    return [
        (room, followed)
        for room, followed in reading.rooms.items()
        if followed.pending is None and (first is None or followed.page_id < parse_id(first.id))
    ]
