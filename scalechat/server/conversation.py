"""What one client asks, done: the effects that `wire.session` decides, carried out against hub and bus.

Messages of one client are handled one after the other, in the order of its frames, so its publications keep their
order. What needs no waiting is done at once, by a plain function: with a bus in this process that is every message but
joins and questions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import trio

from scalechat.bus.base import Bus, BusError, DirectDelivery
from scalechat.server.admission import Admit, TokenBucket
from scalechat.server.eviction import Evictor
from scalechat.server.hub import Hub, prepare
from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.server.room import newest_within
from scalechat.wire import closing
from scalechat.wire.codec import encode, read_id
from scalechat.wire.frames import text_frame
from scalechat.wire.messages import (
    SUBPROTOCOL,
    Ack,
    DirectMessage,
    ErrorAnswer,
    History,
    Joined,
    Left,
    Limits,
    Presence,
    PresenceMember,
    ServerSays,
    Welcome,
)
from scalechat.wire.session import (
    AnswerHistory,
    AnswerPresence,
    DeliverDirect,
    Dialect,
    Effect,
    End,
    JoinRoom,
    LeaveRoom,
    PublishIn,
    SayError,
    Session,
)

Finish = Callable[[], Awaitable[None]]
"""Handle what could not be handled without waiting."""
_Left = tuple[Effect, list[bytes]]
"""What has been decided and has to be waited for, and what was said behind it."""
_KINDS: dict[type[Effect], str] = {
    PublishIn: "message",
    DeliverDirect: "direct",
    JoinRoom: "join",
    LeaveRoom: "leave",
    AnswerHistory: "history",
    AnswerPresence: "presence",
    SayError: "bad",
    End: "bad",
}
"""Label values of the metric that counts what clients say."""


@dataclass(frozen=True, slots=True)
class ConversationLimits:
    message_size_bytes: int
    message_rate_per_s: float
    heartbeat_s: float
    replay_bytes: int
    """Most bytes of history in one answer: well below the queue limit, so that asking cannot evict the asker."""
    presence_limit: int = 1000
    """Clients of a room whose names are told; of more only the count. 1,000 of the longest names are under 100 kB."""


class Conversation:
    """What `take` returns and `greet` may be cancelled at any await; the connection is then over."""

    __slots__ = ("_bucket", "_bus", "_counters", "_evictor", "_hub", "_limits", "_member", "_session")

    def __init__(
        self,
        member: Member,
        session: Session,
        *,
        hub: Hub,
        bus: Bus,
        counters: Counters,
        evictor: Evictor,
        limits: ConversationLimits,
    ) -> None:
        self._member = member
        self._session = session
        self._hub = hub
        self._bus = bus
        self._counters = counters
        self._evictor = evictor
        self._limits = limits
        rate = limits.message_rate_per_s
        self._bucket = TokenBucket(rate, trio.current_time()) if rate else None

    async def greet(self, admit: Admit) -> None:
        """Say welcome and enter the room named in the URL."""
        if admit.dialect is Dialect.V1:
            limits = Limits(self._limits.message_size_bytes, self._limits.message_rate_per_s)
            self._say(
                Welcome(
                    client_id=self._member.client_id or "",
                    session=self._member.session_id,
                    protocol=SUBPROTOCOL,
                    limits=limits,
                    heartbeat_ms=int(self._limits.heartbeat_s * 1000),
                )
            )
        if admit.room:
            await self._join(JoinRoom(admit.room, admit.since, admit.history, admit.watch, None))

    def take(self, payloads: list[bytes], now_s: float) -> Finish | None:
        """Handle text messages (valid UTF-8, within the size limit) in order; `now_s` as of `trio.current_time`.

        Returns None when they are all handled. Otherwise the first that has to be waited for and all behind it are
        handled by what is returned, which must have ended before any more are taken.
        """
        left = self._take(payloads, now_s)
        return None if left is None else partial(self._finish, left)

    def _take(self, payloads: list[bytes], now_s: float) -> _Left | None:
        for at, payload in enumerate(payloads):
            if self._member.outbox.closed:
                return None  # Ended: what still arrives is not acknowledged.
            if self._bucket is None or self._bucket.take(now_s):
                effect = self._session.receive(payload, now_s)
                self._counters.messages_in[_KINDS[type(effect)]] += 1
                if not self._do_now(effect):
                    return effect, payloads[at + 1 :]
            else:
                self._refuse_speed(payload)
        return None

    async def _finish(self, left: _Left | None) -> None:
        while left is not None:
            effect, payloads = left
            try:
                await self._do(effect)
            except BusError as busy:
                self._say_busy(effect, busy)
            left = self._take(payloads, trio.current_time())

    def _refuse_speed(self, payload: bytes) -> None:
        self._counters.messages_in["bad"] += 1
        if self._session.dialect is Dialect.PLAIN or (self._bucket is not None and self._bucket.hopeless):
            self._evictor.too_fast(self._member)
        else:
            detail = f"more than {self._limits.message_rate_per_s:g} messages a second"
            self._say(ErrorAnswer.of("rate_limited", detail, read_id(payload)))

    def _do_now(self, effect: Effect) -> bool:
        """Whether that was possible without waiting; nothing has happened otherwise."""
        if isinstance(effect, PublishIn):
            return not effect.named and self._publish_now(effect)
        match effect:
            case LeaveRoom():
                self._hub.leave(self._member, effect.room)
                self._say(Left(room=effect.room, id=effect.id))
            case SayError():
                self._say(effect.answer)
            case End():
                self._member.end(effect.closing, effect.detail)
            case _:
                return False
        return True

    async def _do(self, effect: Effect) -> None:
        """What `_do_now` left. Raises `BusError`."""
        match effect:
            case PublishIn():
                await self._publish(effect)
            case DeliverDirect():
                await self._deliver_direct(effect)
            case JoinRoom():
                await self._join(effect)
            case AnswerHistory():
                await self._answer_history(effect)
            case AnswerPresence():
                await self._answer_presence(effect)

    def _publish_now(self, effect: PublishIn) -> bool:
        try:
            receipt = self._hub.publish_nowait(effect.room, effect.client_id, effect.text, effect.id)
        except BusError as busy:
            self._say_busy(effect, busy)
            return True
        if receipt is None:
            return False
        if effect.id is not None:
            self._say(Ack(room=effect.room, seq=receipt.seq, id=effect.id))
        return True

    async def _publish(self, effect: PublishIn) -> None:
        if effect.named:
            await self._hub.name(self._member, effect.client_id)
        receipt = await self._hub.publish(effect.room, effect.client_id, effect.text, effect.id)
        if effect.id is not None:
            self._say(Ack(room=effect.room, seq=receipt.seq, id=effect.id))

    def _say_busy(self, effect: Effect, busy: BusError) -> None:
        if self._hub.draining:
            return  # Its goodbye is on the way, and what was not answered is said again elsewhere.
        if self._session.dialect is Dialect.V1:
            self._say(ErrorAnswer.of("busy", str(busy), getattr(effect, "id", None)))
        else:
            self._member.end(closing.INTERNAL, str(busy))

    async def _deliver_direct(self, effect: DeliverDirect) -> None:
        message = DirectMessage(
            client_id=effect.client_id, to=effect.to, text=effect.text, ts_unix_ms=int(time.time() * 1000), id=effect.id
        )
        elsewhere = await self._bus.send_direct(DirectDelivery(message, self._member.session_id))
        if not (elsewhere or self._hub.has_client(effect.to)):
            self._say(ErrorAnswer.of("not_found", "nobody of that name is connected", effect.id))
        elif effect.id is not None:
            self._say(Ack(id=effect.id))

    async def _join(self, effect: JoinRoom) -> None:
        members = await self._bus.population(effect.room)
        was_in = effect.room in self._member.session.rooms
        room, replay = await self._hub.join(
            self._member,
            effect.room,
            since=effect.since,
            history=effect.history,
            budget_bytes=self._limits.replay_bytes,
            watch=effect.presence,
        )
        if self._session.dialect is Dialect.PLAIN:
            for payload in replay.payloads:
                self._hub.send(self._member, text_frame(payload))
            return
        self._say(
            Joined(
                room=room.name,
                epoch=room.epoch,
                seq=room.seq,
                members=members + (not was_in),
                recovered=replay.recovered,
                history=[msgspec.Raw(payload) for payload in replay.payloads],
                id=effect.id,
            )
        )

    async def _answer_history(self, effect: AnswerHistory) -> None:
        page = await self._bus.history(effect.room, before=effect.before, limit=effect.limit)
        newest_first = map(prepare, reversed(page.publications))
        messages = [msgspec.Raw(p) for p in newest_within(newest_first, effect.limit, self._limits.replay_bytes)]
        self._say(History(room=effect.room, epoch=page.epoch, messages=messages, id=effect.id))

    async def _answer_presence(self, effect: AnswerPresence) -> None:
        count = await self._bus.population(effect.room)
        present = await self._bus.presence(effect.room) if count <= self._limits.presence_limit else {}
        members = [PresenceMember(client_id, connections) for client_id, connections in sorted(present.items())]
        self._say(Presence(room=effect.room, members=members, count=count, id=effect.id))

    def _say(self, answer: ServerSays) -> None:
        self._hub.send(self._member, text_frame(encode(answer)))
