"""A WebSocket of a client that costs a library only when it needs one.

trio-websocket costs 12 kB and a second task for each connection, and most connections of a load client never see
anything but whole text frames and Pings, which `LaneStream` takes. So the opening handshake is made by us
(`wire/handshake.py`), and trio-websocket is brought in over the same stream for whatever is unusual: an answer to the
handshake that is not plain, a fragment, the server's Close, a violation. It makes its own handshake first, whose
request is dropped and whose answer is the one we had, made out to its key; then it reads the unusual bytes, and is the
authority from there on.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar, cast

import trio
import trio_websocket

from scalechat.client.outgoing import random_mask
from scalechat.client.transport import MAX_PAYLOAD_BYTES, LaneStream
from scalechat.wire.frames import is_close_frame, masked_close_frame
from scalechat.wire.handshake import accept_of, accept_response, accepted, parse_upgrade, upgrade_request

MAX_HEAD_BYTES: Final = 16 * 1024
"""What a server's answer may have before it is trio-websocket's to judge."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_SWITCHING: Final = b"HTTP/1.1 101"

T = TypeVar("T")

Library = trio_websocket.WebSocketConnection


class LateWebSocket:
    """An open WebSocket; made by `open_websocket`. One task calls `get_message`, any other may call `aclose`."""

    __slots__ = ("_asks", "_early", "_library", "_over", "_said_close", "_send_nowait", "_stream", "subprotocol")

    def __init__(
        self,
        stream: trio.abc.Stream,
        send_nowait: Callable[[bytes], bool],
        asks: _Asks,
        subprotocol: str | None,
        *,
        early: bytes = b"",
        library: Library | None = None,
    ) -> None:
        self._stream = stream
        self._send_nowait = send_nowait
        self._asks = asks
        self._library = library
        self._early = early
        self._over: trio.Event | None = None
        self._said_close = False
        self.subprotocol = subprotocol

    async def get_message(self) -> str | bytes:
        """The next message that the lane did not take.

        Raises `trio_websocket.ConnectionClosed`, with None as the reason when the connection ended without a Close.
        """
        if self._library is None:
            unusual = await self._unusual()
            while self._said_close and unusual and not is_close_frame(unusual):
                unusual = await self._unusual()
            if not unusual or self._said_close:
                if self._over is not None:
                    self._over.set()
                raise trio_websocket.ConnectionClosed(None)
            answer = partial(_plain_answer, subprotocol=self.subprotocol)
            self._library = await self._asks.library(_Replayed(self._stream, answer, unusual))
        return await self._library.get_message()

    async def aclose(self, code: int) -> None:
        """Say Close and wait until the server has answered or is gone; the caller sets the deadline."""
        if self._library is not None:
            await self._library.aclose(code)
            return
        self._over = trio.Event()
        self._said_close = True
        if self._send_nowait(masked_close_frame(code, random_mask())):
            await self._over.wait()

    async def _unusual(self) -> bytes:
        early, self._early = self._early, b""
        try:
            return early or bytes(await self._stream.receive_some())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""


async def open_websocket(
    nursery: trio.Nursery,
    stream: LaneStream[T],
    host: str,
    resource: str,
    *,
    subprotocols: Sequence[str] = (),
    extra_headers: Sequence[tuple[bytes, bytes]] = (),
) -> LateWebSocket:
    """Make the opening handshake over a stream that answers Pings.

    The library runs in `nursery`, if it is ever needed. When the server ends the connection instead of answering, this
    waits until it is cancelled, as trio-websocket does. Raises what `trio_websocket.wrap_client_stream` raises.
    """
    asks = _Asks(nursery, host, resource, subprotocols, extra_headers)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    request = upgrade_request(host, resource, key, subprotocols, extra_headers)
    if request is None:
        library = await asks.library(stream)
        return LateWebSocket(stream, stream.send_nowait, asks, library.subprotocol, library=library)
    await stream.send_all(request)
    received = b""
    while _END_OF_HEAD not in received and len(received) <= MAX_HEAD_BYTES:
        data = await stream.receive_some()
        received += data
        if not data or not received.startswith(_SWITCHING[: len(received)]):
            break
    head, end, early = received.partition(_END_OF_HEAD)
    answer = accepted(head + end, key, subprotocols)
    if answer is not None:
        return LateWebSocket(stream, stream.send_nowait, asks, answer[0], early=early)
    library = await asks.library(_Replayed(stream, partial(_same_answer, answer=received, key=key), b""))
    return LateWebSocket(stream, stream.send_nowait, asks, library.subprotocol, library=library)


class _Asks:
    """What the handshake asks for, for the day the library is needed."""

    __slots__ = ("_extra_headers", "_host", "_nursery", "_resource", "_subprotocols")

    def __init__(
        self,
        nursery: trio.Nursery,
        host: str,
        resource: str,
        subprotocols: Sequence[str],
        extra_headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        self._nursery = nursery
        self._host = host
        self._resource = resource
        self._subprotocols = subprotocols
        self._extra_headers = extra_headers

    async def library(self, stream: trio.abc.Stream) -> Library:
        return await trio_websocket.wrap_client_stream(
            self._nursery,
            cast(trio.SocketStream, stream),  # annotated too narrowly: any stream will do
            self._host,
            self._resource,
            subprotocols=self._subprotocols,
            extra_headers=list(self._extra_headers),
            max_message_size=MAX_PAYLOAD_BYTES,
        )


class _Replayed(trio.abc.Stream):
    """The stream as the library sees it: its request gets `answer(request)`, then come `unusual` and what follows."""

    __slots__ = ("_answer", "_asked", "_first", "_stream")

    def __init__(self, stream: trio.abc.Stream, answer: Callable[[bytes], bytes], unusual: bytes) -> None:
        self._stream = stream
        self._answer = answer
        self._asked = False
        self._first = unusual

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._asked:
            await self._stream.send_all(data)
            return
        self._asked = True
        self._first = self._answer(bytes(data)) + self._first
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._first:
            first, self._first = self._first, b""
            await trio.lowlevel.checkpoint()
            return first
        return await self._stream.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _plain_answer(request: bytes, subprotocol: str | None) -> bytes:
    return accept_response(parse_upgrade(request), subprotocol)


def _same_answer(request: bytes, answer: bytes, key: str) -> bytes:
    """The server's own answer; if it fits our key, then so that it fits the request's."""
    return answer.replace(accept_of(key), accept_of(parse_upgrade(request).key))
