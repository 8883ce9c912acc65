"""One client's life: handshake, greeting, conversation, goodbye.

trio-websocket's reader task reads; what it or our own lane finds goes to the `Conversation`. Ending is one plain step:
the Close frame takes its place behind what is queued and nothing follows it, so a client never sees a hole and then
more messages. A peer that does not take its Close frame is cut after `GOODBYE_S`.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from scalechat.bus.base import Bus
from scalechat.server.admission import RETRY_AFTER_MS, AcceptAndClose, Admission, Admit, Handshake, Refuse
from scalechat.server.conversation import Conversation, ConversationLimits, Finish
from scalechat.server.eviction import Evictor
from scalechat.server.heartbeat import Heartbeat
from scalechat.server.hub import Hub
from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Backlog, Outbox, QueueLimits, SendNow, Spawn
from scalechat.server.transport import ReadBy, Transport
from scalechat.wire import closing
from scalechat.wire.closing import Closing, label_of, reason_text
from scalechat.wire.codec import encode
from scalechat.wire.frames import close_frame, text_frame
from scalechat.wire.handshake import BadHandshake, Upgrade, accept_response, parse_upgrade, refuse_response
from scalechat.wire.messages import SUBPROTOCOL, Reconnect
from scalechat.wire.session import Dialect, Session

GOODBYE_S = 2.0
"""How long a peer may take over its Close frame and its end of the connection, before it is cut."""
_CHALLENGES = {
    HTTPStatus.UNAUTHORIZED: (("WWW-Authenticate", "Bearer"),),
    HTTPStatus.UPGRADE_REQUIRED: (("Sec-WebSocket-Version", "13"),),
    HTTPStatus.SERVICE_UNAVAILABLE: (("Retry-After", "5"),),
}
"""What a refusal's status obliges us to add."""
_SAID_BY_US_ALONE = (closing.PROTOCOL_ERROR, closing.BAD_UTF8)
"""Violations for which trio-websocket drops the connection without a word; RFC 6455 section 7.1.7 wants a Close
frame."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection whose request head has been read and asks for ``/ws``."""

    stream: trio.abc.HalfCloseableStream
    send_now: SendNow | None
    request: bytes
    early: bytes
    """What followed the head already."""
    address: str
    spawn: Spawn
    """Runs the client's writer, when it needs one."""
    read_by: ReadBy | None = None
    """Has the pump read the socket under `stream`; None where the connection reads `stream` itself."""


class WebSocketService:
    """Everything a connection needs, passed once; `serve` runs one connection to its end."""

    def __init__(
        self,
        *,
        admission: Admission,
        hub: Hub,
        bus: Bus,
        heartbeat: Heartbeat,
        counters: Counters,
        evictor: Evictor,
        backlog: Backlog,
        queue_limits: QueueLimits,
        limits: ConversationLimits,
        handshake_timeout_s: float,
    ) -> None:
        self.admission = admission
        self.hub = hub
        self.bus = bus
        self.heartbeat = heartbeat
        self.counters = counters
        self.evictor = evictor
        self.backlog = backlog
        self.queue_limits = queue_limits
        self.limits = limits
        self.handshake_timeout_s = handshake_timeout_s

    async def serve(self, arrival: Arrival) -> None:
        """Serve one connection until it ends. Raises what trio-websocket lets out: the caller has a fence."""
        connection = _Connection(self, arrival)
        try:
            await connection.run()
        finally:
            if connection.code is not None:
                self.counters.closes[label_of(connection.code)] += 1

    def refuse(self, reason: str) -> None:
        self.counters.refusals[reason] += 1


