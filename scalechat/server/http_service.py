"""One HTTP connection, served by hypercorn's Trio worker over a stream that the listener accepted.

hypercorn's `serve()` wants to accept by itself; handing it a stream goes through its `TCPServer`, which is not
documented: the version is pinned and ``tests/server/test_http_service.py`` guards it.

What of hypercorn is put right here: it shields its sends without a deadline: our stream brings one, and gives
up at once when the connection is cancelled, so a peer that stops reading cannot hold up a shutdown. Its queue of body
parts blocks its reader for ever when the app does not empty it: somebody always reads that queue here. A connection
that its peer has closed would be kept, with its descriptor, until the keep-alive time is over. And it changes to HTTP/2
for whoever asks.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

import h11
import msgspec
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    HTTPScope,
    Scope,
)
from hypercorn.utils import wrap_app

from scalechat.server.stream import TcpStream

WRITE_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 15.0
"""One scrape interval of a default Prometheus: it then keeps its connection."""
READ_TIMEOUT_S = 30.0

log = structlog.get_logger("scalechat.server")


class ReplayStream(trio.abc.HalfCloseableStream):
    """A socket stream whose first bytes have been read already; every send has a deadline, and none survives `cut`."""

    def __init__(self, stream: TcpStream | trio.SocketStream, data: bytes) -> None:
        self._stream = stream
        self._data = data
        self._sending = trio.CancelScope()
        self._cut = False
        self.socket = stream.socket  # hypercorn asks it for both addresses.

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._data:
            data, self._data = self._data, b""
            await trio.lowlevel.checkpoint()
            return data
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Raises BrokenResourceError when the peer does not take it within `WRITE_TIMEOUT_S`."""
        if self._cut:
            raise trio.BrokenResourceError("the connection has been cut")
        with trio.move_on_after(WRITE_TIMEOUT_S) as self._sending:
            try:
                await self._stream.send_all(data)
            except trio.BusyResourceError as closing:  # hypercorn's other task is ending the connection.
                raise trio.BrokenResourceError("the connection is being closed") from closing
        if self._sending.cancelled_caught:
            raise trio.BrokenResourceError("the peer does not read its response")

    async def cut_when_cancelled(self) -> None:
        """Until cancelled nothing; then end the send under way, which hypercorn shields from that very cancellation."""
        try:
            await trio.sleep_forever()
        finally:
            self._cut = True
            self._sending.cancel()

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class HttpService:
    """Serves `app` on connections that are handed to it."""

    def __init__(self, app: ASGIFramework, *, max_body_bytes: int, max_head_bytes: int) -> None:
        config = Config()
        config.accesslog = None
        config.errorlog = None  # Errors of the app are logged by ourselves, in `_Guarded`.
        config.include_server_header = False
        config.keep_alive_timeout = KEEP_ALIVE_S
        config.read_timeout = cast("int", READ_TIMEOUT_S)
        config.h11_max_incomplete_size = max_head_bytes
        config.h11_pass_raw_headers = False
        self._config = config
        self._app = wrap_app(_Guarded(app, max_body_bytes), config.wsgi_max_body_size, "asgi")
        self._context = WorkerContext(None)

    async def serve(self, stream: TcpStream | trio.SocketStream, data: bytes) -> None:
        """Serve one connection until it ends; `data` is what was read of it already."""
        replay = ReplayStream(stream, data)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replay.cut_when_cancelled)
            not_ssl = cast("trio.SSLStream[trio.SocketStream]", replay)  # Only its type says SSL.
            await _Server(self._app, self._config, self._context, {}, not_ssl).run()
            nursery.cancel_scope.cancel()

    async def drain(self) -> None:
        """Let idle connections end now and the others after their request."""
        await self._context.terminated.set()


class _Server(TCPServer):
    """hypercorn's, but that it speaks HTTP/1 only and does not wait for the next request of a peer that has gone."""

    _peer_gone = False

    async def _read_data(self) -> None:
        wrapper = self.protocol
        wrapper.protocol = _Http1(
            wrapper.app,
            wrapper.config,
            wrapper.context,
            wrapper.task_group,
            wrapper.state,
            wrapper.ssl,
            wrapper.client,
            wrapper.server,
            wrapper.send,
        )
        await super()._read_data()
        self._peer_gone = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if not (self._peer_gone and isinstance(event, Updated)):  # Updated starts the wait anew.
            await super().protocol_send(event)


class _Http1(H11Protocol):
    async def _check_protocol(self, event: h11.Request) -> None:
        """Never change to HTTP/2: a hundred streams a connection, and one whose peer has gone may wait for ever."""


class _Guarded:
    """The app with a bound on request bodies, errors in our own log, and no second way to a WebSocket."""

    def __init__(self, app: ASGIFramework, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "websocket":  # A second request on a kept-alive connection: only the listener upgrades.
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": None})
            return
        body = _Body(receive, self._max_body_bytes)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body.pump)
            try:
                await self._respond(scope, body.receive, send)
            except Exception as error:
                log.error("bug in an HTTP handler", error=repr(error), exc_info=error)
                nursery.cancel_scope.cancel()  # The answer, status 500, has been sent by the framework.

    async def _respond(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await _answer(send, refusal)
        else:
            await self._app(_as_get(scope), receive, send)

    def _refusal(self, scope: HTTPScope) -> HTTPStatus | None:
        if scope["http_version"] not in ("1.0", "1.1"):
            return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
        headers = dict(scope["headers"])
        if b"transfer-encoding" in headers:
            return HTTPStatus.LENGTH_REQUIRED  # A body of unknown length could only be bounded after reading it.
        length = headers.get(b"content-length", b"0")
        too_large = length.isdigit() and int(length) > self._max_body_bytes
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else None


def _as_get(scope: Scope) -> Scope:
    """HEAD is GET without the content (RFC 9110, section 9.3.2), which hypercorn leaves out by itself."""
    if scope["type"] == "http" and scope["method"] == "HEAD":
        return {**scope, "method": "GET"}
    return scope


class _Body:
    """A request's body, collected while it arrives; what is beyond the bound is read and thrown away."""

    def __init__(self, receive: ASGIReceiveCallable, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        # One body and one disconnect: `pump` never waits for the app.
        self._to_app, self._from_peer = trio.open_memory_channel[ASGIReceiveEvent](2)

    async def pump(self) -> None:
        """Read everything there is, until the end that hypercorn reports after every answer."""
        data = bytearray()
        event = await self._receive()
        while event["type"] == "http.request":
            data += event["body"][: self._max_bytes - len(data)]
            if not event["more_body"]:
                self._to_app.send_nowait({"type": "http.request", "body": bytes(data), "more_body": False})
            event = await self._receive()
        self._to_app.send_nowait(event)

    async def receive(self) -> ASGIReceiveEvent:
        """What the app receives: the whole body, then the disconnect."""
        return await self._from_peer.receive()


async def _answer(send: ASGISendCallable, status: HTTPStatus) -> None:
    body = msgspec.json.encode({"code": status.name.lower(), "detail": status.phrase})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
