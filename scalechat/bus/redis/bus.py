"""`scalechat.bus.base.Bus` over Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from scalechat.bus.redis.address import CONNECT_S, Address
from scalechat.bus.redis.calls import AWAY, DEADLINE_S, Calls, in_plain_words
from scalechat.bus.redis.following import Followed, OutOfStep, Reading, begin, parse_id
from scalechat.bus.redis.keys import ALL_SHARDS, DIRECT_KEY, Shard, fingerprint, shard_of
from scalechat.bus.redis.link import Elsewhere, Link, LinkDown, Reply
from scalechat.bus.redis.presence import LEASE_S, STATEMENTS, Presence
from scalechat.bus.redis.reader import Located, Notice, Reader, encode_notice
from scalechat.bus.redis.scripts import HERE, LOADED, PAGE, PUBLISH, ROOMS
from scalechat.bus.redis.writer import WAITING_BYTES, WAITING_JOBS, Job, Writer
from scalechat.config import OperationalError
from scalechat.wire.codec import decode_publication, encode
from scalechat.wire.messages import Publication

OLDEST_REDIS: Final = (7, 0)
"""HRANDFIELD, approximate XTRIM and scripts that do not live on across a restart (`generation`) are all there."""
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
        self._link = Link(address, "scalechat-write", self._note_link)
        self._read_link = Link(address, "scalechat-read", self._note_link)
        self._calls = Calls(link_of=lambda _: self._link, renew=self._begin, moved=self._drop_link)
        self._readings: dict[bytes, Reading] = {}
        self._known: dict[Shard, tuple[str, int]] = {}
        """Generation and number of the newest entry of each shard that this node has heard of."""
        self._begin_lock = trio.Lock()
        self._down: dict[Link, str] = {self._link: "not connected yet", self._read_link: "not connected yet"}
        self._down_since_s: float | None = None
        self._deliver: Deliver = _to_nobody
        publishing = Publishing(keeping, self._know)
        self._publisher = Writer(
            publishing,
            self._calls,
            waiting_jobs=waiting_jobs,
            waiting_bytes=waiting_bytes,
        )
        self._presence = Presence(
            self._node, lease_s=keeping.lease_s, stream_entries=keeping.stream_entries, read_said=self._read_said
        )
        self._presence.writer = Writer(
            self._presence,
            self._calls,
            waiting_jobs=STATEMENTS,
            waiting_bytes=waiting_bytes,
        )
        self._reader = Reader(
            self._read_link,
            readings=lambda: self._readings,
            read_page=self._read_page,
            read_number=self._read_number,
            renew=self._renew,
            nudge=self._nudge,
            deliver=self._give,
            pause=self._calls.pause,
        )

    # --- life -------------------------------------------------------------------------------------------------------

    async def run(self, deliver: Deliver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._deliver = deliver
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._link.run)
            nursery.start_soon(self._read_link.run)
            await self._arrive()
            nursery.start_soon(self._reader.run)
            nursery.start_soon(self._publisher.serve, self._link)
            nursery.start_soon(self._presence.writer.serve, self._link)
            nursery.start_soon(self._presence.run)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._deliver = _to_nobody

    async def wait_caught_up(self) -> None:
        with trio.move_on_after(self._deadline_s):
            await self._presence.writer.wait_empty()
            newest = [(reading, await self._read_number(reading.shard)) for reading in list(self._readings.values())]
            direct = await self._last_direct()
            while any(_is_behind(reading, *there) for reading, there in newest) or parse_id(direct) > parse_id(
                self._reader.direct_id
            ):
                await self._reader.wait_progress()
            return
        raise BusError(AWAY)

    @property
    def spans_nodes(self) -> bool:
        return True

    @property
    def not_ready(self) -> str | None:
        return next((f"no Redis at {self._address.shown}: {why}" for why in self._down.values()), None)

    def statistics(self) -> BusStatistics:
        return BusStatistics(
            up=not self._down,
            reconnects=max(0, self._link.connects + self._read_link.connects - 2),
            waiting_publishes=self._publisher.jobs,
            waiting_bytes=self._publisher.bytes,
            lag_s=self._reader.lag_s,
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
        await self._ask_link(b"XADD", DIRECT_KEY, b"MAXLEN", b"~", self._keeping.stream_entries, b"*", b"m", value)

    async def follow(self, room: str) -> Page:
        shard = shard_of(room)
        reading = self._readings.get(shard.stream)
        if reading is None:
            reading = self._readings[shard.stream] = Reading(shard)
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
        reading = self._readings.get(stream)
        if reading is not None:
            reading.rooms.pop(room, None)
            if not reading.rooms:
                del self._readings[stream]

    async def history(self, room: str, *, before: int | None = None, limit: int = 50) -> Page:
        if before is not None and before < 1:
            located = await self._read_page(room, make=False, limit=0)
        else:
            located = await self._read_page(room, make=False, before=min(before or 0, 2**53), limit=limit)
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
        for shard in ALL_SHARDS:
            cursor = b"0"
            while True:
                reply = await self._calls.ask(
                    shard, ROOMS, _presence_keys(shard), (self._keeping.stream_entries, cursor, 500), self._deadline_s
                )
                assert isinstance(reply, list)
                for name, seq, clients in zip(reply[1::3], reply[2::3], reply[3::3], strict=True):
                    assert isinstance(seq, int)
                    assert isinstance(clients, int)
                    found[_text(name)] = RoomInfo(_text(name), seq, clients)
                cursor = _text(reply[0]).encode()
                if cursor == b"0":
                    break
        return [found[name] for name in sorted(found)]

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _give(self, event: Event) -> None:
        self._deliver(event)

    def _know(self, shard: Shard, generation: str, number: int) -> None:
        known = self._known.get(shard)
        if known is None or known[0] != generation or known[1] < number:
            self._known[shard] = (generation, number)

    async def _first_page(self, room: str, reading: Reading, followed: Followed) -> tuple[Page, list[Event]]:
        while True:
            located = await self._read_page(room)
            page_id = parse_id(located.id)
            if not reading.id:
                reading.begin(located.id, located.generation, located.number)
                self._reader.changed()
            elif page_id < reading.begun:
                continue  # What lies between is not read: the page must be newer than the reading.
            try:
                return located.page, begin(followed, located.page, page_id)
            except OutOfStep:
                followed.pending = []

    async def _read_page(
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

    async def _read_number(self, shard: Shard) -> tuple[str, int]:
        reply = cast("list[bytes | None]", await self._ask_link(b"HMGET", shard.meta, b"g", b"c"))
        return (reply[0] or b"").decode(), int(reply[1] or 0)

    async def _read_said(self, shard: Shard) -> list[str]:
        reply = await self._ask_link(b"HKEYS", shard.of(self._node))
        assert isinstance(reply, list)
        return [_text(field) for field in reply]

    async def _ask_link(self, *command: bytes | str | int) -> Reply:
        """A plain command, which may be done twice."""
        with trio.move_on_after(self._deadline_s):
            while True:
                await self._link.wait_up()
                try:
                    return await self._link.call(*command)
                except (LinkDown, Elsewhere):
                    await self._calls.pause()
                except RedisError as refusal:
                    raise BusError(in_plain_words(str(refusal))) from refusal
        raise BusError(AWAY)

    async def _nudge(self, client_id: int) -> None:
        await self._link.call(b"CLIENT", b"UNBLOCK", client_id)

    # --- Redis comes and goes ---------------------------------------------------------------------------------------

    async def _arrive(self) -> None:
        """The first connection: refuse to begin where nothing could work. Raises `OperationalError`."""
        where = self._address.shown
        with trio.move_on_after(2 * CONNECT_S) as patience:
            await self._link.wait_up()
            await self._read_link.wait_up()
        if patience.cancelled_caught:
            raise OperationalError(
                f"no Redis at {where}: {self._down[self._link]}; start it, or give another address with --bus"
            )
        version = self._link.server_version
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
            raise OperationalError(f"Redis {version} at {where} is too old: it must be 7.0 or newer")
        try:
            await self._warn_of_eviction()
            for script in LOADED:
                if await self._link.call(b"SCRIPT", b"EXISTS", script.sha) != [1]:
                    await self._begin(self._link)
            self._reader.direct_id = await self._last_direct()
        except RedisError as error:
            raise OperationalError(f"Redis at {where} does not let us: {error}") from error
        except (LinkDown, Elsewhere, BusError) as error:
            raise OperationalError(f"no Redis at {where}: {str(error) or 'the connection was lost'}") from error

    async def _warn_of_eviction(self) -> None:
        try:
            reply = await self._link.call(b"CONFIG", b"GET", b"maxmemory-policy")
        except RedisError:
            return  # A managed Redis may not tell.
        policy = _text(reply.get(b"maxmemory-policy", b"")) if isinstance(reply, dict) else ""
        if policy not in ("", "noeviction"):
            log.warning("redis may evict keys, and rooms with them; set maxmemory-policy noeviction", policy=policy)

    async def _last_direct(self) -> bytes:
        reply = await self._ask_link(b"XREVRANGE", DIRECT_KEY, b"+", b"-", b"COUNT", 1)
        return cast("list[tuple[bytes, object]]", reply)[0][0] if reply else b"0-0"

    async def _begin(self, link: Link) -> None:
        connects = link.connects
        async with self._begin_lock:
            if link.connects == connects:
                shards = [(shard, *self._known.get(shard, ("", 0))) for shard in ALL_SHARDS]
                await generation.begin(link, shards)

    async def _renew(self, shard: Shard, known_generation: str, number: int) -> None:
        await generation.renew(self._link, shard, known_generation, number)

    async def _drop_link(self) -> None:
        self._link.drop()
        await self._calls.pause()

    def _note_link(self, link: Link, why: str | None) -> None:
        if why is None:
            self._down.pop(link, None)
            if not self._down and self._down_since_s is not None:
                log.info(
                    "redis is back", url=self._address.shown, away_s=round(trio.current_time() - self._down_since_s, 3)
                )
                self._down_since_s = None
            return
        self._down[link] = why
        if self._down_since_s is None and self._link.connects and self._read_link.connects:
            self._down_since_s = trio.current_time()
            log.warning("redis is away", url=self._address.shown, why=why)


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