class _Connection:
    __slots__ = ("_arrival", "_conversation", "_outbox", "_service", "_talk", "_transport", "code")

    def __init__(self, service: WebSocketService, arrival: Arrival) -> None:
        self._service = service
        self._arrival = arrival
        self._conversation: Conversation | None = None
        self._talk = trio.CancelScope()
        self.code: int | None = closing.LOST.code
        """How it ended; None when it never was a WebSocket."""
        self._outbox = Outbox(
            arrival.stream,
            spawn=arrival.spawn,
            limits=service.queue_limits,
            backlog=service.backlog,
            send_now=arrival.send_now,
        )
        self._transport = Transport(
            arrival.stream,
            early=arrival.early,
            outbox=self._outbox,
            counters=service.counters,
            max_message_bytes=service.limits.message_size_bytes,
            on_texts=self._on_texts,
            read_by=arrival.read_by,
        )

    async def run(self) -> None:
        reads = True
        try:
            await self._answer_and_talk()
            if self._outbox.queued:
                with trio.move_on_after(GOODBYE_S) as goodbye:
                    await self._outbox.wait_written()
                reads = not goodbye.cancelled_caught
        finally:
            self._outbox.close()
        if reads and not self._transport.ended:
            await self._linger()

    async def _answer_and_talk(self) -> None:
        try:
            upgrade = parse_upgrade(self._arrival.request)
        except BadHandshake as bad:
            self._refuse(Refuse("bad_request", bad.status, bad.detail))
            return
        decision = self._service.admission.decide(
            Handshake(upgrade.target, upgrade.headers, upgrade.subprotocols, self._arrival.address)
        )
        match decision:
            case Refuse():
                self._refuse(decision)
            case AcceptAndClose():
                self._service.refuse(decision.reason)
                self._accept(upgrade, decision.dialect)
                self._close(decision.closing, retry_after_ms=decision.retry_after_ms)
            case Admit():
                self._accept(upgrade, decision.dialect)
                await self._converse(decision)

    def _accept(self, upgrade: Upgrade, dialect: Dialect) -> None:
        self._outbox.offer(accept_response(upgrade, SUBPROTOCOL if dialect is Dialect.V1 else None))

    def _refuse(self, refuse: Refuse) -> None:
        self.code = None
        self._service.refuse(refuse.reason)
        self._outbox.finish(refuse_response(refuse.status, refuse.detail, _CHALLENGES.get(refuse.status, ())))

    # --- conversation -----------------------------------------------------------------------------------------------

    async def _converse(self, admit: Admit) -> None:
        service = self._service
        client_id = admit.client_id
        if client_id is None and admit.dialect is Dialect.V1:
            client_id = f"guest-{secrets.token_hex(3)}"
        session = Session(admit.dialect, client_id=client_id, plain_room=admit.room, allowed_rooms=admit.allowed_rooms)
        member = Member(
            session_id=secrets.token_hex(8),
            session=session,
            address=self._arrival.address,
            outbox=self._outbox,
            connected_unix_s=time.time(),
            token_expires_unix_s=admit.token_expires_unix_s,
            transport=self._transport,
            end=self._end_member,
        )
        self._conversation = Conversation(
            member,
            session,
            hub=service.hub,
            bus=service.bus,
            counters=service.counters,
            evictor=service.evictor,
            limits=service.limits,
        )
        service.hub.add(member)
        service.heartbeat.add(member)
        if service.admission.draining:  # Since the handshake was decided: `Node.drain` has not seen this member.
            member.end(closing.DRAINING, retry_after_ms=RETRY_AFTER_MS)
        try:
            with self._talk:
                await self._conversation.greet(admit)
                if unusual := await self._transport.receive_unusual():
                    await self._talk_through_library(unusual, member)
        finally:
            self._transport.stop_reading()
            service.heartbeat.remove(member)
            service.hub.remove(member)

    def _on_texts(self, payloads: list[bytes], now_s: float) -> Finish | None:
        assert self._conversation is not None
        return self._conversation.take(payloads, now_s)

    async def _talk_through_library(self, unusual: bytes, member: Member) -> None:
        """From here on trio-websocket reads. Whatever it raises at hostile input leaves through its nursery."""
        async with trio.open_nursery() as nursery:
            replayed = trio.CancelScope()
            self._transport.replay(self._arrival.request, unusual, on_close=replayed.cancel)
            with replayed:
                request = await wrap_server_stream(
                    nursery, self._transport, max_message_size=self._service.limits.message_size_bytes
                )
                ws = await request.accept()
                self._transport.open_library()
                await self._read_library(ws, member)
            nursery.cancel_scope.cancel()

    async def _read_library(self, ws: WebSocketConnection, member: Member) -> None:
        """Messages that came through the library: fragmented ones, and every later one of that client."""
        assert self._conversation is not None
        while True:
            try:
                message = await ws.get_message()
            except ConnectionClosed as closed:
                if closed.reason is None:  # The library's reader is raising: let its error out before we cancel it.
                    await trio.lowlevel.checkpoint()
                self._note_library_close(closed.reason.code if closed.reason else closing.LOST.code)
                return
            if isinstance(message, bytes):
                member.end(closing.BINARY)
            elif len(payload := message.encode()) > self._service.limits.message_size_bytes:
                member.end(closing.TOO_LARGE)  # The library counts characters.
            elif (finish := self._conversation.take([payload], trio.current_time())) is not None:
                await finish()

    # --- ending -----------------------------------------------------------------------------------------------------

    def _end_member(self, member: Member, why: Closing, detail: str, retry_after_ms: int | None) -> None:
        if self._outbox.closed:
            return
        if why is closing.DRAINING:
            if member.session.dialect is Dialect.V1:
                notice = Reconnect(after_ms=retry_after_ms or 0, reason=why.reason)
                self._outbox.offer(text_frame(encode(notice)))
            else:
                why = closing.GOING_AWAY
        self._close(why, detail, retry_after_ms=retry_after_ms)

    def _close(self, why: Closing, detail: str = "", *, retry_after_ms: int | None = None) -> None:
        self.code = why.code
        if why is closing.TOO_SLOW:
            self._outbox.abandon()
        self._outbox.finish(close_frame(why.code, reason_text(why, detail=detail, retry_after_ms=retry_after_ms)))
        self._talk.cancel()

    def _note_library_close(self, code: int) -> None:
        if self._outbox.closed:
            return
        self.code = code
        for why in _SAID_BY_US_ALONE:
            if code == why.code and not self._transport.close_sent:
                self._close(why)

    async def _linger(self) -> None:
        """Wait for the peer's end: closing with unread bytes would send RST, which destroys our Close frame in
        flight."""
        stream = self._arrival.stream
        with trio.move_on_after(GOODBYE_S):
            try:
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                pass
