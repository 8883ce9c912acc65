"""What this node does at each Redis server, from its arrival there on: scripts, writers, readers.

A server that comes back is arrived at by its connection alone (`link`); that it has started anew shows in the first
call, because it knows no scripts then, and `begin` sees to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import structlog
import trio
from coredis.exceptions import RedisError

from scalechat.bus.base import Deliver
from scalechat.bus.redis import generation
from scalechat.bus.redis.address import Address
from scalechat.bus.redis.calls import Calls
from scalechat.bus.redis.keys import ALL_SHARDS, NOTICE_KEY, NOTICE_SLOT, Shard
from scalechat.bus.redis.link import Link
from scalechat.bus.redis.places import Place, Places
from scalechat.bus.redis.reader import Log, Reader
from scalechat.bus.redis.readings import Readings
from scalechat.bus.redis.scripts import LOADED
from scalechat.bus.redis.writer import Writer

log = structlog.get_logger("scalechat.bus")


class Arriving:
    """Owns the places and the calls to them.

    `publisher`, `presence`, `logs` and `read_last_notice` are set once, before `places` run.
    """

    def __init__(self, address: Address, readings: Readings, deliver: Deliver) -> None:
        self._cluster = address.cluster
        self._readings = readings
        self._deliver = deliver
        self._readers: dict[tuple[Place, bytes], Reader] = {}
        """One at each place, or in a cluster one for each stream."""
        self._known: dict[Shard, tuple[str, int]] = {}
        """Generation and number of the newest entry of each shard that this node has heard of."""
        self._begin_lock = trio.Lock()
        self._begins = 0
        self.places = Places(address, serve=self._serve, arrive=self._arrive, changed=self._note_moved)
        self.calls = Calls(link_of=self.places.link_of, renew=self._begin, moved=self.places.moved)
        self.publisher: Writer
        self.presence: Writer
        self.logs: Log
        self.read_last_notice: Callable[[], Awaitable[bytes]]

    def know(self, shard: Shard, generation: str, number: int) -> None:
        """A shard's newest entry has been heard of."""
        known = self._known.get(shard)
        if known is None or known[0] != generation or known[1] < number:
            self._known[shard] = (generation, number)

    def see_to_readers(self) -> None:
        """Every stream that is followed has a reader where it is, and the reader knows."""
        slots = {r.shard.stream: r.shard.slot for r in self._readings.by_stream.values() if r.id}
        for stream, slot in (slots | {NOTICE_KEY: NOTICE_SLOT}).items():
            place = self.places.of(slot)
            key = (place, stream if self._cluster else b"")
            if key in self._readers:
                self._readers[key].changed()
            elif place.nursery is not None:
                self._readers[key] = self._reader(*key)
                place.nursery.start_soon(self._read, key)

    async def _arrive(self, place: Place) -> None:
        """Before anything is done there: scripts, and a warning where one is due."""
        await _warn_of_eviction(place)
        known = cast("list[int]", await place.ask.call(b"SCRIPT", b"EXISTS", *(script.sha for script in LOADED)))
        if not all(known):
            await self._begin(place.ask)
        if place is self.places.of(NOTICE_SLOT):
            self._readings.notice_id = await self.read_last_notice()

    async def _serve(self, place: Place) -> None:
        try:
            async with trio.open_nursery() as place.nursery:
                lane = self.places.new_lane(place.address, "scalechat-write")
                place.nursery.start_soon(self.places.keep, lane)
                place.nursery.start_soon(self.publisher.serve, place.ask, lane)
                place.nursery.start_soon(self.presence.serve, place.ask, place.ask)
                self.see_to_readers()
                await trio.sleep_forever()
        finally:
            place.nursery = None

    def _reader(self, place: Place, only: bytes) -> Reader:
        return Reader(
            self.places.new_lane(place.address, "scalechat-read"),
            self._readings,
            wanted=lambda stream, slot: only in (b"", stream) and self.places.of(slot) is place,
            log=self.logs,
            nudge=partial(place.ask.call, b"CLIENT", b"UNBLOCK"),
            deliver=self._deliver,
            pause=self.calls.pause,
            moved=self.places.moved,
        )

    async def _read(self, key: tuple[Place, bytes]) -> None:
        reader = self._readers[key]
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.places.keep, reader.link)
                nursery.start_soon(reader.run)
        finally:
            del self._readers[key]

    async def _begin(self, link: Link) -> None:
        """The Redis behind `link` knows no scripts."""
        before = self._begins
        async with self._begin_lock:
            if self._begins == before:  # Else somebody else has just seen to it.
                self._begins += 1
                shards = [shard for shard in ALL_SHARDS if self.places.link_of(shard) is link]
                await generation.begin(link, [(shard, *self._known.get(shard, ("", 0))) for shard in shards])

    def _note_moved(self) -> None:
        self.publisher.moved()
        self.presence.moved()
        self.see_to_readers()


async def _warn_of_eviction(place: Place) -> None:
    try:
        reply = await place.ask.call(b"CONFIG", b"GET", b"maxmemory-policy")
    except RedisError:
        return  # A managed Redis may not tell.
    policy = reply.get(b"maxmemory-policy", b"") if isinstance(reply, dict) else b""
    assert isinstance(policy, bytes)
    if policy not in (b"", b"noeviction"):
        log.warning(
            "redis may evict keys, and rooms with them; set maxmemory-policy noeviction", policy=policy.decode()
        )
