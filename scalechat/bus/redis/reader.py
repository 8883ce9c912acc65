"""The loop that follows the streams of the shards this node has rooms in, over a connection of its own.

One blocking read asks for everything after the last position of each shard, and for private messages. A lost
connection changes nothing about the positions. When a shard is out of step (`following`), or may be after a
reconnect, each of its rooms is compared with its log in Redis before reading goes on.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

import msgspec
import trio
from coredis.exceptions import RedisError

from scalechat.bus.base import BusError, Deliver, DirectDelivery, Kick, Page
from scalechat.bus.redis.following import Followed, OutOfStep, Reading, catch_up, parse_id
from scalechat.bus.redis.keys import DIRECT_KEY, Shard
from scalechat.bus.redis.link import Elsewhere, Link, LinkDown, Reply

BLOCK_S: Final = 2.0
"""A read that finds nothing ends after this, so a dead connection is noticed soon after."""
READ_ENTRIES: Final = 512
"""Entries of one read over all shards: a few ms of work, and with the largest messages 32 MiB."""
PACE_S: Final = 0.002
"""From one read to the next, at least: a read costs 0.1 ms whatever it brings."""
SLICE: Final = 64
"""Entries delivered before other tasks get a turn."""
NUDGE_S: Final = 0.02
"""Between two attempts to end a read that does not ask for a new shard yet."""
NONCES: Final = 1_000
"""Private messages remembered, so that one whose answer was lost and which was sent again is delivered once."""


class Notice(msgspec.Struct, frozen=True, gc=False):
    """What is told to every node, as it travels."""

    nonce: bytes
    direct: DirectDelivery | None = None
    kick: Kick | None = None


decode_notice: Final = msgspec.msgpack.Decoder(Notice).decode
encode_notice: Final = msgspec.msgpack.Encoder().encode


class Located(msgspec.Struct, frozen=True):
    """A page with where its shard stood when it was read."""

    page: Page
    generation: str
    number: int
    id: bytes


class ReadPage(Protocol):
    """Read a room's page, whole or what comes after a position that is known."""

    async def __call__(self, room: str, epoch: str, seq: int) -> Located: ...


ReadNumber = Callable[[Shard], Awaitable[tuple[str, int]]]
"""Generation and number of a shard's newest entry."""
Renew = Callable[[Shard, str, int], Awaitable[None]]


