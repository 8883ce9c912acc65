"""Staying connected, against a scripted server in virtual time; what is said meanwhile is `test_chat`'s."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from scalechat.client.conversation import Conversation, Reply, Surface
from scalechat.client.dial import parse_address
from scalechat.client.errors import Unreachable, WrongProtocol
from scalechat.client.events import Disconnected, Event, Joined, Reconnected
from scalechat.client.keeper import CONNECT_DEADLINE_S, MAX_PENDING, Caller, Keeper
from scalechat.client.reconnect import Backoff
from scalechat.wire.messages import Join, Publish, Reconnect

from .peer import MemoryServer, Peer


class Kept:
    """A keeper, and whoever reads what it delivers."""

    def __init__(self, server: MemoryServer) -> None:
        self.conversation = Conversation("me")
        caller = Caller(parse_address("ws://chat.test/ws"), "alice", None, server.connect)
        self.keeper = Keeper(caller, self.conversation, Backoff(Random(3)), self._deliver)
        self.events: list[Event] = []
        self.replies: list[Reply] = []
        self.reading = trio.Event()
        self.reading.set()
        self._delivered = trio.Event()

    async def _deliver(self, outcome: Surface | Reply) -> None:
        if isinstance(outcome, Surface):
            self.events.append(outcome.event)
        else:
            self.replies.append(outcome)
        self._delivered.set()
        self._delivered = trio.Event()
        await self.reading.wait()

    async def seen(self, kind: type[Event], count: int = 1) -> None:
        with trio.fail_after(1000):
            while sum(isinstance(event, kind) for event in self.events) < count:
                await self._delivered.wait()

    async def say(self, text: str) -> None:
        await self.keeper.submit(*self.conversation.begin(lambda id: Publish(text, "global", None, id)))


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@asynccontextmanager
async def kept(
    server: MemoryServer, script: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
) -> AsyncIterator[Kept]:
    """Connected and welcomed; left at the end of the body. `script`: what the server does meanwhile, to its end."""
    kept = Kept(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        await nursery.start(kept.keeper.run)
        yield kept
        kept.keeper.leave()


async def stay(peer: Peer) -> None:
    await peer.welcome()
    await peer.closed()


async def test_comes_back_when_the_close_reason_says(server: MemoryServer, autojump_clock: MockClock) -> None:
    """ "; retry after N ms" is obeyed to the millisecond."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            await peer.close(4008, "too slow; retry after 4321 ms")
        async with server.accept() as peer:
            await stay(peer)

    async with kept(server, script) as one:
        await one.seen(Reconnected)
    assert one.events[0] == Disconnected(reason="too slow; retry after 4321 ms", retry_in_s=4.321, attempt=0)
    assert isinstance(one.events[1], Reconnected)
    assert one.events[1].away_s == pytest.approx(4.321)
    assert one.events[1].attempts == 1
    first_s, second_s = server.attempts_at_s
    assert second_s - first_s == pytest.approx(4.321)


async def test_comes_back_when_the_reconnect_notice_says(server: MemoryServer, autojump_clock: MockClock) -> None:
    """The notice counts from when it was said, whenever the close follows."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            await peer.say(Reconnect(after_ms=3_000, reason="draining"))
            await trio.sleep(1)
            await peer.close(4012, "draining")
        async with server.accept() as peer:
            await stay(peer)

    async with kept(server, script) as one:
        await one.seen(Reconnected)
    first_s, second_s = server.attempts_at_s
    assert second_s - first_s == pytest.approx(3.0)


async def test_attempts_go_on_while_the_server_is_away(server: MemoryServer, autojump_clock: MockClock) -> None:
    """Each failed attempt is an event with its number, and the waits stay below the cap."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            server.unreachable = True
            await peer.drop()

    async with kept(server, script) as one:
        await one.seen(Disconnected, 20)
    gone = [event for event in one.events if isinstance(event, Disconnected)]
    assert [event.attempt for event in gone] == list(range(20))
    assert all(0 <= event.retry_in_s <= 30 for event in gone)
    assert all(event.retry_in_s <= 0.5 * 2**attempt for attempt, event in enumerate(gone))


