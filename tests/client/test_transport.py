"""The client's stream: whole text frames take their own lane, and trio-websocket never notices."""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
import trio_websocket
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked
from wsproto.frame_protocol import FrameProtocol, Opcode

from scalechat.client.outgoing import MAX_UNSENT_BYTES
from scalechat.client.shared_reader import SharedReader
from scalechat.client.transport import LaneStream
from scalechat.wire.frames import close_frame, masked_text_frame, ping_frame, text_frame

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """One frame of a server, made by another implementation."""
    return bytes(FrameProtocol(client=False, extensions=[])._serialize_frame(opcode, payload, fin))


@dataclass
class Bench:
    """A stream whose far end is the test."""

    stream: LaneStream[list[bytes]]
    reader: SharedReader[list[bytes]]
    far: trio.abc.Stream
    batches: list[list[bytes]] = field(default_factory=list)
    ends: int = 0

    @property
    def texts(self) -> list[bytes]:
        return [text for batch in self.batches for text in batch]

    def on_end(self) -> None:
        self.ends += 1


@asynccontextmanager
async def bench(
    near: trio.abc.Stream, far: trio.abc.Stream, *, fed: bool = False, sock: socket.socket | None = None
) -> AsyncIterator[Bench]:
    reader: SharedReader[list[bytes]] = SharedReader(list)
    async with trio.open_nursery() as nursery:
        made: Bench

        def on_batch(batch: list[bytes]) -> None:
            made.batches.append(batch)

        def on_end() -> None:
            made.on_end()

        stream = LaneStream(near, nursery=nursery, reader=reader, on_batch=on_batch, on_end=on_end, sock=sock, fed=fed)
        made = Bench(stream, reader, far)
        yield made
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


def feed_all(chunks: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """(texts taken, bytes left to trio-websocket) of a fed stream that sees these chunks after its handshake."""

    async def run() -> tuple[list[bytes], bytes]:
        async with bench(*memory_stream_pair(), fed=True) as made:
            made.stream.feed(HEAD)
            assert await made.stream.receive_some() == HEAD
            for chunk in chunks:
                made.stream.feed(chunk)
            made.stream.feed(b"")
            passed = b""
            while data := await made.stream.receive_some(1000):
                passed += data
            return made.texts, passed

    return trio.run(run)


FRAMES = st.one_of(
    st.binary(max_size=300).map(lambda b: ("text", text_frame(b.hex().encode()), b.hex().encode())),
    st.binary(max_size=20).map(lambda b: ("other", ping_frame(b), b)),
    st.binary(max_size=20).map(lambda b: ("sticky", frame(Opcode.BINARY, b), b)),
    st.just(("sticky", frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.CONTINUATION, b"b"), b"")),
    st.just(("sticky", close_frame(1000, "bye"), b"")),
)


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(0, 2000), max_size=8))
def test_each_byte_goes_one_way_and_order_holds(frames: list[tuple[str, bytes, bytes]], cuts: list[int]) -> None:
    """Texts are taken until the first fragment, binary frame or Close; everything else reaches trio-websocket whole."""
    stream = b"".join(data for _, data, _ in frames)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[low:high] for low, high in itertools.pairwise(edges) if high > low]
    taken: list[bytes] = []
    passed = b""
    lane = True
    for kind, data, payload in frames:
        lane = lane and kind != "sticky"
        if lane and kind == "text":
            taken.append(payload)
        else:
            passed += data
    assert feed_all(chunks) == (taken, passed)


@given(st.integers(0, len(HEAD)))
def test_frames_behind_the_handshake_in_one_read_are_taken(cut: int) -> None:
    """However the response and the first frames are split."""

    async def run() -> None:
        data = HEAD + text_frame(b"one") + text_frame(b"two")
        async with bench(*memory_stream_pair(), fed=True) as made:
            for chunk in (data[:cut], data[cut:]):
                if chunk:
                    made.stream.feed(chunk)
            assert await made.stream.receive_some() == HEAD
            assert made.texts == [b"one", b"two"]

    trio.run(run)


