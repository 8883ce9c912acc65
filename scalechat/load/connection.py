"""One connection of a simulated client, from its dial to its end.

Everything that can happen to it ends in this object's attributes, never in an exception: `run` is the fence around it.
What they mean for the client (a member that left, or one that comes back) is the client's to say.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

import trio
import trio_websocket

from scalechat.client.late import LateWebSocket, open_websocket
from scalechat.client.outgoing import random_mask
from scalechat.client.transport import LaneStream
from scalechat.load.decoding import Batch
from scalechat.load.failures import Failure, NotOffered, failure_of
from scalechat.load.inbox import Inbox
from scalechat.load.ledger import RecipientLedger
from scalechat.load.surroundings import Surroundings
from scalechat.load.throttle import ThrottledStream
from scalechat.scenario import Slow
from scalechat.wire.closing import LOST, TOO_SLOW
from scalechat.wire.frames import masked_frame

GOODBYE_S: Final = 2.0
"""At the end of the run a server has so long to answer our Close."""


class Owner(Protocol):
    """The client whose connection it is. Nothing here blocks or raises."""

    @property
    def inbox(self) -> Inbox:
        """Takes everything that comes in."""
        ...

    def handshaken(self) -> None:
        """The WebSocket is open."""
        ...

    def gone(self) -> None:
        """The connection is over, after the client had joined."""
        ...


class Connection:
    """The `ordinal`-th connection of client `number`, to be dialled at `intended_ns`. Times are of the run's clock."""

    __slots__ = (
        "_goodbye",
        "_owner",
        "_patience",
        "_reader",
        "_stream",
        "_world",
        "_ws",
        "close_code",
        "close_reason",
        "closed_by",
        "closed_ns",
        "failure",
        "handshake_ns",
        "intended_ns",
        "join_order",
        "ledger",
        "number",
        "opened_ns",
        "ordinal",
        "phase",
        "received_before",
        "tcp_ns",
    )

    def __init__(self, owner: Owner, world: Surroundings, number: int, ordinal: int, intended_ns: int) -> None:
        self._owner = owner
        self._world = world
        self._reader = world.dialect.reader(world.decoder.batch, world.reader)
        self._stream: LaneStream[Batch] | None = None
        self._ws: LateWebSocket | None = None
        self._patience: trio.CancelScope | None = None
        self._goodbye: trio.Event | None = None
        self.number = number
        self.ordinal = ordinal
        self.phase = world.recorder.phase
        self.intended_ns = intended_ns
        self.tcp_ns: int | None = None
        """From the intended time until TCP (and TLS) was established."""
        self.handshake_ns: int | None = None
        """From then until the WebSocket was open."""
        self.opened_ns: int | None = None
        """When the client had joined its room."""
        self.closed_ns: int | None = None
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.closed_by: Literal["client", "server", "network"] | None = None
        self.failure: Failure | None = None
        self.join_order: int | None = None
        self.ledger: RecipientLedger | None = None
        """The account of the member it was."""
        self.received_before = 0
        """What that member had received before this connection."""

    @property
    def is_open(self) -> bool:
        """Whether the client has joined its room by it and has not left."""
        return self.opened_ns is not None and self.closed_ns is None

    async def run(self, resource: str) -> None:
        """Dial, and stay until the end."""
        try:
            # Until it has joined, the client's patience is limited; `open` lifts the limit.
            with trio.move_on_after(self._world.connect_timeout_s) as self._patience:
                async with trio.open_nursery() as nursery:
                    await self._dial(nursery, resource)
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
            if self._stream is not None:
                await trio.aclose_forcefully(self._stream)

    def open(self, ledger: RecipientLedger, *, for_s: float = float("inf")) -> None:
        """The client has joined its room; it cuts the connection after `for_s`."""
        assert self._patience is not None
        self._patience.deadline = trio.current_time() + for_s
        self.opened_ns = self._world.clock()
        self.ledger, self.received_before = ledger, ledger.received
        self._world.recorder.windows.add("connect", self.opened_ns - self.intended_ns, self._world.recorder.phase)

    def cut(self) -> None:
        """Drop it without a word, as a network does; `run` then ends."""
        if self.is_open and self._patience is not None:
            self.closed_by = "client"
            self._leave()
            self._patience.cancel()

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

    def send(self, payload: bytes) -> bool:
        """Send a frame; False when the connection cannot take it."""
        # A mask of zeros would make unmasking look cheaper than it is.
        frame = masked_frame(payload, random_mask(), binary=self._world.dialect.binary)
        return self._stream is not None and self._stream.send_nowait(frame)

    # --- what happens to it ------------------------------------------------------------------------------------------

    async def _dial(self, nursery: trio.Nursery, resource: str) -> None:
        world, plan, inbox = self._world, self._world.recorder.plan, self._owner.inbox
        kind = plan.crowd.kind_of(self.number)
        slow = kind if isinstance(kind, Slow) else None
        buffer_bytes = None if slow is None else slow.receive_buffer_bytes
        link = await world.connector.open(self.number, receive_buffer_bytes=buffer_bytes)
        connected_ns = world.clock()
        self.tcp_ns = connected_ns - self.intended_ns
        fed = link.sock is not None and slow is None
        stream = self._stream = LaneStream(
            link.stream if slow is None else ThrottledStream(link.stream, slow.read_bytes_per_s, world.is_draining),
            nursery=nursery,
            reader=self._reader,
            on_batch=inbox.take,
            # A dialect with a reader of its own reads several frames together: one alone means nothing.
            follower=inbox if self._reader is world.reader else None,
            on_end=self._on_end,
            sock=link.sock,
            fed=fed,
            binary=world.dialect.binary,
            answers_pings=True,
            traffic=world.recorder.counters.traffic,
        )
        if fed and link.sock is not None:
            stream.on_close(world.poller.add(link.sock, stream))
        room = world.names.room(plan.room_of(self.number))
        ws = self._ws = await open_websocket(
            nursery,
            stream,
            world.connector.host_header,
            resource,
            subprotocols=world.dialect.subprotocols,
            extra_headers=world.dialect.extra_headers(world.names, self.number, room),
        )
        self.handshake_ns = world.clock() - connected_ns
        if world.dialect.subprotocols and ws.subprotocol not in world.dialect.subprotocols:
            raise NotOffered(world.dialect.subprotocols)
        for text in world.dialect.hello(world.names, self.number, room):
            self.send(text)
        self._owner.handshaken()

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
            self._owner.inbox.take(self._reader.decode([text]))

    def _on_end(self) -> None:
        """Nothing more comes in."""
        self._leave()
        if self.handshake_ns is None and self._patience is not None:
            self._patience.cancel()  # trio-websocket would wait for the rest of the handshake for ever.

    def _leave(self) -> None:
        if self.is_open:
            if self.closed_by is None and self._patience is not None and self._patience.cancel_called:
                self.closed_by = "client"  # its time was up
            self.closed_ns = self._world.clock()
            self._owner.gone()

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
