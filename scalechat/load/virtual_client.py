"""One simulated client: connects, joins its room, publishes when told, and accounts for everything it receives.

What comes in is handled synchronously by its `Inbox`, called by whoever read the bytes; the client's own task only
opens the connection and waits for its end. Everything that can happen to a connection ends in this object's
attributes, never in an exception: `run` is the fence around it.
"""

from __future__ import annotations

from typing import Final, Literal

import trio
import trio_websocket

from scalechat.client.late import LateWebSocket, open_websocket
from scalechat.client.transport import LaneStream, random_mask
from scalechat.load import payload
from scalechat.load.connector import Failure, NotOffered, failure_of
from scalechat.load.decoding import Batch
from scalechat.load.dialects import Publish
from scalechat.load.inbox import Inbox
from scalechat.load.ledger import RecipientLedger
from scalechat.load.surroundings import Surroundings
from scalechat.load.timeline import PhaseNumber
from scalechat.wire.closing import LOST, TOO_SLOW
from scalechat.wire.frames import masked_frame

GOODBYE_S: Final = 2.0
"""At the end of the run a server has so long to answer our Close."""


class VirtualClient:
    """Client number `number` of the plan. All times are of the run's clock."""

    __slots__ = (
        "_goodbye",
        "_inbox",
        "_patience",
        "_publish",
        "_reader",
        "_room",
        "_settled",
        "_stream",
        "_world",
        "_ws",
        "close_code",
        "close_reason",
        "closed_by",
        "closed_ns",
        "connect_phase",
        "failure",
        "handshake_ns",
        "intended_ns",
        "join_order",
        "number",
        "opened_ns",
        "tcp_ns",
    )

    def __init__(self, number: int, world: Surroundings) -> None:
        self.number = number
        self._world = world
        self._room = world.recorder.plan.room_of(number)
        self._reader = world.dialect.reader(world.decode, world.reader)
        self._stream: LaneStream[Batch] | None = None
        self._ws: LateWebSocket | None = None
        self._patience: trio.CancelScope | None = None
        self._publish: Publish | None = None
        self._settled = False
        self._goodbye: trio.Event | None = None
        self.connect_phase = PhaseNumber.RAMP
        self.intended_ns: int | None = None
        self.tcp_ns: int | None = None
        """From the intended time until TCP (and TLS) was established."""
        self.handshake_ns: int | None = None
        """From then until the WebSocket was open."""
        self.opened_ns: int | None = None
        self.closed_ns: int | None = None
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.closed_by: Literal["client", "server", "network"] | None = None
        self.failure: Failure | None = None
        self.join_order: int | None = None
        self._inbox = Inbox(number, world, self._enter, self._send)

    @property
    def is_open(self) -> bool:
        """Whether it has joined its room and has not left."""
        return self.opened_ns is not None and self.closed_ns is None

    @property
    def ledger(self) -> RecipientLedger | None:
        """What it must get and got; None when it never joined."""
        return self._inbox.ledger

    @property
    def longest_gap_ns(self) -> int:
        """The longest time without a delivery."""
        return self._inbox.longest_gap_ns

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, intended_ns: int) -> None:
        """Connect, join, and stay until the connection ends."""
        self.intended_ns = intended_ns
        self.connect_phase = self._world.recorder.phase
        try:
            # Until it has joined, the client's patience is limited; `_enter` lifts the limit.
            with trio.move_on_after(self._world.connect_timeout_s) as self._patience:
                async with trio.open_nursery() as nursery:
                    await self._open(nursery)
                    await self._stay()
                    if self._goodbye is not None:
                        await self._goodbye.wait()
                    nursery.cancel_scope.cancel()
            if self.opened_ns is None:
                self._fail(self._why_not_opened())
        except* Exception as group:  # the fence: this fate is nobody else's
            failure = failure_of(group)
            if failure is None:
                raise
            self._fail(failure)
        finally:
            self._leave()
            self._settle()
            if self._stream is not None:
                await trio.aclose_forcefully(self._stream)

    async def close(self) -> None:
        """Say goodbye; `run` then ends."""
        if self._ws is not None and self.is_open:
            self.closed_by = "client"
            self.close_code = 1000
            # Our own task must not end the reader before it has seen the server's answer.
            goodbye = self._goodbye = trio.Event()
            with trio.move_on_after(GOODBYE_S):
                await self._ws.aclose(1000)
            goodbye.set()

    async def _open(self, nursery: trio.Nursery) -> None:
        world = self._world
        intended_ns = self.intended_ns
        assert intended_ns is not None
        link = await world.connector.open(self.number)
        connected_ns = world.clock()
        self.tcp_ns = connected_ns - intended_ns
        stream = self._stream = LaneStream(
            link.stream,
            nursery=nursery,
            reader=self._reader,
            on_batch=self._inbox.take,
            # A dialect with a reader of its own reads several frames together: one alone means nothing.
            follower=self._inbox if self._reader is world.reader else None,
            on_end=self._on_end,
            sock=link.sock,
            fed=link.sock is not None,
            binary=world.dialect.binary,
            answers_pings=True,
            traffic=world.recorder.counters.traffic,
        )
        if link.sock is not None:
            stream.on_close(world.poller.add(link.sock, stream))
        plan = world.recorder.plan
        room = world.names.room(self._room)
        ws = self._ws = await open_websocket(
            nursery,
            stream,
            world.connector.host_header,
            world.dialect.resource(world.names, self.number, room),
            subprotocols=world.dialect.subprotocols,
            extra_headers=world.dialect.extra_headers(world.names, self.number, room),
        )
        self.handshake_ns = world.clock() - connected_ns
        if world.dialect.subprotocols and ws.subprotocol not in world.dialect.subprotocols:
            raise NotOffered(world.dialect.subprotocols)
        if self.number < plan.publishers:
            self._publish = world.dialect.publish(world.names, self.number, room)
        for text in world.dialect.hello(world.names, self.number, room):
            self._send(text)
        if not world.dialect.confirms:
            self._enter()

    async def _stay(self) -> None:
        """Wait for the end. Messages only come this way after a fragment, when the lane is off (see `LaneStream`)."""
        assert self._ws is not None
        while True:
            try:
                message = await self._ws.get_message()
            except trio_websocket.ConnectionClosed as closed:
                self._closed(closed.reason)
                return
            text = message.encode() if isinstance(message, str) else message
            self._inbox.take(self._reader.decode([text]))

    def _enter(self) -> None:
        """The client has joined its room; a server may say so more than once."""
        if self.opened_ns is not None:
            return
        recorder = self._world.recorder
        now_ns = self._world.clock()
        assert self.intended_ns is not None
        assert self._patience is not None
        self._patience.deadline = float("inf")
        self.opened_ns = now_ns
        self.join_order = recorder.members[self._room]
        self._inbox.open(now_ns)
        recorder.add("connect", now_ns - self.intended_ns, recorder.phase)
        self._settle()

    def _on_end(self) -> None:
        """Nothing more comes in."""
        self._leave()
        if self.handshake_ns is None and self._patience is not None:
            self._patience.cancel()  # trio-websocket would wait for the rest of the handshake for ever.

    def _leave(self) -> None:
        ledger = self._inbox.ledger
        if self.is_open and ledger is not None:
            self.closed_ns = self._world.clock()
            self._inbox.close()
            self._world.recorder.leave(self.number, ledger)
            if self.closed_by is None:
                self._world.recorder.counters.disconnects += 1
                self._world.on_left()

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            self._world.on_settled()

    def _closed(self, reason: trio_websocket.CloseReason | None) -> None:
        """The connection is over, and by now it is known how."""
        self._leave()
        if self.closed_by is not None:
            return
        self.close_code = LOST.code if reason is None else reason.code
        self.close_reason = None if reason is None else reason.reason
        self.closed_by = "network" if self.close_code == LOST.code else "server"
        if self.opened_ns is not None:
            if self.close_code == TOO_SLOW.code:
                self._world.recorder.counters.evicted += 1
            self._world.error(f"closed_{self.close_code}", self.close_reason or "no reason given")

    def _why_not_opened(self) -> Failure:
        if self.closed_by is not None:
            return Failure("rejected", f"closed with {self.close_code} {self.close_reason or ''}".rstrip())
        if self._stream is not None and self._stream.ended:
            return Failure("rejected", "the server closed the connection instead of answering")
        return Failure("timeout", "not open in time")

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        if self.opened_ns is None:
            failures = self._world.recorder.counters.connect_failures
            failures[failure.kind] = failures.get(failure.kind, 0) + 1
            self._world.error(f"connect_{failure.kind}", failure.text)
        else:
            self._world.error("connection", failure.text)

    # --- out ---------------------------------------------------------------------------------------------------------

    def publish(self, size_bytes: int, intended_ns: int) -> bool:
        """Publish the next message; False when the connection cannot take it."""
        if self._publish is None or self._stream is None or not self.is_open:
            return False
        world = self._world
        number = world.recorder.next_number(self.number)
        sent_ns = world.clock()
        header = payload.Header(
            world.names.run, self.number, number, intended_ns, sent_ns, sent_ns + world.unix_offset_ns
        )
        text = self._publish(payload.encode(header, size_bytes), number)
        if not self._send(text):
            self._world.error("send_refused", "the server does not read, or the connection is going")
            return False
        world.recorder.published(self.number, size_bytes=size_bytes, intended_ns=intended_ns, sent_ns=sent_ns)
        return True

    def _send(self, payload: bytes) -> bool:
        """Send a frame; False when the connection cannot take it."""
        # A mask of zeros would make unmasking look cheaper than it is.
        frame = masked_frame(payload, random_mask(), binary=self._world.dialect.binary)
        return self._stream is not None and self._stream.send_nowait(frame)