async def test_a_refused_handshake_stays_with_trio_websocket_to_the_last_byte() -> None:
    """The body of a refusal may look like frames and is none."""
    async with bench(*memory_stream_pair(), fed=True) as made:
        answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n" + text_frame(b"abc")
        made.stream.feed(answer[:-2])
        made.stream.feed(answer[-2:])
        assert await made.stream.receive_some() == answer
        assert made.batches == []


async def test_equal_chunks_are_decoded_once_for_all_connections() -> None:
    """What one member's chunk meant is remembered for the next member's."""
    decoded = 0

    def decode(texts: Sequence[bytes]) -> list[bytes]:
        nonlocal decoded
        decoded += 1
        return list(texts)

    reader: SharedReader[list[bytes]] = SharedReader(decode)
    got: list[list[bytes]] = []
    chunk = text_frame(b"one") + text_frame(b"two")
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            stream = LaneStream(
                memory_stream_pair()[0],
                nursery=nursery,
                reader=reader,
                on_batch=got.append,
                on_end=lambda: None,
                fed=True,
            )
            stream.feed(HEAD)
            stream.feed(chunk)
    assert got == [[b"one", b"two"]] * 5
    assert decoded == 1


async def test_a_chunk_that_is_cut_in_a_frame_is_not_remembered_as_a_whole() -> None:
    """Its bytes mean something only together with their neighbours."""
    async with bench(*memory_stream_pair(), fed=True) as made:
        made.stream.feed(HEAD)
        data = text_frame(b"one") + text_frame(b"two")
        for _ in range(2):
            made.stream.feed(data[:-1])
            made.stream.feed(data[-1:])
        assert made.texts == [b"one", b"two"] * 2
        assert made.reader.recall(data[:-1]) is None
        assert made.reader.recall(data[-1:]) is None


async def test_pulled_bytes_and_fed_ones_mean_the_same() -> None:
    """Over a stream that nobody feeds, trio-websocket's own reading drives the lane."""
    near, far = memory_stream_pair()
    async with bench(near, far) as made:
        await far.send_all(HEAD + text_frame(b"one") + ping_frame(b"p") + text_frame(b"two"))
        assert await made.stream.receive_some() == HEAD + ping_frame(b"p")
        assert made.texts == [b"one", b"two"]
        await far.send_all(text_frame(b"three"))
        await far.send_eof()
        assert await made.stream.receive_some() == b""
        assert (made.texts[-1], made.ends) == (b"three", 1)


async def test_a_broken_connection_is_an_end_and_an_error() -> None:
    """Both the owner and trio-websocket are told, once."""
    async with bench(*memory_stream_pair(), fed=True) as made:
        made.stream.feed_error()
        made.stream.feed_error()
        with pytest.raises(trio.BrokenResourceError):
            await made.stream.receive_some()
        assert (made.ends, made.stream.send_nowait(b"x")) == (1, False)


async def test_frames_never_interleave_however_slow_the_peer_reads() -> None:
    """What trio-websocket writes and what is sent from outside goes out in the order it was accepted."""
    near, far = lockstep_stream_pair()
    async with bench(near, far) as made, trio.open_nursery() as nursery:
        texts = [masked_text_frame(b"%d" % number * 50, b"mask") for number in range(20)]
        expected = b""
        for number, text in enumerate(texts):
            assert made.stream.send_nowait(text)
            expected += text
            if number == 10:
                nursery.start_soon(made.stream.send_all, b"control")
                await wait_all_tasks_blocked()
        got = b""
        while len(got) < len(expected) + len(b"control"):
            got += await far.receive_some(7)
        assert got.replace(b"control", b"") == expected
        at = got.index(b"control")
        assert any(got[:at] == b"".join(texts[:n]) for n in range(21))
        assert made.stream.unsent_bytes == 0


