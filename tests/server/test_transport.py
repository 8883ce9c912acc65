from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MemoryReceiveStream, MockClock, memory_stream_pair, wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.connection import ConnectionType

from scalechat.server.metrics import Counters
from scalechat.server.outbox import Backlog, Outbox, QueueLimits
from scalechat.server.transport import MAX_FRAGMENTS, MAX_PASSED_FRAMES_PER_S, FrameFlood, Transport
from scalechat.wire.frames import close_frame, masked_text_frame, pong_frame, text_frame
from tests.rough import request
from tests.server.small_socket import SmallSocket
from tests.server.wired import direct_write
from tests.wire import strategies
from tests.wire.reference import understood
from tests.wire.strategies import CLOSE, CONTINUATION, PING, PONG, TEXT, Frame

MAX_MESSAGE = 1000
MASK = b"\x0a\x0b\xf0\xff"
PINGED = Frame(PING, b"?").encode()
FRAGMENT = Frame(TEXT, b"be", fin=False).encode()


def _text(text: str) -> bytes:
    return masked_text_frame(text.encode(), MASK)


class Wire:
    """A transport between a peer whose bytes the test writes, and a socket whose bytes the test looks at."""

    def __init__(self, nursery: trio.Nursery, *, early: bytes = b"", room_bytes: int = 10**8) -> None:
        self.nursery = nursery
        self.received: list[list[bytes]] = []
        self.counters = Counters()
        self.socket = SmallSocket(room_bytes)
        self.peer = MemoryReceiveStream()
        self.outbox = Outbox(
            self.socket,
            spawn=nursery.start_soon,
            limits=QueueLimits(frames=3, bytes=1000),
            backlog=Backlog(),
            send_now=self.socket.send_now,
        )
        self.transport = Transport(
            trio.StapledStream(self.socket, self.peer),
            early=early,
            outbox=self.outbox,
            counters=self.counters,
            max_message_bytes=MAX_MESSAGE,
            on_texts=self._on_texts,
        )

    def _on_texts(self, payloads: list[bytes], now_s: float) -> None:
        self.received.append(payloads)

    @property
    def texts(self) -> list[bytes]:
        return [payload for payloads in self.received for payload in payloads]

    async def says(self, *parts: bytes) -> bytes:
        """Let the peer write, and return what is the library's business of it."""
        self.peer.put_data(b"".join(parts))
        return await self.transport.receive_unusual()


@asynccontextmanager
async def wire(*, early: bytes = b"", room_bytes: int = 10**8) -> AsyncIterator[Wire]:
    async with trio.open_nursery() as nursery:
        yield Wire(nursery, early=early, room_bytes=room_bytes)
        nursery.cancel_scope.cancel()


# --- our lane -------------------------------------------------------------------------------------------------------


async def test_whole_messages_are_taken_a_read_at_a_time() -> None:
    """In order, and only what follows them is returned."""
    async with wire() as line:
        assert await line.says(_text("one"), _text("two"), FRAGMENT) == FRAGMENT
        assert line.received == [[b"one", b"two"]]


async def test_what_came_with_the_handshake_is_taken_first() -> None:
    """A client may speak before it has the answer."""
    async with wire(early=_text("early") + _text("la")[:4]) as line:
        assert await line.says(_text("la")[4:], FRAGMENT) == FRAGMENT
        assert line.texts == [b"early", b"la"]


async def test_early_bytes_may_be_the_librarys_business_as_well() -> None:
    """Nothing is read before they are dealt with."""
    async with wire(early=_text("early") + FRAGMENT) as line:
        assert await line.transport.receive_unusual() == FRAGMENT
        assert line.texts == [b"early"]


async def test_the_end_of_the_stream_is_the_end() -> None:
    """And is remembered: nobody needs to wait for it again."""
    async with wire() as line:
        line.peer.put_eof()
        before = line.transport.ended
        assert await line.transport.receive_unusual() == b""
        assert (before, line.transport.ended) == (False, True)


