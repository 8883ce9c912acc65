"""The WebSocket side of one node, connected as `scalechat.server.node` does, its clients on memory streams.

Nothing is replaced but the network and the wall clock: time is virtual, so a test that waits costs nothing, and what
is measured on `trio.current_time()` is exact.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from scalechat.bus.memory import MemoryBus
from scalechat.config import ServeConfig
from scalechat.server.admission import Admission
from scalechat.server.connection import Arrival, WebSocketService
from scalechat.server.conversation import ConversationLimits
from scalechat.server.eviction import Evictor
from scalechat.server.fanout import Sweeper
from scalechat.server.fence import run_fenced
from scalechat.server.heartbeat import Heartbeat
from scalechat.server.hub import Hub
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Backlog, QueueLimits, SendNow
from scalechat.server.resync import Resync
from scalechat.server.slow_consumer import RoomPolicies
from scalechat.server.strategies import STRATEGIES
from scalechat.wire.messages import SUBPROTOCOL

from ..rough import Closed, RoughPeer, Said

ADDRESS = "192.0.2.1"
TEST_S = 600.0
"""Virtual seconds after which a test is stuck."""
HAIR_S = 1e-3
"""Virtual time only advances when every task waits: after a hair's breadth, whatever was to happen now has happened."""

Duplex = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


class Wired:
    """Real parts, public for the tests to look at."""

    def __init__(self, nursery: trio.Nursery, config: ServeConfig) -> None:
        self.nursery = nursery
        self.now_unix_s = 1_700_000_000.0
        self.counters = Counters()
        self.backlog = Backlog()
        evictor = Evictor(self.counters)
        self.bus = MemoryBus(history_messages=config.history_messages, now_s=lambda: self.now_unix_s)
        self.sweeper = Sweeper(
            STRATEGIES["coalesced"](),
            counters=self.counters,
            backlog=self.backlog,
            evict=evictor.queue_full,
            pause=Resync(counters=self.counters, evict=evictor.left_behind).pause,
            observe=lambda _seconds: None,
        )
        self.hub = Hub(
            self.bus,
            history_messages=config.history_messages,
            history_bytes=config.queue_bytes // 2,
            counters=self.counters,
            wake=self.sweeper.wake,
            evict=evictor.queue_full,
            policy_of=RoomPolicies(config.slow_consumer, config.room_policies).of,
            kick=evictor.kicked,
            log_reset=evictor.log_reset,
        )
        self.heartbeat = Heartbeat(
            period_s=config.heartbeat_s,
            queue_age_s=config.queue_age_s,
            backlog=self.backlog,
            evictor=evictor,
            unix_s=lambda: self.now_unix_s,
        )
        self.admission = Admission(
            max_connections=config.max_connections,
            max_connections_per_address=config.max_connections_per_address,
            origins=config.origins,
            token_secret=config.token_secret,
            max_history=config.history_messages,
        )
        self.service = WebSocketService(
            admission=self.admission,
            hub=self.hub,
            bus=self.bus,
            heartbeat=self.heartbeat,
            counters=self.counters,
            evictor=evictor,
            backlog=self.backlog,
            queue_limits=QueueLimits(config.queue_frames, config.queue_bytes),
            limits=ConversationLimits(
                message_size_bytes=config.max_message_size_bytes,
                message_rate_per_s=config.message_rate_per_s,
                heartbeat_s=config.heartbeat_s,
                replay_bytes=config.queue_bytes // 2,
            ),
            handshake_timeout_s=config.handshake_timeout_s,
        )

    def connect(self, *, address: str = ADDRESS, scope: trio.CancelScope | None = None) -> Duplex:
        """The client's end of a new connection, with a socket's direct writes; `scope` is around the server's side."""
        ours, theirs = memory_stream_pair()
        self.nursery.start_soon(self._serve, theirs, direct_write(ours), address, scope or trio.CancelScope())
        return ours

    def connect_in_lockstep(self) -> trio.abc.Stream:
        """The client's end of a connection that carries a byte only when the other side reads it."""
        ours, theirs = lockstep_stream_pair()
        self.nursery.start_soon(self._serve, theirs, None, ADDRESS, trio.CancelScope())
        return ours

    async def _serve(
        self, stream: trio.abc.HalfCloseableStream, send_now: SendNow | None, address: str, scope: trio.CancelScope
    ) -> None:
        self.admission.enter(address)
        try:
            with scope:
                await run_fenced(lambda: self._route(stream, send_now, address), self.counters)
        finally:
            self.admission.leave(address)
            await trio.aclose_forcefully(stream)

    def _spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        self.nursery.start_soon(run_fenced, task, self.counters)

    async def _route(self, stream: trio.abc.HalfCloseableStream, send_now: SendNow | None, address: str) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            received = await stream.receive_some()
            if not received:
                return
            data += received
        head, separator, early = data.partition(b"\r\n\r\n")
        await self.service.serve(Arrival(stream, send_now, head + separator, early, address, self._spawn))

    @asynccontextmanager
    async def rough(
        self,
        target: str = "/ws",
        *,
        v1: bool = False,
        address: str = ADDRESS,
    ) -> AsyncIterator[RoughPeer]:
        """A peer that has come in and may break rules from now on."""
        peer = RoughPeer(self.connect(address=address))
        await peer.enter(target, v1=v1)
        yield peer
        await peer.aclose()
        await wait_all_tasks_blocked()

    @asynccontextmanager
    async def client(
        self, target: str = "/ws", *, v1: bool = True, address: str = ADDRESS, scope: trio.CancelScope | None = None
    ) -> AsyncIterator["Client"]:
        """A well-behaved client of another make: trio-websocket's; v1 clients have had their welcome and joined."""
        async with trio.open_nursery() as nursery:
            stream = self.connect(address=address, scope=scope)
            websocket = await wrap_client_stream(
                nursery,
                cast("trio.SocketStream", stream),  # Any stream will do.
                "localhost",
                target,
                subprotocols=[SUBPROTOCOL] if v1 else None,
                message_queue_size=1000,
                max_message_size=2**24,
            )
            client = Client(websocket)
            if v1:
                client.welcome = await client.hear()
                if "room=&" not in f"{target}&":
                    client.joined = await client.hear()
            yield client
            await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()  # The server has noticed.

    def assert_nobody_left(self) -> None:
        """Nothing of any connection remains."""
        assert self.hub.members == {}
        assert self.hub.rooms == {}
        assert self.hub._by_client == {}
        assert self.bus._present == {}
        assert self.bus._followed == set()
        assert self.heartbeat._slot_of == {}
        assert self.heartbeat._owner == {}
        assert not any(self.heartbeat._slots)
        assert (self.backlog.frames, self.backlog.bytes, self.backlog.outboxes) == (0, 0, set())
        assert self.admission.connections == 0