async def test_a_peer_that_does_not_read_is_refused_more_and_nobody_waits() -> None:
    """The bound is on bytes; what was accepted before is still sent when the peer reads again."""
    near, far = lockstep_stream_pair()
    async with bench(near, far) as made:
        frame_bytes = masked_text_frame(b"x" * 60_000, b"mask")
        accepted = 0
        while made.stream.send_nowait(frame_bytes):
            accepted += 1
        assert MAX_UNSENT_BYTES < accepted * len(frame_bytes) <= MAX_UNSENT_BYTES + 2 * len(frame_bytes)
        got = 0
        while got < accepted * len(frame_bytes):
            got += len(await far.receive_some(1_000_000))
        await wait_all_tasks_blocked()
        assert made.stream.send_nowait(frame_bytes)


async def test_a_write_that_was_cut_short_is_the_last_one() -> None:
    """Nobody knows how much of a frame went out, so nothing may follow it."""
    near, far = lockstep_stream_pair()
    async with bench(near, far) as made:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(made.stream.send_all, b"half a frame")
                await wait_all_tasks_blocked()
                scope.cancel()
        assert made.stream.send_nowait(b"more") is False
        with pytest.raises(trio.BrokenResourceError):
            await made.stream.send_all(b"more")


async def test_over_a_socket_a_send_takes_no_turn_of_the_scheduler() -> None:
    """The frame is in the peer's buffer when `send_nowait` returns, and what does not fit follows by itself."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        near = _SocketStream(ours)
        async with bench(near, memory_stream_pair()[0], sock=ours) as made:
            assert made.stream.send_nowait(b"hello")
            assert theirs.recv(100) == b"hello"
            big = bytes(range(256)) * 20_000
            assert made.stream.send_nowait(big)
            assert made.stream.unsent_bytes > 0
            got = b""
            with trio.fail_after(10):
                while len(got) < len(big):
                    await trio.lowlevel.wait_readable(theirs)
                    got += theirs.recv(1_000_000)
            assert got == big
            assert made.stream.traffic.sent_bytes == len(big) + 5


class _SocketStream(trio.abc.Stream):
    """The few lines of a stream that a socketpair needs: `trio.SocketStream` takes TCP sockets only."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = trio.socket.from_stdlib_socket(sock)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        while data:
            data = data[await self._socket.send(data) :]

    async def wait_send_all_might_not_block(self) -> None:
        await self._socket.wait_writable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._socket.recv(max_bytes or 65536)

    async def aclose(self) -> None:
        self._socket.close()
        await trio.lowlevel.checkpoint()


async def test_trio_websocket_talks_over_it_to_a_stock_server() -> None:
    """Handshake, texts both ways, ping, a fragmented message, the closing handshake with its code."""
    near, far = memory_stream_pair()
    async with bench(near, far) as made, trio.open_nursery() as nursery:
        heard: list[str] = []

        async def serve() -> None:
            request = await trio_websocket.wrap_server_stream(nursery, far)
            ws = await request.accept()
            await ws.send_message("welcome")
            heard.append(str(await ws.get_message()))
            await ws.ping(b"are you there")
            await far.send_all(frame(Opcode.TEXT, b"frag", fin=False) + frame(Opcode.CONTINUATION, b"ment"))
            await ws.send_message("after the fragment")
            await ws.aclose(4008, "too slow")

        nursery.start_soon(serve)
        ws = await trio_websocket.wrap_client_stream(nursery, cast(trio.SocketStream, made.stream), "memory", "/ws")
        assert made.stream.send_nowait(masked_text_frame(b"hello", b"abcd"))
        assert await ws.get_message() == "fragment"
        assert await ws.get_message() == "after the fragment"
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await ws.get_message()
        assert closed.value.reason is not None
        assert (closed.value.reason.code, closed.value.reason.reason) == (4008, "too slow")
        assert (heard, made.texts) == (["hello"], [b"welcome"])
