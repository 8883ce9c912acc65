"""The pump over real sockets: what is read reaches its connection and nobody else, in order, in turns."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from scalechat.server.conversation import Finish
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Backlog, Outbox, QueueLimits
from scalechat.server.pump import RECEIVE_BYTES, Pump, Reading, open_pump
from scalechat.server.stream import TcpStream
from scalechat.server.transport import FrameFlood, Transport
from scalechat.wire.frames import masked_text_frame
from tests.wire import strategies
from tests.wire.strategies import PING, TEXT, Frame

pytestmark = pytest.mark.skipif(open_pump() is None, reason="epoll is Linux's")
MASK = b"\x0a\x0b\xf0\xff"
FRAGMENT = Frame(TEXT, b"be", fin=False).encode()


def _text(text: str) -> bytes:
    return masked_text_frame(text.encode(), MASK)


class Eater:
    """Keeps what it is fed."""

    def __init__(self) -> None:
        self.hungry = True
        self.fed: list[bytes] = []
        self.errors: list[Exception] = []
        self.on_feed: Callable[[], None] = lambda: None

    def feed(self, data: bytes, now_s: float) -> None:
        self.fed.append(data)
        if not data:
            self.hungry = False
        self.on_feed()

    def fail(self, error: Exception) -> None:
        self.hungry = False
        self.errors.append(error)


class Pair:
    """A socket that the pump reads, and its peer."""

    def __init__(self, pump: Pump) -> None:
        self.ours, self.peer = socket.socketpair()
        self.ours.setblocking(False)
        self.peer.setblocking(False)
        self.eater = Eater()
        self.reading: Reading = pump.read(self.ours, self.eater)

    def close(self) -> None:
        self.reading.stop()
        self.ours.close()
        self.peer.close()


@asynccontextmanager
async def pumping() -> AsyncIterator[Pump]:
    pump = Pump()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        yield pump
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def pairs(count: int) -> AsyncIterator[list[Pair]]:
    async with pumping() as pump:
        made = [Pair(pump) for _ in range(count)]
        yield made
        for pair in made:
            pair.close()


async def passes(count: int = 20) -> None:
    """Let everybody run so often: more than enough for what is in the kernel already to be read."""
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def test_each_connection_is_given_its_own_bytes_and_its_own_end() -> None:
    """However many there are."""
    async with pairs(5) as made:
        for number, pair in enumerate(made):
            pair.peer.send(b"%d" % number)
        await passes()
        made[0].peer.shutdown(socket.SHUT_WR)
        await passes()
        assert [pair.eater.fed for pair in made] == [[b"0", b""], [b"1"], [b"2"], [b"3"], [b"4"]]


async def test_one_that_is_not_hungry_is_not_read_and_slows_its_peer_down() -> None:
    """What it is sent stays in the kernel until it is hungry again, and then comes in order; others are read on."""
    async with pairs(2) as (busy, other):
        busy.eater.hungry = False
        sent = 0
        with suppress(BlockingIOError):
            while True:
                sent += busy.peer.send(bytes(RECEIVE_BYTES))
        other.peer.send(b"x")
        await passes()
        assert (busy.eater.fed, other.eater.fed) == ([], [b"x"])
        busy.eater.hungry = True
        busy.reading.resume()
        await passes(1000)
        assert sum(map(len, busy.eater.fed)) == sent


async def test_one_that_is_not_hungry_does_not_keep_the_pump_awake() -> None:
    """A connection that waits for something costs nothing meanwhile, even when its peer has ended."""
    async with pairs(1) as (pair,):
        pair.eater.hungry = False
        pair.peer.close()
        await wait_all_tasks_blocked(0.01)
        assert not pair.reading.registered


async def test_an_error_ends_the_connection_it_belongs_to() -> None:
    """A reset and a fault of whoever is fed are told to that one; all others are read on."""
    async with pairs(3) as (faulty, reset, other):

        def fault() -> None:
            raise ZeroDivisionError

        faulty.eater.on_feed = fault
        faulty.peer.send(b"x")
        reset.ours.send(b"unread")
        reset.peer.close()  # With unread bytes: the other side is reset.
        await passes()
        other.peer.send(b"x")
        await passes()
        assert [type(error) for error in faulty.eater.errors] == [ZeroDivisionError]
        assert [type(error) for error in reset.eater.errors] == [trio.BrokenResourceError]
        assert isinstance(reset.eater.errors[0].__cause__, ConnectionResetError)
        assert (other.eater.fed, other.eater.errors) == ([b"x"], [])


async def test_one_who_sends_without_end_does_not_keep_others_from_being_read_or_from_running() -> None:
    """A socket is read once a round, and no more than so much at once."""
    async with pairs(3) as (firehose, *others):
        turns = 0

        def refill() -> None:
            with suppress(BlockingIOError):
                while True:
                    firehose.peer.send(bytes(4 * RECEIVE_BYTES))

        refill()
        firehose.eater.on_feed = refill
        while len(firehose.eater.fed) < 50:
            await trio.lowlevel.checkpoint()
            turns += 1
            for other in others:
                other.peer.send(b"x")
        assert turns > 10
        for other in others:
            assert len(b"".join(other.eater.fed)) >= turns - 3
        assert max(map(len, firehose.eater.fed)) == RECEIVE_BYTES


async def test_stopped_within_a_round_it_is_not_read_any_more() -> None:
    """Not even when its number is another socket's by then."""
    async with pumping() as pump:
        first, second = Pair(pump), Pair(pump)
        late: list[Pair] = []

        def replace(stopped: Pair) -> None:
            if late:
                return
            number = stopped.ours.fileno()
            stopped.close()
            late.append(Pair(pump))
            assert number in (late[0].ours.fileno(), late[0].peer.fileno())

        first.eater.on_feed = lambda: replace(second)
        second.eater.on_feed = lambda: replace(first)
        first.peer.send(b"x")
        second.peer.send(b"x")
        await passes()
        assert len(first.eater.fed) + len(second.eater.fed) == 1
        assert late[0].eater.fed == []
        late[0].peer.send(b"y")
        await passes()
        assert late[0].eater.fed == [b"y"]
        for pair in (late[0], first if second.ours.fileno() == -1 else second):
            pair.close()


