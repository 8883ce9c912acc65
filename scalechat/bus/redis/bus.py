"""`scalechat.bus.base.Bus` over Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import structlog
import trio
from coredis.exceptions import RedisError

from scalechat.bus.base import (
    BusError,
    BusStatistics,
    Deliver,
    DirectDelivery,
    Event,
    Kick,
    Page,
    Receipt,
    RoomInfo,
)
from scalechat.bus.redis import generation
from scalechat.bus.redis.address import Address
from scalechat.bus.redis.calls import AWAY, DEADLINE_S, Calls, in_plain_words
from scalechat.bus.redis.following import Followed, OutOfStep, Reading, begin, parse_id
from scalechat.bus.redis.keys import ALL_SHARDS, NOTICE_KEY, NOTICE_SLOT, Shard, fingerprint, shard_of
from scalechat.bus.redis.link import Command, Elsewhere, Link, LinkDown, Reply
from scalechat.bus.redis.places import Place, Places
from scalechat.bus.redis.presence import LEASE_S, STATEMENTS, Presence
from scalechat.bus.redis.reader import Located, Reader
from scalechat.bus.redis.readings import Notice, Readings, encode_notice
from scalechat.bus.redis.scripts import HERE, LOADED, PAGE, PUBLISH, ROOMS
from scalechat.bus.redis.writer import WAITING_BYTES, WAITING_JOBS, Job, Writer
from scalechat.wire.codec import decode_publication, encode
from scalechat.wire.messages import Publication

_PLACE: Final = b'"seq":0,"ts":0'
"""Where position and time go: JSON escapes quotes within strings, so these bytes occur once."""

log = structlog.get_logger("scalechat.bus")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much is kept in Redis, and for how long."""

    history_messages: int = 200
    history_age_s: int = 86_400
    """Of each room's log."""
    dedupe_s: int = 120
    """A repeated id is recognised for at least this long: longer than any client goes on retrying."""
    room_s: int = 7 * 86_400
    """A room in which nothing was said for so long begins anew."""
    stream_entries: int = 10_000
    stream_age_s: int = 600
    """Of each shard's stream, which only serves nodes that are behind; a node farther behind reads the logs."""
    lease_s: int = LEASE_S


