"""`scalechat.bus.base.Bus` over Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import trio

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
from scalechat.bus.redis.address import Address
from scalechat.bus.redis.arriving import Arriving
from scalechat.bus.redis.calls import AWAY, DEADLINE_S
from scalechat.bus.redis.following import Followed, OutOfStep, Reading, begin, parse_id
from scalechat.bus.redis.keeping import DEFAULT, Keeping
from scalechat.bus.redis.keys import NOTICE_KEY, NOTICE_SLOT, shard_of
from scalechat.bus.redis.presence import STATEMENTS, Presence
from scalechat.bus.redis.publishing import Publishing, publish_job
from scalechat.bus.redis.questions import Questions
from scalechat.bus.redis.readings import Notice, Readings, encode_notice
from scalechat.bus.redis.writer import WAITING_BYTES, WAITING_JOBS, Writer


class RedisBus:
    """Needs `run` to be running; until then, and while Redis is away, calls wait or raise `BusError`.

    `observe_publish_s` is told how long each publish took.
    """

    def __init__(
        self,
        address: Address,
        keeping: Keeping = DEFAULT,
        *,
        observe_publish_s: Callable[[float], None] = lambda _: None,
        deadline_s: float = DEADLINE_S,
        waiting_jobs: int = WAITING_JOBS,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._keeping = keeping
        self._observe_publish_s = observe_publish_s
        self._deadline_s = deadline_s
        self._deliver: Deliver = _to_nobody
        self._readings = Readings()
        self._arriving = Arriving(address, self._readings, self._give)
        self._places = self._arriving.places
        calls = self._arriving.calls
        self._questions = Questions(keeping, self._places, calls, deadline_s=deadline_s)
        self._publisher = Writer(
            Publishing(keeping, self._arriving.know), calls, waiting_jobs=waiting_jobs, waiting_bytes=waiting_bytes
        )
        node = secrets.token_hex(6).encode()
        self._presence = Presence(
            node,
            lease_s=keeping.lease_s,
            stream_entries=keeping.stream_entries,
            read_said=partial(self._questions.read_said, node=node),
        )
        self._presence.writer = Writer(self._presence, calls, waiting_jobs=STATEMENTS, waiting_bytes=waiting_bytes)
        self._arriving.publisher, self._arriving.presence = self._publisher, self._presence.writer
        self._arriving.logs = self._questions
        self._arriving.read_last_notice = self._questions.read_last_notice

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
            newest = [(reading, await self._questions.read_number(reading.shard)) for reading in readings]
            notice_id = parse_id(await self._questions.read_last_notice())
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
        seq = await self._publisher.submit(publish_job(room, client_id, text, id), self._deadline_s)
        self._observe_publish_s(trio.current_time() - began_s)
        return Receipt(abs(seq), duplicate=seq < 0)

    async def send_direct(self, delivery: DirectDelivery) -> bool:
        await self._tell_every_node(Notice(secrets.token_bytes(12), direct=delivery))
        return True  # Nobody knows.

    async def kick(self, session_id: str) -> None:
        await self._tell_every_node(Notice(secrets.token_bytes(12), kick=Kick(session_id)))

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
            located = await self._questions.read_page(room, make=False, limit=0)
        else:
            located = await self._questions.read_page(room, make=False, before=min(before or 0, 2**53), limit=limit)
        return located.page

    # --- people -----------------------------------------------------------------------------------------------------

    async def enter(self, room: str, client_id: str) -> None:
        await self._presence.enter(room, client_id)

    def exit(self, room: str, client_id: str) -> None:
        self._presence.exit(room, client_id)

    async def presence(self, room: str) -> dict[str, int]:
        return await self._questions.presence(room)

    async def population(self, room: str) -> int:
        return await self._questions.population(room)

    async def rooms(self) -> list[RoomInfo]:
        return await self._questions.rooms()

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _give(self, event: Event) -> None:
        self._deliver(event)

    async def _tell_every_node(self, notice: Notice) -> None:
        value = encode_notice(notice)
        most = self._keeping.stream_entries
        await self._questions.command(NOTICE_SLOT, b"XADD", NOTICE_KEY, b"MAXLEN", b"~", most, b"*", b"m", value)

    async def _first_page(self, room: str, reading: Reading, followed: Followed) -> tuple[Page, list[Event]]:
        while True:
            located = await self._questions.read_page(room)
            page_id = parse_id(located.id)
            if not reading.id:
                reading.begin(located.id, located.generation, located.number)
                self._arriving.see_to_readers()
            elif page_id < reading.begun:
                continue  # What lies between is not read: the page must be newer than the reading.
            try:
                return located.page, begin(followed, located.page, page_id)
            except OutOfStep:
                followed.pending = []


def _is_behind(reading: Reading, generation: str, number: int) -> bool:
    if not (generation and reading.id and reading.rooms):
        return False
    return generation != reading.generation or reading.number < number


def _to_nobody(_event: Event) -> None:
    """Before `run` and after it."""