async def test_a_server_that_hangs_up_while_we_come_back_is_tried_again(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """A restart looks like no WebSocket server for a moment; it worked before, so it will again."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            await peer.drop()
        await trio.aclose_forcefully(await server.next_stream())
        async with server.accept() as peer:
            await stay(peer)

    async with kept(server, script) as one:
        await one.seen(Reconnected)
    assert [type(event) for event in one.events] == [Disconnected, Disconnected, Reconnected]


async def test_a_silent_peer_is_dropped_after_two_heartbeats(server: MemoryServer, autojump_clock: MockClock) -> None:
    """A wire that swallows everything is noticed by the missing pong."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome(heartbeat_ms=2_000)
            # Two requests that nobody reads stop the library's reader and with it the pongs.
            await trio.sleep(6)
        async with server.accept() as peer:
            await stay(peer)

    async with kept(server, script) as one:
        for _ in range(3):
            await one.say("into the void")
        started_s = trio.current_time()
        await one.seen(Disconnected)
        assert trio.current_time() - started_s <= 4.0
        await one.seen(Reconnected)


async def test_while_our_own_reader_is_behind_no_heartbeat_judges_the_server(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """A pong could not be read either; the connection is there when reading goes on."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome(heartbeat_ms=1_000)
            await peer.admit(await peer.asked_to_join())
            await peer.closed()

    async with kept(server, script) as one:
        one.reading = trio.Event()
        await one.keeper.submit(*one.conversation.begin(lambda id: Join("global", None, 0, False, id)))
        await one.seen(Joined)
        await trio.sleep(60)
        assert one.keeper.is_connected
        one.reading.set()
        await trio.sleep(60)
        assert [type(event) for event in one.events] == [Joined]
    assert len(server.attempts_at_s) == 1


async def test_a_close_that_says_for_good_ends_the_keeping(server: MemoryServer, autojump_clock: MockClock) -> None:
    """No attempt follows, and `over` says why."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            await peer.close(4005, "closed by an operator")

    keeper = Kept(server).keeper
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        await nursery.start(keeper.run)
    assert keeper.over is not None
    assert (str(keeper.over).endswith("closed by an operator"), keeper.over.code) == (True, 4005)
    assert len(server.attempts_at_s) == 1


async def test_leaving_does_not_wait_for_the_next_attempt(server: MemoryServer, autojump_clock: MockClock) -> None:
    """Nor for one that is under way: nobody says goodbye to a server that has not let it in."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            await peer.close(4008, "too slow; retry after 5000 ms")
        await server.next_stream()

    for left_after_s in (1, 6):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script)
            async with kept(server) as one:
                await trio.sleep(left_after_s)
                left_at_s = trio.current_time()
            assert trio.current_time() == left_at_s
            assert one.keeper.over is None
            nursery.cancel_scope.cancel()


async def test_a_server_that_never_welcomes_is_unreachable_when_first_called(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """TCP, handshake and welcome have one deadline together."""

    async def script() -> None:
        async with server.accept():
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        with pytest.raises(Unreachable, match=r"no answer from .* within 10 s"):
            await Kept(server).keeper.run()
        assert trio.current_time() == pytest.approx(CONNECT_DEADLINE_S)
        nursery.cancel_scope.cancel()


async def test_a_server_that_begins_otherwise_is_of_another_kind(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """The subprotocol was agreed, and yet the first word is no welcome."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.say_text('{"hello":"there"}')
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        with pytest.raises(WrongProtocol, match="welcome"):
            await Kept(server).keeper.run()


async def test_a_burst_of_requests_goes_out_at_the_rate_that_the_server_takes(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """More would be refused. All of them come, in order."""
    heard: list[str] = []
    took_s = 0.0

    async def script() -> None:
        nonlocal took_s
        async with server.accept() as peer:
            await peer.welcome()
            began_s = trio.current_time()
            while len(heard) < 10 * MAX_PENDING:
                heard.append((await peer.asked_to_publish()).text)
            took_s = trio.current_time() - began_s
            await peer.closed()

    async with kept(server, script) as one:
        for number in range(10 * MAX_PENDING):
            await one.say(str(number))
        await trio.sleep(10)
    assert heard == [str(number) for number in range(10 * MAX_PENDING)]
    rate_per_s = one.keeper.limits.message_rate_per_s
    assert took_s == pytest.approx((10 * MAX_PENDING - rate_per_s) / rate_per_s), "a second's worth at once"