async def test_a_reset_is_not_swallowed() -> None:
    """What the stream raises reaches the connection."""
    async with wire() as line:
        line.peer.close()
        with pytest.raises(trio.ClosedResourceError):
            await line.transport.receive_unusual()


async def test_what_is_received_is_counted_and_dated(autojump_clock: MockClock) -> None:
    """Any byte is a sign of life."""
    async with wire() as line:
        await trio.sleep(7)
        data = _text("hi") + FRAGMENT
        await line.says(data)
        assert line.counters.bytes_in == len(data)
        assert line.transport.last_received_s == trio.current_time()


# --- control frames -------------------------------------------------------------------------------------------------


async def test_a_ping_is_answered_and_a_pong_is_noted_without_the_library() -> None:
    """The lane goes on behind them."""
    async with wire() as line:
        assert await line.says(PINGED, Frame(PONG, b"!").encode(), _text("hi"), FRAGMENT) == FRAGMENT
        assert line.socket.on_wire == pong_frame(b"?")
        assert line.texts == [b"hi"]


async def test_answers_and_messages_share_one_order() -> None:
    """A Pong goes behind what is queued, never into the middle of it."""
    async with wire(room_bytes=2) as line:
        line.outbox.offer(text_frame(b"hello"))
        await line.says(PINGED, FRAGMENT)
        line.outbox.offer(text_frame(b"again"))
        line.socket.read()
        await wait_all_tasks_blocked()
        seen = understood([line.socket.on_wire], ConnectionType.CLIENT)
        assert (seen.texts, seen.controls) == (["hello", "again"], [("pong", b"?")])
        assert line.socket.on_wire == text_frame(b"hello") + pong_frame(b"?") + text_frame(b"again")


async def test_a_client_over_its_limits_is_owed_no_pong() -> None:
    """What it may have is bounded; its pings do not raise."""
    async with wire(room_bytes=0) as line:
        await line.says(PINGED * 10, FRAGMENT)
        assert line.outbox.frames == 3


# --- floods ---------------------------------------------------------------------------------------------------------


async def _flooded(line: Wire, *parts: bytes) -> bool:
    line.peer.put_data(b"".join(parts))
    line.peer.put_eof()
    try:
        while await line.transport.receive_unusual():
            pass
    except FrameFlood:
        return True
    return False


@pytest.mark.parametrize("frame", [PINGED, Frame(PONG, b"").encode()], ids=["ping", "pong"])
@pytest.mark.parametrize("more, flooded", [(0, False), (1, True)])
async def test_so_many_control_frames_a_second_and_no_more(
    autojump_clock: MockClock, frame: bytes, more: int, flooded: bool
) -> None:
    """In one segment or in many."""
    async with wire() as line:
        assert await _flooded(line, frame * (MAX_PASSED_FRAMES_PER_S + more)) is flooded


async def test_each_second_has_its_own_allowance(autojump_clock: MockClock) -> None:
    """Whoever stays within it goes on for ever, and messages do not count."""
    async with wire() as line:
        line.nursery.start_soon(line.transport.receive_unusual)
        for _ in range(5):
            line.peer.put_data(PINGED * MAX_PASSED_FRAMES_PER_S + _text("hi") * 2000)
            await trio.sleep(1)
        assert len(line.texts) == 10_000


