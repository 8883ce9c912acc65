"""Staying connected: connect, talk, lose the connection, wait, come back; the tasks of one client.

    keeper              one connection after another, until left or told that it is no use
    └ connection        library's reader · writer · heartbeat      ended with the connection

The decisions are elsewhere: what to say is `Conversation`'s, when to come back is `Backoff`'s.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from scalechat.client.conversation import Break, ComeBack, Conversation, Outcome, Reply, Surface
from scalechat.client.dial import Address, Connect, Ended, Link, open_link
from scalechat.client.errors import CannotConnect, ChatEnded, Rejected, Unreachable, WrongProtocol
from scalechat.client.events import Disconnected, Reconnected
from scalechat.client.pace import Pace
from scalechat.client.reconnect import Backoff
from scalechat.wire import closing
from scalechat.wire.codec import decode_server_text
from scalechat.wire.messages import BadMessage, Limits, Welcome

#: Requests under way; the next caller waits. Enough to hide a round trip of half a second at the server's usual rate
#: of 100 a second, and few enough to repeat after a reconnect.
MAX_PENDING = 64
#: TCP, TLS, handshake and welcome together: twice what the server gives a handshake.
CONNECT_DEADLINE_S = 10.0
#: Goodbye is a courtesy; the server frees the connection without it as well.
CLOSE_DEADLINE_S = 1.0
#: A server may announce any heartbeat; pinging more often than this tells nobody anything new.
_MIN_HEARTBEAT_S = 1.0

Deliver = Callable[[Surface | Reply], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Where to connect and as whom."""

    address: Address
    client_id: str | None
    token: str | None
    connect: Connect


