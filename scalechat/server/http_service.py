"""One HTTP connection, served by hypercorn's Trio worker over a stream that the listener accepted.

hypercorn's `serve()` wants to accept by itself; handing it a stream goes through its `TCPServer`, which is not
documented: the version is pinned and ``tests/server/test_http_service.py`` guards it. hypercorn shields its sends
without a deadline, so our stream brings one: a peer that stops reading cannot hold up a shutdown.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

import msgspec
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope
from hypercorn.utils import wrap_app

from scalechat.server.stream import TcpStream

WRITE_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 15.0
"""One scrape interval of a default Prometheus: it then keeps its connection."""
READ_TIMEOUT_S = 30.0

log = structlog.get_logger("scalechat.server")


class ReplayStream(trio.abc.HalfCloseableStream):
    """A socket stream whose first bytes have been read already; every send has a deadline."""

    def __init__(self, stream: TcpStream, data: bytes) -> None:
        self._stream = stream
        self._data = data
        self.socket = stream.socket  # hypercorn asks it for both addresses.

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._data:
            data, self._data = self._data, b""
            await trio.lowlevel.checkpoint()
            return data
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Raises BrokenResourceError when the peer does not take it within `WRITE_TIMEOUT_S`."""
        with trio.move_on_after(WRITE_TIMEOUT_S) as deadline:
            await self._stream.send_all(data)
        if deadline.cancelled_caught:
            raise trio.BrokenResourceError("the peer does not read its response")

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

    async def serve(self, stream: TcpStream, data: bytes) -> None:
        """Serve one connection until it ends; `data` is what was read of it already."""
        replay = cast("trio.SSLStream[trio.SocketStream]", ReplayStream(stream, data))  # Only its type says SSL.
        await TCPServer(self._app, self._config, self._context, {}, replay).run()

    async def drain(self) -> None:
        """Let idle connections end now and the others after their request."""
        await self._context.terminated.set()


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
        if scope["type"] == "http" and (refusal := self._body_refusal(dict(scope["headers"]))) is not None:
            await _answer(send, refusal)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            log.error("bug in an HTTP handler", error=repr(error), exc_info=error)
            raise

    def _body_refusal(self, headers: dict[bytes, bytes]) -> HTTPStatus | None:
        if b"transfer-encoding" in headers:
            return HTTPStatus.LENGTH_REQUIRED  # A body of unknown length could only be bounded after reading it.
        length = headers.get(b"content-length", b"0")
        too_large = length.isdigit() and int(length) > self._max_body_bytes
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else None


async def _answer(send: ASGISendCallable, status: HTTPStatus) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    body = msgspec.json.encode({"code": "bad_body", "detail": status.phrase})
    await send({"type": "http.response.body", "body": body, "more_body": False})