class RedisBus:
    """Needs `run` to be running; until then, and while Redis is away, calls wait or raise `BusError`.

    `observe_publish_s` is told how long each publish took.
    """

    def __init__(
        self,
        address: Address,
        keeping: Keeping = Keeping(),
        *,
        observe_publish_s: Callable[[float], None] = lambda _: None,
        deadline_s: float = DEADLINE_S,
        waiting_jobs: int = WAITING_JOBS,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._keeping = keeping
        self._observe_publish_s = observe_publish_s
        self._deadline_s = deadline_s
        self._address = address
        self._node = secrets.token_hex(6).encode()
        self._deliver: Deliver = _to_nobody
        self._readings = Readings()
        self._readers: dict[tuple[Place, bytes], Reader] = {}
        """One at each place, or in a cluster one for each stream."""
        self._known: dict[Shard, tuple[str, int]] = {}
        """Generation and number of the newest entry of each shard that this node has heard of."""
        self._begin_lock = trio.Lock()
        self._begins = 0
        self._places = Places(address, serve=self._serve, arrive=self._arrive, changed=self._note_moved)
        self._calls = Calls(link_of=self._places.link_of, renew=self._begin, moved=self._places.moved)
        self._publisher = Writer(
            Publishing(keeping, self._know), self._calls, waiting_jobs=waiting_jobs, waiting_bytes=waiting_bytes
        )
        self._presence = Presence(
            self._node, lease_s=keeping.lease_s, stream_entries=keeping.stream_entries, read_said=self._read_said
        )
        self._presence.writer = Writer(
            self._presence, self._calls, waiting_jobs=STATEMENTS, waiting_bytes=waiting_bytes
        )

    # --- life -------------------------------------------------------------------------------------------------------

    async def run(self, deliver: Deliver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._deliver = deliver
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._places.run)
                nursery.start_soon(self._presence.run)
                task_status.started()
        finally:
            self._deliver = _to_nobody

    async def wait_caught_up(self) -> None:
        with trio.move_on_after(self._deadline_s):
            await self._presence.writer.wait_empty()
            readings = list(self._readings.by_stream.values())
            newest = [(reading, await self.read_number(reading.shard)) for reading in readings]
            notice_id = parse_id(await self._last_notice())
            while any(_is_behind(r, *there) for r, there in newest) or self._readings.notice_before(notice_id):
                await self._readings.wait_progress()
            return
        raise BusError(AWAY)

    @property
    def spans_nodes(self) -> bool:
        return True

    @property
    def not_ready(self) -> str | None:
        return self._places.why_down

    def statistics(self) -> BusStatistics:
        return BusStatistics(
            up=self._places.why_down is None,
            reconnects=self._places.reconnects,
            waiting_publishes=self._publisher.jobs,
            waiting_bytes=self._publisher.bytes,
            lag_s=self._readings.lag_s,
        )

    # --- messages ---------------------------------------------------------------------------------------------------

    async def publish(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt:
        began_s = trio.current_time()
        shard = shard_of(room)
        said = encode(Publication(client_id=client_id, text=text, room=room, seq=0, ts_unix_ms=0, id=id))
        head, _, tail = said.partition(_PLACE)
        # Without an id nobody else will repeat it, but we may, when the answer is lost.
        mark = secrets.token_bytes(12) if id is None else fingerprint(room, client_id, id)
        job = Job(shard, (shard.room(room), shard.log(room)), (room, mark, head, tail), len(said) + 200)
        seq = await self._publisher.submit(job, self._deadline_s)
        self._observe_publish_s(trio.current_time() - began_s)
        return Receipt(abs(seq), duplicate=seq < 0)

    async def send_direct(self, delivery: DirectDelivery) -> bool:
        await self._tell_every_node(Notice(secrets.token_bytes(12), direct=delivery))
        return True  # Nobody knows.

    async def kick(self, session_id: str) -> None:
        await self._tell_every_node(Notice(secrets.token_bytes(12), kick=Kick(session_id)))

    async def _tell_every_node(self, notice: Notice) -> None:
        value = encode_notice(notice)
        most = self._keeping.stream_entries
        await self._ask_link(NOTICE_SLOT, b"XADD", NOTICE_KEY, b"MAXLEN", b"~", most, b"*", b"m", value)

    async def follow(self, room: str) -> Page:
        shard = shard_of(room)
        reading = self._readings.by_stream.get(shard.stream)
        if reading is None:
            reading = self._readings.by_stream[shard.stream] = Reading(shard)
        assert room not in reading.rooms, f"room {room!r} is followed already"
        followed = reading.rooms[room] = Followed()
        try:
            page, events = await self._first_page(room, reading, followed)
        except BaseException:
            self.unfollow(room)
            raise
        for event in events:
            self._deliver(event)
        return page

    def unfollow(self, room: str) -> None:
        stream = shard_of(room).stream
        reading = self._readings.by_stream.get(stream)
        if reading is not None:
            reading.rooms.pop(room, None)
            if not reading.rooms:
                del self._readings.by_stream[stream]

    async def history(self, room: str, *, before: int | None = None, limit: int = 50) -> Page:
        if before is not None and before < 1:
            located = await self.read_page(room, make=False, limit=0)
        else:
            located = await self.read_page(room, make=False, before=min(before or 0, 2**53), limit=limit)
        return located.page

    # --- people -----------------------------------------------------------------------------------------------------

    async def enter(self, room: str, client_id: str) -> None:
        await self._presence.enter(room, client_id)

    def exit(self, room: str, client_id: str) -> None:
        self._presence.exit(room, client_id)

    async def presence(self, room: str) -> dict[str, int]:
        reply = await self._ask_here(room, 1)
        assert isinstance(reply, list)
        return {_text(client): int(_text(count)) for client, count in zip(reply[::2], reply[1::2], strict=True)}

    async def population(self, room: str) -> int:
        reply = await self._ask_here(room, 0)
        assert isinstance(reply, int)
        return reply

    async def rooms(self) -> list[RoomInfo]:
        found: dict[str, RoomInfo] = {}
        cursors = dict.fromkeys(ALL_SHARDS, b"0")
        with trio.move_on_after(self._deadline_s):
            while cursors:
                for link in {self._places.link_of(shard) for shard in cursors}:
                    shards = [shard for shard in cursors if self._places.link_of(shard) is link]
                    for shard, reply in zip(shards, await self._some_rooms(link, shards, cursors), strict=True):
                        cursor, *rows = cast("list[Reply]", reply)
                        for name, seq, clients in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                            found[_text(name)] = RoomInfo(_text(name), cast("int", seq), cast("int", clients))
                        cursors[shard] = _text(cursor).encode()
                        if cursors[shard] == b"0":
                            del cursors[shard]
            return [found[name] for name in sorted(found)]
        raise BusError(AWAY)

    async def _some_rooms(self, link: Link, shards: list[Shard], cursors: dict[Shard, bytes]) -> list[Reply]:
        entries = self._keeping.stream_entries
        calls: list[Command] = [
            (b"EVALSHA", ROOMS.sha, 4, *_presence_keys(shard), entries, cursors[shard], 500) for shard in shards
        ]
        while True:
            try:
                replies = await self._calls.all_once(link, calls)
            except LinkDown:
                replies = [LinkDown()]
            for reply in replies:
                if isinstance(reply, BusError):
                    raise reply
            if not any(isinstance(reply, LinkDown) for reply in replies):
                return cast("list[Reply]", replies)
            await self._calls.pause()

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _give(self, event: Event) -> None:
        self._deliver(event)

    def _know(self, shard: Shard, generation: str, number: int) -> None:
        known = self._known.get(shard)
        if known is None or known[0] != generation or known[1] < number:
            self._known[shard] = (generation, number)

    async def _first_page(self, room: str, reading: Reading, followed: Followed) -> tuple[Page, list[Event]]:
        while True:
            located = await self.read_page(room)
            page_id = parse_id(located.id)
            if not reading.id:
                reading.begin(located.id, located.generation, located.number)
                self._see_to_readers()
            elif page_id < reading.begun:
                continue  # What lies between is not read: the page must be newer than the reading.
            try:
                return located.page, begin(followed, located.page, page_id)
            except OutOfStep:
                followed.pending = []

    async def read_page(
        self,
        room: str,
        epoch: str = "",
        seq: int = 0,
        *,
        make: bool = True,
        before: int = 0,
        limit: int | None = None,
    ) -> Located:
        shard = shard_of(room)
        keeping = self._keeping
        args = (
            secrets.token_hex(4) if make else "",
            keeping.room_s,
            keeping.history_age_s,
            before,
            keeping.history_messages if limit is None else limit,
            epoch,
            seq,
        )
        keys = (shard.meta, shard.room(room), shard.log(room))
        reply = await self._calls.ask(shard, PAGE, keys, args, self._deadline_s)
        generation, number, id, page_epoch, page_seq, payloads = cast("list[Reply]", reply)
        assert isinstance(number, int)
        assert isinstance(page_seq, int)
        assert isinstance(payloads, list)
        page = Page(_text(page_epoch), page_seq, tuple(map(decode_publication, payloads)))  # type: ignore[arg-type]
        return Located(page, _text(generation), number, _text(id).encode())

    async def _ask_here(self, room: str, whole: int) -> list[Reply] | int:
        shard = shard_of(room)
        keys = (*_presence_keys(shard), shard.here(room))
        return await self._calls.ask(shard, HERE, keys, (self._keeping.stream_entries, whole), self._deadline_s)

    async def read_number(self, shard: Shard) -> tuple[str, int]:
        """Generation and number of the shard's newest entry."""
        reply = cast("list[bytes | None]", await self._ask_link(shard.slot, b"HMGET", shard.meta, b"g", b"c"))
        return (reply[0] or b"").decode(), int(reply[1] or 0)

    async def _read_said(self, shard: Shard) -> list[str]:
        reply = await self._ask_link(shard.slot, b"HKEYS", shard.of(self._node))
        assert isinstance(reply, list)
        return [_text(field) for field in reply]

    async def _ask_link(self, slot: int, *command: bytes | str | int) -> Reply:
        """A plain command, which may be done twice."""
        with trio.move_on_after(self._deadline_s):
            while True:
                link = self._places.of(slot).ask
                try:
                    return await link.call(*command)
                except LinkDown:
                    await self._calls.pause()
                except Elsewhere:
                    await self._places.moved()
                    await self._calls.pause()
                except RedisError as refusal:
                    raise BusError(in_plain_words(str(refusal))) from refusal
        raise BusError(AWAY)

    async def _last_notice(self) -> bytes:
        reply = await self._ask_link(NOTICE_SLOT, b"XREVRANGE", NOTICE_KEY, b"+", b"-", b"COUNT", 1)
        return cast("list[tuple[bytes, object]]", reply)[0][0] if reply else b"0-0"

    # --- at each place ----------------------------------------------------------------------------------------------

    async def _arrive(self, place: Place) -> None:
        """Before anything is done there: scripts, and a warning where one is due."""
        await _warn_of_eviction(place)
        known = cast("list[int]", await place.ask.call(b"SCRIPT", b"EXISTS", *(script.sha for script in LOADED)))
        if not all(known):
            await self._begin(place.ask)
        if place is self._places.of(NOTICE_SLOT):
            self._readings.notice_id = await self._last_notice()

    async def _serve(self, place: Place) -> None:
        try:
            async with trio.open_nursery() as place.nursery:
                place.nursery.start_soon(self._publisher.serve, place.ask)
                place.nursery.start_soon(self._presence.writer.serve, place.ask)
                self._see_to_readers()
                await trio.sleep_forever()
        finally:
            place.nursery = None

    def _see_to_readers(self) -> None:
        """Every stream that is followed has a reader where it is, and the reader knows."""
        slots = {r.shard.stream: r.shard.slot for r in self._readings.by_stream.values() if r.id}
        for stream, slot in (slots | {NOTICE_KEY: NOTICE_SLOT}).items():
            place = self._places.of(slot)
            key = (place, stream if self._address.cluster else b"")
            if key in self._readers:
                self._readers[key].changed()
            elif place.nursery is not None:
                self._readers[key] = self._reader(*key)
                place.nursery.start_soon(self._read, key)

    def _reader(self, place: Place, only: bytes) -> Reader:
        return Reader(
            self._places.new_link(place.address, "scalechat-read"),
            self._readings,
            wanted=lambda stream, slot: only in (b"", stream) and self._places.of(slot) is place,
            log=self,
            nudge=partial(place.ask.call, b"CLIENT", b"UNBLOCK"),
            deliver=self._give,
            pause=self._calls.pause,
            moved=self._places.moved,
        )

    async def _read(self, key: tuple[Place, bytes]) -> None:
        reader = self._readers[key]
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._places.keep, reader.link)
                nursery.start_soon(reader.run)
        finally:
            del self._readers[key]

    async def _begin(self, link: Link) -> None:
        """The Redis behind `link` knows no scripts."""
        before = self._begins
        async with self._begin_lock:
            if self._begins == before:  # Else somebody else has just seen to it.
                self._begins += 1
                shards = [shard for shard in ALL_SHARDS if self._places.link_of(shard) is link]
                await generation.begin(link, [(shard, *self._known.get(shard, ("", 0))) for shard in shards])

    async def renew(self, shard: Shard, generation_known: str, number: int) -> None:
        """See `scalechat.bus.redis.generation.renew`."""
        await generation.renew(self._places.link_of(shard), shard, generation_known, number)

    def _note_moved(self) -> None:
        self._publisher.moved()
        self._presence.writer.moved()
        self._see_to_readers()


async def _warn_of_eviction(place: Place) -> None:
    try:
        reply = await place.ask.call(b"CONFIG", b"GET", b"maxmemory-policy")
    except RedisError:
        return  # A managed Redis may not tell.
    policy = _text(reply.get(b"maxmemory-policy", b"")) if isinstance(reply, dict) else ""
    if policy not in ("", "noeviction"):
        log.warning("redis may evict keys, and rooms with them; set maxmemory-policy noeviction", policy=policy)


class Publishing:
    """`scalechat.bus.redis.writer.Work` for messages. `know` is told of each shard's newest entry."""

    script = PUBLISH

    def __init__(self, keeping: Keeping, know: Callable[[Shard, str, int], None]) -> None:
        self._keeping = keeping
        self._know = know

    def frame(self, shard: Shard) -> tuple[Sequence[bytes], Sequence[bytes | str | int]]:
        keeping = self._keeping
        return (shard.meta, shard.stream, shard.index, *shard.ids), (
            secrets.token_hex(4),
            keeping.history_messages,
            keeping.history_age_s,
            keeping.dedupe_s,
            keeping.room_s,
            keeping.stream_entries,
            keeping.stream_age_s,
        )

    def note(self, shard: Shard, jobs: Sequence[Job], reply: Sequence[Reply] | int) -> None:
        assert isinstance(reply, list)
        generation, number, *positions = reply
        assert isinstance(number, int)
        self._know(shard, _text(generation), number)
        for job, position in zip(jobs, positions, strict=True):
            assert isinstance(position, int)
            job.answer = position


def _presence_keys(shard: Shard) -> tuple[bytes, bytes, bytes, bytes]:
    return shard.meta, shard.stream, shard.nodes, shard.index


def _is_behind(reading: Reading, generation: str, number: int) -> bool:
    if not (generation and reading.id and reading.rooms):
        return False
    return generation != reading.generation or reading.number < number


def _text(reply: Reply) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()


def _to_nobody(_event: Event) -> None:
    """Before `run` and after it."""