class Keeper:
    """Keeps one client connected. `deliver` gets every outcome and may wait for its reader.

    `leave` ends `run` politely from another task; cancelling `run` ends it at once.
    """

    def __init__(self, caller: Caller, conversation: Conversation, backoff: Backoff, deliver: Deliver) -> None:
        self.client_id = caller.client_id
        self.limits = Limits(message_size_bytes=0, message_rate_per_s=0.0)
        self.over: ChatEnded | None = None
        self._caller = caller
        self._conversation = conversation
        self._backoff = backoff
        self._deliver = deliver
        self._delivering = False
        self._outgoing: trio.MemorySendChannel[tuple[str, bytes]] | None = None
        self._lost_at_s: float | None = None
        self._attempts = 0
        self._left = trio.Event()
        self._interruptible = trio.CancelScope()

    @property
    def is_connected(self) -> bool:
        """Whether a connection is up and welcomed."""
        return self._outgoing is not None

    async def submit(self, id: str, frame: bytes) -> None:
        """Give a pending request to the writer; without a connection the next one begins with it."""
        if self._outgoing is None:
            return
        try:
            await self._outgoing.send((id, frame))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # lost meanwhile: likewise

    def leave(self) -> None:
        """End `run`: say goodbye if connected, stop waiting or connecting if not."""
        self._left.set()
        self._interruptible.cancel()

    async def run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Stay connected until left (`over` stays None) or until coming back is no use (`over`).

        Raises `CannotConnect` when the first connection fails; reports started when it is welcomed.
        """
        first = True

        def welcomed() -> None:
            nonlocal first
            if first:
                first = False
                task_status.started()

        while True:
            result = await self._one_connection(welcomed)
            if self._left.is_set():
                return
            if first and isinstance(result, CannotConnect):
                raise result
            wait_s = self._wait_s(result)
            if wait_s is None:
                return
            with self._until_left():
                gone = Disconnected(reason=str(result), retry_in_s=wait_s, attempt=self._attempts)
                await self._deliver(Surface(gone))
                await trio.sleep(wait_s)
            if self._left.is_set():
                return
            self._attempts += 1

    def _wait_s(self, result: Ended | CannotConnect) -> float | None:
        now_s = trio.current_time()
        if self._lost_at_s is None:
            self._lost_at_s = now_s
        if isinstance(result, CannotConnect):
            if result.lasting:
                self.over = ChatEnded(str(result))
                return None
            return self._backoff.failed(now_s, result.retry_after_ms)
        wait_s = self._backoff.ended(now_s, result.code, result.reason)
        if wait_s is None:
            self.over = ChatEnded(f"the server ended the chat: {result}", code=result.code)
        return wait_s

    # ---- one connection --------------------------------------------------------------------

    async def _one_connection(self, welcomed: Callable[[], None]) -> Ended | CannotConnect:
        result: Ended | CannotConnect = Ended(closing.LOST.code)
        async with trio.open_nursery() as nursery:
            result = await self._talk(nursery, welcomed)
            nursery.cancel_scope.cancel()
        return result

    async def _talk(self, nursery: trio.Nursery, welcomed: Callable[[], None]) -> Ended | CannotConnect:
        link: Link | None = None
        welcome: Welcome | None = None
        ended = Ended(closing.NORMAL.code)
        try:
            with self._until_left(), trio.fail_after(CONNECT_DEADLINE_S):
                resource = self._caller.address.resource(self.client_id, self._caller.token)
                link = await open_link(nursery, self._caller.address, resource, self._caller.connect)
                welcome = await _welcome(link, self._caller.address)
            if link is None or welcome is None:  # left while connecting
                return ended
            with self._until_left():
                ended = await self._converse(nursery, link, welcome, welcomed)
            if self._left.is_set():
                await link.close(CLOSE_DEADLINE_S)
            return ended
        except trio.TooSlowError:
            return Unreachable(f"no answer from {self._caller.address} within {CONNECT_DEADLINE_S:g} s")
        except CannotConnect as exc:
            return exc
        finally:
            if link is not None:
                await link.abort()

    async def _converse(
        self,
        nursery: trio.Nursery,
        link: Link,
        welcome: Welcome,
        welcomed: Callable[[], None],
    ) -> Ended:
        now_s = trio.current_time()
        self.client_id = welcome.client_id
        self.limits = welcome.limits
        self._backoff.connected(now_s)
        outgoing, to_write = trio.open_memory_channel[tuple[str, bytes]](MAX_PENDING)
        # No checkpoint from here to `_outgoing`: each request is in `frames` or in the channel.
        frames, outcomes = self._conversation.connected()
        self._outgoing = outgoing
        pace = Pace(welcome.limits.message_rate_per_s, now_s)
        nursery.start_soon(self._write, link, pace, frames, to_write)
        nursery.start_soon(self._beat, link, max(_MIN_HEARTBEAT_S, welcome.heartbeat_ms / 1000))
        welcomed()
        try:
            if self._lost_at_s is not None:
                back = Reconnected(away_s=now_s - self._lost_at_s, attempts=self._attempts)
                self._lost_at_s, self._attempts = None, 0
                outcomes.insert(0, Surface(back))
            return await self._apply(outcomes) or await self._read(link)
        finally:
            self._outgoing = None
            outgoing.close()

    async def _read(self, link: Link) -> Ended:
        while True:
            got = await link.receive()
            if isinstance(got, Ended):
                return got
            try:
                said = decode_server_text(got)
            except BadMessage:
                continue  # a newer server's word; a lost message would show as a hole
            ended = await self._apply(self._conversation.received(said))
            if ended is not None:
                return ended

    async def _apply(self, outcomes: list[Outcome]) -> Ended | None:
        for outcome in outcomes:
            match outcome:
                case Surface() | Reply():
                    self._delivering = True
                    try:
                        await self._deliver(outcome)
                    finally:
                        self._delivering = False
                case ComeBack(after_ms):
                    self._backoff.told(trio.current_time(), after_ms)
                case Break(reason):
                    return Ended(closing.LOST.code, reason)
        return None

    async def _write(
        self,
        link: Link,
        pace: Pace,
        frames: list[bytes],
        requests: trio.MemoryReceiveChannel[tuple[str, bytes]],
    ) -> None:
        for frame in frames:
            await trio.sleep(pace.next_in_s(trio.current_time()))
            if not await link.send(frame):
                return await link.abort()
        async for id, frame in requests:
            if not self._conversation.is_pending(id):
                continue  # cancelled before it left: so it need not leave
            await trio.sleep(pace.next_in_s(trio.current_time()))
            if not await link.send(frame):
                return await link.abort()
        return None

    async def _beat(self, link: Link, period_s: float) -> None:
        while True:
            await trio.sleep(period_s)
            if self._delivering:
                continue  # Our own reader is behind, so a pong could not be read either.
            if not await link.is_alive(period_s):
                return await link.abort()

    def _until_left(self) -> trio.CancelScope:
        """Return a scope that `leave` cancels."""
        self._interruptible = trio.CancelScope()
        if self._left.is_set():
            self._interruptible.cancel()
        return self._interruptible


async def _welcome(link: Link, address: Address) -> Welcome:
    got = await link.receive()
    if isinstance(got, Ended):
        raise Rejected(
            f"the server at {address} closed the connection: {got}",
            lasting=not closing.should_reconnect(got.code),
            retry_after_ms=closing.retry_after_ms(got.reason),
        )
    try:
        said = decode_server_text(got)
    except BadMessage:
        said = None
    if not isinstance(said, Welcome):
        raise WrongProtocol(f"the server at {address} did not begin with a welcome")
    return said