# --- under a transport ----------------------------------------------------------------------------------------------


class Line:
    """A transport whose socket the pump reads; every message that is "wait" has to be waited for."""

    def __init__(self, pump: Pump, nursery: trio.Nursery) -> None:
        self.pump = pump
        self.nursery = nursery
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.stream = TcpStream(ours)
        self.texts: list[bytes] = []
        self.go_on = trio.Event()
        self.transport = Transport(
            self.stream,
            early=b"",
            outbox=Outbox(
                self.stream,
                spawn=nursery.start_soon,
                limits=QueueLimits(frames=10, bytes=10_000),
                backlog=Backlog(),
                send_now=self.stream.send_now,
            ),
            counters=Counters(),
            max_message_bytes=1000,
            on_texts=self._on_texts,
            read_by=lambda fed: pump.read(ours, fed),
        )

    def _on_texts(self, payloads: list[bytes], now_s: float) -> Finish | None:
        for at, payload in enumerate(payloads):
            if payload == b"wait":
                return partial(self._finish, payloads[at:])
            self.texts.append(payload)
        return None

    async def _finish(self, payloads: list[bytes]) -> None:
        await self.go_on.wait()
        self.texts += payloads

    def close(self) -> None:
        self.transport.stop_reading()
        self.stream.close()
        self.peer.close()


@asynccontextmanager
async def line(beside: Pump | None = None) -> AsyncIterator[Line]:
    """With a pump of its own, or one that reads another already."""
    async with nullcontext(beside) if beside else pumping() as pump, trio.open_nursery() as nursery:
        made = Line(pump, nursery)
        yield made
        nursery.cancel_scope.cancel()
        made.close()


WHOLE = st.sampled_from([b"one", b"two", b"wait", b"x" * 300]).map(lambda text: Frame(TEXT, text))