class Client:
    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket
        self.welcome: Said = {}
        self.joined: Said = {}
        self.last: Said = {}

    async def say(self, **value: object) -> None:
        await self.websocket.send_message(json.dumps(value))

    async def hear(self) -> Said:
        self.last = json.loads(await self.websocket.get_message())
        return self.last

    async def ask(self, **value: object) -> Said:
        """Say it and hear what comes back first."""
        await self.say(**value)
        return await self.hear()

    async def hears_nothing(self) -> bool:
        """Whether everything that was sent has been heard."""
        with trio.move_on_after(HAIR_S):
            await self.hear()
            return False
        return True

    async def ended(self) -> Closed:
        """Read past everything to the end."""
        with suppress(ConnectionClosed):
            while True:
                await self.websocket.get_message()
        reason = self.websocket.closed
        assert reason is not None
        return Closed(reason.code, reason.reason or "")


@asynccontextmanager
async def wired(config: ServeConfig = ServeConfig()) -> AsyncIterator[Wired]:
    """A node that runs. A failure within comes out as it is, without the nurseries' groups around it."""
    try:
        with trio.fail_after(TEST_S):
            async with trio.open_nursery() as services, trio.open_nursery() as connections:
                node = Wired(connections, config)
                await services.start(node.bus.run, node.hub.deliver)
                services.start_soon(node.sweeper.run)
                services.start_soon(node.heartbeat.run)
                yield node
                connections.cancel_scope.cancel()
                services.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        raise only from None
    except trio.TooSlowError:
        pytest.fail(f"stuck: {TEST_S:g} virtual seconds have passed")


def direct_write(peer: Duplex) -> SendNow:
    """What a socket's non-blocking send is to `scalechat.server.outbox`, for a memory stream that is never full."""

    def send_now(data: bytes) -> int:
        try:
            peer.receive_stream.put_data(data)
        except trio.ClosedResourceError as closed:
            raise BrokenPipeError from closed
        return len(data)

    return send_now