class Reader:
    """`link` is the blocking connection, `nudge` ends its read; `readings` are the shards to read, by stream key."""

    def __init__(
        self,
        link: Link,
        *,
        readings: Callable[[], dict[bytes, Reading]],
        read_page: ReadPage,
        read_number: ReadNumber,
        renew: Renew,
        nudge: Callable[[int], Awaitable[None]],
        deliver: Deliver,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        self._link = link
        self._readings = readings
        self.direct_id = b"0-0"
        """Position in the stream of private messages."""
        self._read_page = read_page
        self._read_number = read_number
        self._renew = renew
        self._nudge = nudge
        self._deliver = deliver
        self._pause = pause
        self._nonces: OrderedDict[bytes, None] = OrderedDict()
        self._out_of_step: dict[bytes, Reading] = {}
        self._asked: frozenset[bytes] = frozenset()
        self._changed = trio.Event()
        self._progressed = trio.Event()
        self.lag_s = 0.0
        """Between append and delivery of the newest entry: by Redis' clock and by ours."""

    async def run(self) -> None:
        """Read until cancelled."""
        connects = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_nudging)
            while True:
                await self._link.wait_up()
                began_s = trio.current_time()
                try:
                    if (connected := self._link.connects) != connects:
                        await self._look_at_all()
                        connects = connected
                    await self._get_in_step()
                    reply = await self._read()
                except (LinkDown, Elsewhere, BusError):
                    await self._pause()
                    continue
                await self._take(reply)
                if (next_s := began_s + PACE_S) > trio.current_time():  # It did not have to wait: there is a lot.
                    await trio.sleep_until(next_s)

    def changed(self) -> None:
        """There are shards to read that there were not before."""
        self._changed.set()

    async def wait_progress(self) -> None:
        """Wait until something more has been read."""
        await self._progressed.wait()

    async def _read(self) -> Reply:
        positions = {stream: reading.id for stream, reading in self._readings().items() if reading.id}
        positions[DIRECT_KEY] = self.direct_id
        self._asked = frozenset(positions)
        count = max(4, READ_ENTRIES // len(positions))
        try:
            return await self._link.call(
                b"XREAD",
                b"COUNT",
                count,
                b"BLOCK",
                int(BLOCK_S * 1000),
                b"STREAMS",
                *positions,
                *positions.values(),
                answer_s=BLOCK_S + 2.0,
            )
        except RedisError as refusal:
            raise LinkDown from refusal
        finally:
            self._asked = frozenset()

    async def _keep_nudging(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            while self._asked and not self._asked.issuperset(k for k, r in self._readings().items() if r.id):
                try:
                    await self._nudge(self._link.client_id)
                except (LinkDown, Elsewhere, RedisError):
                    break  # It ends by itself, a little later.
                await trio.sleep(NUDGE_S)

    async def _take(self, reply: Reply) -> None:
        if not isinstance(reply, dict):
            return
        readings = self._readings()
        taken = 0
        for stream, entries in reply.items():
            assert isinstance(entries, list)
            reading = readings.get(stream)
            for entry in entries:
                id, (_, value) = cast("tuple[bytes, tuple[bytes, bytes]]", entry)
                if stream == DIRECT_KEY:
                    self._take_direct(id, value)
                elif reading is None or not self._take_entry(stream, reading, id, value):
                    break
                taken += 1
                if taken % SLICE == 0:
                    await trio.lowlevel.checkpoint()
        self._note_progress()

    def _note_progress(self) -> None:
        self._progressed.set()
        self._progressed = trio.Event()

    def _take_direct(self, id: bytes, value: bytes) -> None:
        self.direct_id = id
        notice = decode_notice(value)
        if notice.nonce not in self._nonces:
            self._nonces[notice.nonce] = None
            if len(self._nonces) > NONCES:
                self._nonces.popitem(last=False)
            event = notice.direct or notice.kick
            if event is not None:  # Else a newer node says what this one does not know.
                self._deliver(event)

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
        self.lag_s = max(0.0, time.time() - parse_id(id)[0] / 1000)
        for event in events:
            self._deliver(event)
        return True

    # --- getting back in step ---------------------------------------------------------------------------------------

    async def _look_at_all(self) -> None:
        """After a reconnect: a stream that holds less than was read from it will not say so by itself."""
        for stream, reading in list(self._readings().items()):
            generation, number = await self._read_number(reading.shard)
            if reading.id and (generation != reading.generation or number < reading.number):
                self._out_of_step[stream] = reading

    async def _get_in_step(self) -> None:
        for stream, reading in list(self._out_of_step.items()):
            if self._readings().get(stream) is reading and reading.id:
                await self._compare(reading)
            self._out_of_step.pop(stream, None)

    async def _compare(self, reading: Reading) -> None:
        await self._renew(reading.shard, reading.generation, reading.number)
        first: Located | None = None
        for room, followed in list(reading.rooms.items()):
            if followed.pending is not None:
                continue
            located = await self._page_of(reading, room, followed)
            if reading.rooms.get(room) is not followed:
                continue  # Unfollowed meanwhile.
            first = first or located
            for event in catch_up(room, followed, located.page, parse_id(located.id)):
                self._deliver(event)
        if first is None:
            reading.id = b""  # Whoever's page comes next says where to begin.
        else:
            reading.begin(first.id, first.generation, first.number)
        self._note_progress()

    async def _page_of(self, reading: Reading, room: str, followed: Followed) -> Located:
        while True:
            located = await self._read_page(room, followed.epoch, followed.seq)
            if located.page.epoch != followed.epoch or located.page.seq >= followed.seq:
                return located
            # The log went back under the same name.
            await self._renew(reading.shard, located.generation, located.number + 1)