def _cut(frames: list[Frame]) -> st.SearchStrategy[tuple[list[bytes], list[bytes]]]:
    data = b"".join(frame.encode() for frame in frames)
    return st.tuples(st.just([frame.payload for frame in frames]), strategies.cuts_of(data))


@settings(deadline=None, max_examples=50)
@given(st.lists(WHOLE, min_size=1, max_size=8).flatmap(_cut), st.booleans())
def test_bytes_cut_anywhere_are_the_same_messages(sent: tuple[list[bytes], list[bytes]], unusual: bool) -> None:
    """In order, those that have to be waited for among them; and what follows the last goes to the library."""
    texts, chunks = sent

    async def scenario() -> None:
        async with line() as made:
            made.nursery.start_soon(_write, made.peer, [*chunks, FRAGMENT] if unusual else chunks)
            made.go_on.set()
            assert await made.transport.receive_unusual() == (FRAGMENT if unusual else b"")
            assert made.texts == texts

    trio.run(scenario)


async def _write(peer: socket.socket, chunks: list[bytes]) -> None:
    for chunk in chunks:
        peer.send(chunk)
        await passes(3)
    peer.shutdown(socket.SHUT_WR)


async def test_what_comes_behind_a_message_that_has_to_be_waited_for_waits_as_well() -> None:
    """Nothing overtakes it, and nothing more is read: the peer is slowed down as if nobody read."""
    async with line() as made:
        made.nursery.start_soon(made.transport.receive_unusual)
        made.peer.send(_text("one") + _text("wait") + _text("two"))
        await passes()
        made.peer.setblocking(False)
        later = 0
        with suppress(BlockingIOError):
            while made.peer.send(_text("later")):
                later += 1
        await passes()
        assert (made.texts, made.transport.hungry) == ([b"one"], False)
        made.go_on.set()
        while len(made.texts) < 3 + later:
            await trio.lowlevel.checkpoint()
        assert made.texts == [b"one", b"wait", b"two"] + [b"later"] * later


async def test_a_flood_is_the_end_of_the_connection_and_not_of_the_pump() -> None:
    """It is raised where the connection waits, within its fence."""
    async with line() as flooded, line(flooded.pump) as other:
        other.nursery.start_soon(other.transport.receive_unusual)
        flooded.nursery.start_soon(_write, flooded.peer, [Frame(PING, b"").encode() * 200] * 10)
        with pytest.raises(FrameFlood):
            await flooded.transport.receive_unusual()
        other.peer.send(_text("still here"))
        await passes()
        assert other.texts == [b"still here"]


async def test_a_reset_is_the_end_of_the_connection() -> None:
    """Told as any stream of Trio's tells it."""
    async with line() as made:
        made.stream.send_now(b"unread")
        made.peer.close()
        with pytest.raises(trio.BrokenResourceError):
            await made.transport.receive_unusual()


@pytest.mark.parametrize("said", [b"", b"one", b"wait", b"begun"], ids=["idle", "spoke", "waited for", "in a frame"])
async def test_cancelled_it_gives_its_socket_back(said: bytes) -> None:
    """While it waits for bytes, for a message, or within a frame: the pump reads no more, and the stream can be read
    again."""
    async with line() as made:
        with trio.CancelScope() as scope:
            made.nursery.start_soon(_cancel_after, 10, scope)
            made.peer.send(_text(said.decode())[: 3 if said == b"begun" else None] if said else b"")
            await made.transport.receive_unusual()
        assert scope.cancelled_caught
        made.transport.stop_reading()
        made.peer.send(b"after")
        await passes()
        assert not made.transport.hungry
        assert await made.stream.receive_some() == b"after"


async def _cancel_after(count: int, scope: trio.CancelScope) -> None:
    await passes(count)
    scope.cancel()


async def test_bytes_that_arrive_while_it_is_being_cancelled_are_left_alone() -> None:
    """Cancelled in the very pass in which the pump reads: neither is woken twice."""
    for count in range(8):
        async with line() as made:
            with trio.CancelScope() as scope:
                made.nursery.start_soon(_cancel_after, count, scope)
                made.peer.send(_text("one") + _text("wait"))
                await made.transport.receive_unusual()
            assert made.texts in ([], [b"one"])