@pytest.mark.parametrize("more, flooded", [(0, False), (1, True)])
async def test_a_message_in_too_many_fragments_is_a_flood_however_slow(
    autojump_clock: MockClock, more: int, flooded: bool
) -> None:
    """The library keeps a list of them, which empty ones would grow for ever."""
    async with wire() as line:
        empty = Frame(CONTINUATION, b"", fin=False).encode()
        await line.says(FRAGMENT)
        for _ in range(9):
            await trio.sleep(1)
            await line.says(empty * (MAX_FRAGMENTS // 10))
        await trio.sleep(1)
        rest = MAX_FRAGMENTS - 1 - 9 * (MAX_FRAGMENTS // 10)
        assert await _flooded(line, empty * (rest + more)) is flooded


# --- the library's stream -------------------------------------------------------------------------------------------


async def test_the_library_reads_the_handshake_and_then_what_it_was_called_for() -> None:
    """It learns of the connection when the first unusual byte comes, and sees all that follows."""
    async with wire() as line:
        transport = line.transport
        unusual = await line.says(_text("before"), FRAGMENT)
        transport.replay(b"GET /ws", unusual, on_close=lambda: None)
        assert await transport.receive_some() == b"GET /ws"
        read: list[bytes] = []

        async def read_on() -> None:
            read.append(await transport.receive_some(1))

        line.nursery.start_soon(read_on)
        await wait_all_tasks_blocked()
        before = list(read)
        transport.open_library()
        await wait_all_tasks_blocked()
        assert (before, read) == ([], [FRAGMENT])  # Not before it has answered.
        line.peer.put_data(_text("after"))
        assert await transport.receive_some() == _text("after")
        assert line.texts == [b"before"]


async def test_the_librarys_own_answer_to_the_handshake_goes_nowhere() -> None:
    """The peer has had ours long ago."""
    async with wire() as line:
        line.transport.replay(b"GET /ws", FRAGMENT, on_close=lambda: None)
        await line.transport.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        assert line.socket.on_wire == b""
        line.transport.open_library()
        await line.transport.send_all(pong_frame(b"?"))
        assert line.socket.on_wire == pong_frame(b"?")


async def test_what_the_library_writes_goes_behind_what_is_queued() -> None:
    """Both lanes share one write order, and its Close frame is noted."""
    async with wire(room_bytes=2) as line:
        line.transport.replay(b"GET /ws", FRAGMENT, on_close=lambda: None)
        line.transport.open_library()
        line.outbox.offer(text_frame(b"hello"))
        before = line.transport.close_sent
        await line.transport.send_all(bytearray(close_frame(1000, "")))
        assert (before, line.transport.close_sent) == (False, True)
        line.socket.read()
        await wait_all_tasks_blocked()
        assert line.socket.on_wire == text_frame(b"hello") + close_frame(1000, "")


@pytest.mark.parametrize("spoil", [Outbox.close, lambda outbox: [outbox.offer(b"x") for _ in range(4)]])
async def test_the_library_is_told_when_nothing_can_be_written(spoil: Callable[[Outbox], object]) -> None:
    """Full or closed: it ends by itself."""
    async with wire(room_bytes=0) as line:
        line.transport.replay(b"GET /ws", FRAGMENT, on_close=lambda: None)
        line.transport.open_library()
        spoil(line.outbox)
        with pytest.raises(trio.BrokenResourceError):
            await line.transport.send_all(b"frame")


async def test_the_library_may_not_close_the_stream() -> None:
    """It drops connections without a Close frame; the connection is told instead, and closes properly."""
    async with wire() as line:
        closed: list[bool] = []
        line.transport.replay(b"GET /ws", FRAGMENT, on_close=lambda: closed.append(True))
        await line.transport.aclose()
        assert closed == [True]
        assert line.outbox.offer(b"still open").name == "SENT"


# --- two lanes, one authority ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Heard:
    messages: list[str | bytes] = field(default_factory=list)
    noted: int | None = None
    """With which code trio-websocket says that the connection ended; None when its reader raised."""
    said: int | None = None
    """The code of the Close frame that the peer is sent, if any."""


async def _read(ws: WebSocketConnection, heard: Heard) -> None:
    while True:
        try:
            heard.messages.append(await ws.get_message())
        except ConnectionClosed as closed:
            heard.noted = None if closed.reason is None else closed.reason.code
            return


async def _fenced(serve: Callable[[trio.Nursery], Awaitable[None]]) -> None:
    try:
        async with trio.open_nursery() as nursery:
            await serve(nursery)
            nursery.cancel_scope.cancel()
    except* Exception:  # noqa: BLE001 (the library's reader raises at some violations, alone or behind our lane)
        pass


async def _library_alone(chunks: list[bytes]) -> Heard:
    heard = Heard()
    ours, theirs = memory_stream_pair()

    async def serve(nursery: trio.Nursery) -> None:
        nursery.start_soon(_write, ours, [request(), *chunks])
        ws = await (await wrap_server_stream(nursery, theirs, max_message_size=MAX_MESSAGE)).accept()
        await _read(ws, heard)

    await _fenced(serve)
    heard.said = await _close_code(ours, theirs, b"\r\n\r\n")
    return heard


async def _both_lanes(chunks: list[bytes]) -> Heard:
    heard = Heard()
    ours, theirs = memory_stream_pair()

    def take(payloads: list[bytes], now_s: float) -> None:
        heard.messages += [payload.decode() for payload in payloads]

    async def serve(nursery: trio.Nursery) -> None:
        outbox = Outbox(
            theirs,
            spawn=nursery.start_soon,
            limits=QueueLimits(frames=1000, bytes=10**6),
            backlog=Backlog(),
            send_now=direct_write(ours),
        )
        transport = Transport(
            theirs,
            early=b"",
            outbox=outbox,
            counters=Counters(),
            max_message_bytes=MAX_MESSAGE,
            on_texts=take,
        )
        nursery.start_soon(_write, ours, chunks)
        unusual = await transport.receive_unusual()
        if not unusual:
            heard.noted = 1006
            return
        transport.replay(request(), unusual, on_close=lambda: None)
        ws = await (await wrap_server_stream(nursery, transport, max_message_size=MAX_MESSAGE)).accept()
        transport.open_library()
        await _read(ws, heard)

    await _fenced(serve)
    heard.said = await _close_code(ours, theirs)
    return heard


async def _close_code(ours: trio.abc.Stream, theirs: trio.abc.Stream, head_end: bytes = b"") -> int | None:
    await theirs.aclose()
    data = b""
    while more := await ours.receive_some():
        data += more
    return understood([data[data.find(head_end) + len(head_end) :]], ConnectionType.CLIENT).close_code


async def _write(stream: trio.abc.HalfCloseableStream, chunks: list[bytes]) -> None:
    for chunk in chunks:
        await stream.send_all(chunk)
        await wait_all_tasks_blocked()
    await stream.send_eof()


LARGE = st.builds(Frame, st.just(TEXT), st.integers(MAX_MESSAGE - 2, MAX_MESSAGE + 2).map(lambda n: b"x" * n))
WITH_LARGE = st.tuples(strategies.frame_streams, st.lists(LARGE, max_size=1), strategies.frame_streams).map(
    lambda parts: [frame for part in parts for frame in part]
)


@settings(max_examples=200)
@given(strategies.received())
def test_two_lanes_hear_what_the_library_alone_hears(stream: tuple[bytes, list[bytes]]) -> None:
    """The same messages in the same order and the same close codes, for frames of every kind, cut anywhere."""
    _, chunks = stream
    assert trio.run(_both_lanes, chunks) == trio.run(_library_alone, chunks)


@settings(max_examples=100)
@given(strategies.received(WITH_LARGE))
def test_two_lanes_agree_about_what_is_too_large(stream: tuple[bytes, list[bytes]]) -> None:
    """To the byte. (What the library notes for itself depends on when it is asked, if the peer closes as well.)"""
    _, chunks = stream
    alone, both = trio.run(_library_alone, chunks), trio.run(_both_lanes, chunks)
    assert (both.messages, both.said) == (alone.messages, alone.said)


@pytest.mark.parametrize("serve", [_both_lanes, _library_alone])
def test_a_close_is_heard_and_answered(serve: Callable[[list[bytes]], Awaitable[Heard]]) -> None:
    """The comparisons above do compare something."""
    assert trio.run(serve, [_text("hi"), Frame(CLOSE, b"\x03\xe9bye").encode()]) == Heard(["hi"], 1001, 1001)
    assert trio.run(serve, [_text("x" * (MAX_MESSAGE + 1))]).said == 1009
