"""The client's WebSocket without a library: who cannot tell the difference, and when the library comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio_websocket
from trio.testing import memory_stream_pair
from wsproto.frame_protocol import FrameProtocol, Opcode

from scalechat.client.late import LateWebSocket, open_websocket
from scalechat.client.shared_reader import SharedReader
from scalechat.client.transport import LaneStream
from scalechat.wire.frames import close_frame, ping_frame, text_frame
from scalechat.wire.handshake import accept_of, accept_response, parse_upgrade

Serve = Callable[[trio.abc.Stream], Awaitable[None]]


@dataclass
class Opened:
    """An open client and the texts its lane took."""

    ws: LateWebSocket
    stream: LaneStream[list[bytes]]
    texts: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[Opened]:
    near, far = memory_stream_pair()
    texts: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, far)
        stream: LaneStream[list[bytes]] = LaneStream(
            near,
            nursery=nursery,
            reader=SharedReader(list),
            on_batch=texts.extend,
            on_end=lambda: None,
            answers_pings=True,
        )
        with trio.fail_after(5):
            ws = await open_websocket(nursery, stream, "h", "/ws?room=a", subprotocols=("chat.v1", "chat.v2"))
            yield Opened(ws, stream, texts)
        nursery.cancel_scope.cancel()


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    return bytes(FrameProtocol(client=False, extensions=[])._serialize_frame(opcode, payload, fin))


async def request_of(far: trio.abc.Stream) -> bytes:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += await far.receive_some()
    return request


def answering(*behind: bytes, change: Callable[[bytes], bytes] = bytes) -> Serve:
    """A server that accepts, says this, and leaves the connection open."""

    async def serve(far: trio.abc.Stream) -> None:
        answer = accept_response(parse_upgrade(await request_of(far)), "chat.v2")
        await far.send_all(change(answer) + b"".join(behind))
        await trio.sleep_forever()

    return serve


async def test_a_stock_server_notices_nothing() -> None:
    """Handshake with subprotocol, texts, ping, a fragmented message, and the server's Close with its code."""
    heard: list[str] = []
    ponged = trio.Event()

    async def serve(far: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, far)
            ws = await request.accept(subprotocol="chat.v1")
            await ws.send_message("one")
            await ws.ping(b"there?")
            ponged.set()
            await far.send_all(frame(Opcode.TEXT, b"frag", fin=False) + frame(Opcode.CONTINUATION, b"ment"))
            heard.append(str(await ws.get_message()))
            await ws.aclose(4008, "too slow")

    async with connected(serve) as client:
        assert client.ws.subprotocol == "chat.v1"
        assert await client.ws.get_message() == "fragment"
        assert ponged.is_set()
        assert client.stream.send_nowait(_masked_text(b"hello"))
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await client.ws.get_message()
        assert closed.value.reason is not None
        assert (closed.value.reason.code, closed.value.reason.reason) == (4008, "too slow")
        assert (client.texts, heard) == ([b"one"], ["hello"])


async def test_what_follows_the_answer_in_one_read_is_not_lost() -> None:
    """Texts go to the lane, and a Close to the library that is brought in for it."""
    async with connected(answering(text_frame(b"a"), ping_frame(), close_frame(1012, "later"))) as client:
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await client.ws.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1012
        assert client.texts == [b"a"]


async def test_our_close_is_answered_and_ends_it_without_the_library() -> None:
    """Ten thousand clients that say goodbye at once bring in nobody."""
    said: list[int] = []

    async def serve(far: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            ws = await (await trio_websocket.wrap_server_stream(nursery, far)).accept()
            with pytest.raises(trio_websocket.ConnectionClosed) as closed:
                await ws.get_message()
            assert closed.value.reason is not None
            said.append(closed.value.reason.code)

    async with connected(serve) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.ws.aclose, 1000)
        with pytest.raises(trio_websocket.ConnectionClosed):
            await client.ws.get_message()
    assert said == [1000]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
        lambda answer: answer.replace(b"101 Switching Protocols", b"101"),
        lambda answer: answer.replace(b"\r\n\r\n", b"\r\nServer: other\r\nVia: x\r\n\r\n"),
    ],
)
async def test_an_unusual_but_right_answer_opens(change: Callable[[bytes], bytes]) -> None:
    """The library says so where we do not."""
    async with connected(answering(text_frame(b"a"), close_frame(1000, ""), change=change)) as client:
        assert client.ws.subprotocol == "chat.v2"
        with pytest.raises(trio_websocket.ConnectionClosed):
            await client.ws.get_message()
        assert client.texts == [b"a"]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        lambda answer: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        lambda answer: b"220 mail ready\r\n\r\n",
        lambda answer: answer.replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"),
        lambda answer: answer.replace(b"Sec-WebSocket-Accept", b"X-Other"),
        lambda answer: answer.replace(b"chat.v2", b"other.v9"),
        lambda answer: answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    ],
)
async def test_a_wrong_answer_opens_nothing(change: Callable[[bytes], bytes]) -> None:
    """What is raised is the library's, as if it had asked itself."""
    with pytest.raises(BaseExceptionGroup) as refused:
        async with connected(answering(change=change)):
            pass
    assert not refused.group_contains(trio.TooSlowError)


async def test_the_end_of_the_stream_is_a_close_without_a_reason() -> None:
    """So is a connection that breaks."""

    async def serve(far: trio.abc.Stream) -> None:
        await far.send_all(accept_response(parse_upgrade(await request_of(far)), None))
        await far.aclose()

    async with connected(serve) as client:
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await client.ws.get_message()
        assert closed.value.reason is None


def test_the_accept_of_the_standards_example() -> None:
    """RFC 6455 section 1.3."""
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def _masked_text(payload: bytes) -> bytes:
    return bytes(FrameProtocol(client=True, extensions=[])._serialize_frame(Opcode.TEXT, payload, True))
