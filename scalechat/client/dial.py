"""One WebSocket connection to a server: the only module that knows the WebSocket library.

Each way to fail while connecting becomes one error of ``errors.py``; each way to end afterwards
becomes one `Ended`. A fence around the library's reader task keeps whatever it raises inside.
"""

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from scalechat.client.errors import (
    BadAddress,
    HostNotFound,
    NotAWebSocket,
    Rejected,
    TlsFailed,
    Unreachable,
    WrongProtocol,
)
from scalechat.client.tls import tls_context, what_is_wrong
from scalechat.wire import closing
from scalechat.wire.messages import SUBPROTOCOL

#: A ``joined`` that replays a room carries its whole log: 200 messages of 64 KiB by default,
#: doubled for what JSON escapes.
MAX_FRAME_CHARS = 2 * 200 * 65_536
#: Larger than the library's 4 KiB: a busy room needs a sixteenth of the system calls.
_RECEIVE_BYTES = 65_536
#: A write takes so long only when the peer has stopped reading, and then the next one would too.
WRITE_DEADLINE_S = 10.0

_HTTP_TEXTS = {
    400: "the server refused the name or the room",
    401: "the server wants a valid token (--token)",
    403: "the server does not let this client in",
    404: "the server has no chat at this path",
    426: "the server does not speak this version of WebSocket",
    429: "the server has had too many requests from here",
    503: "the server takes no connections at the moment",
}
_USUAL_PATH = "/ws"
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a chat is: the parts of ``ws://host:port/path?query`` that connecting needs."""

    host: str
    port: int
    tls: bool
    path: str
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The URL without its query, which may hold a token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}{self.path}"

    def resource(self, client_id: str | None, token: str | None) -> str:
        """The request target: no room is joined by it, ``join`` commands do that for all alike."""
        query = dict(self.query) | {"room": ""}
        if client_id is not None:
            query["clientId"] = client_id
        if token is not None:
            query["token"] = token
        return f"{quote(self.path, safe='/%:@!$&()*+,;=~-._')}?{urlencode(query)}"

    @property
    def host_header(self) -> str:
        """The value of ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_address(url: str) -> Address:
    """Take `url` apart; raises `BadAddress`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise BadAddress(f"not a URL: {exc}") from None
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        raise BadAddress("the server's address must look like ws://host:port/ws or wss://host/ws")
    tls = parts.scheme == "wss"
    return Address(
        host=parts.hostname,
        port=port or (443 if tls else 80),
        tls=tls,
        path=parts.path or "/",
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
    )


Connect = Callable[[Address], Awaitable[trio.abc.Stream]]


async def connect_tcp(address: Address, tls: ssl.SSLContext | None = None) -> trio.abc.Stream:
    """Open a TCP or TLS stream; raises `HostNotFound`, `Unreachable` or `TlsFailed`.

    `tls` says whom to trust; without it, whom the system trusts.
    """
    try:
        tcp = await trio.open_tcp_stream(address.host, address.port)
    except socket.gaierror:
        raise HostNotFound(f"there is no host named {address.host}") from None
    except OSError as exc:
        raise Unreachable(f"nothing answers at {address} ({_cause(exc)})") from None
    if not address.tls:
        return tcp
    stream = trio.SSLStream(tcp, tls or tls_context(), server_hostname=address.host, https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as exc:
        await trio.aclose_forcefully(tcp)
        why = exc.__cause__
        detail = what_is_wrong(why) if isinstance(why, ssl.SSLError) else why
        raise TlsFailed(f"no secure connection to {address}: {detail or 'the server hung up'}") from None
    except BaseException:
        await trio.aclose_forcefully(tcp)
        raise
    return stream


def trusting(ca_file: Path | None) -> Connect:
    """`connect_tcp` with these authorities, if there are any of our own. Raises `UsageError`."""
    return connect_tcp if ca_file is None else partial(connect_tcp, tls=tls_context(ca_file))


def _cause(exc: OSError) -> str:
    # Trio tries every address of a name; the reasons are causes of the error it raises, in a group when several.
    cause = exc.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    errno = cause.errno if isinstance(cause, OSError) else exc.errno
    return os.strerror(errno).lower() if errno else str(exc)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a connection ended: a code of ``scalechat.wire.closing`` and the peer's own words."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        """What happened, in words for a person."""
        known = closing.CLOSINGS.get(self.code)
        return self.reason or (known.reason if known else f"closed with code {self.code}")


class Link:
    """An open connection that speaks ``scalechat.v1``.

    One task sends, one receives. After a send that failed or was cancelled half a frame may be
    on the wire: only `abort` is allowed then.
    """

    def __init__(self, websocket: WebSocketConnection, stream: trio.abc.Stream) -> None:
        self._websocket = websocket
        self._stream = stream

    async def send(self, frame: bytes) -> bool:
        """Send one text message; False when the connection is gone or the peer takes nothing."""
        with trio.move_on_after(WRITE_DEADLINE_S):
            try:
                await self._websocket.send_message(frame.decode())
            except ConnectionClosed:
                return False
            return True
        return False

    async def receive(self) -> bytes | Ended:
        """Return the next text message, or how the connection ended."""
        try:
            message = await self._websocket.get_message()
        except ConnectionClosed as exc:
            if exc.reason is None:
                return Ended(closing.LOST.code)
            return Ended(exc.reason.code, exc.reason.reason or "")
        return message.encode() if isinstance(message, str) else message

    async def is_alive(self, within_s: float) -> bool:
        """Ping the peer; False when no pong came in time. A closed connection is not our matter."""
        with trio.move_on_after(within_s):
            with suppress(ConnectionClosed):  # the receiving task learns of it by itself
                await self._websocket.ping()
            return True
        return False

    async def close(self, within_s: float) -> None:
        """Say goodbye with 1000 and wait `within_s` at most for the answer."""
        with trio.move_on_after(within_s):
            await self._websocket.aclose(closing.NORMAL.code, closing.NORMAL.reason)

    async def abort(self) -> None:
        """Drop the connection at once."""
        await trio.aclose_forcefully(self._stream)


class _Fence:
    """What the library takes for a nursery: runs its reader task and keeps its exceptions."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.on_end = trio.CancelScope()
        self.failure: Exception | None = None

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, task)

    async def _run(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except Exception as exc:  # noqa: BLE001  # a peer's bytes must not end our nursery
            self.failure = exc
        finally:
            self.on_end.cancel()


async def open_link(nursery: trio.Nursery, address: Address, resource: str, connect: Connect) -> Link:
    """Connect and shake hands; the library's reader task runs in `nursery` until the link ends.

    Raises a `CannotConnect`; then nothing stays open. The caller sets the deadline.
    """
    stream = await connect(address)
    fence = _Fence(nursery)
    websocket: WebSocketConnection | None = None
    try:
        with fence.on_end:
            websocket = await wrap_client_stream(
                cast("trio.Nursery", fence),  # it calls `start_soon` once and nothing else
                cast("trio.SocketStream", stream),  # documented for any stream, annotated for two
                address.host_header,
                resource,
                subprotocols=[SUBPROTOCOL],
                max_message_size=MAX_FRAME_CHARS,
                receive_buffer_size=_RECEIVE_BYTES,
            )
        if websocket is None:
            raise _handshake_error(address, fence.failure)
        if websocket.subprotocol != SUBPROTOCOL:
            raise WrongProtocol(f"the server at {address} does not speak {SUBPROTOCOL}")
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return Link(websocket, stream)


def _handshake_error(address: Address, failure: Exception | None) -> NotAWebSocket | Rejected:
    if not isinstance(failure, ConnectionRejected):
        return NotAWebSocket(f"what answers at {address} is not a WebSocket server")
    status = failure.status_code
    if status < 400:
        return NotAWebSocket(f"a web server answers at {address}, but not with a WebSocket")
    text = _HTTP_TEXTS.get(status, f"the server refused the connection with HTTP status {status}")
    if status in {403, 404} and address.path != _USUAL_PATH:
        text += f"; its chat is usually at {_USUAL_PATH}"
    detail = _first_line(failure.body)
    return Rejected(
        f"{text} ({detail})" if detail else text,
        status=status,
        lasting=status not in _PASSING_STATUSES,
        retry_after_ms=_retry_after_ms(failure.headers),
    )


def _first_line(body: bytes | None) -> str:
    lines = (body or b"")[:1024].decode(errors="replace").strip().splitlines()
    # An error page of some proxy is not a sentence for a person.
    return lines[0][:200] if lines and not lines[0].startswith("<") else ""


def _retry_after_ms(headers: tuple[tuple[bytes, bytes], ...]) -> int | None:
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return int(value[:6]) * 1000
    return None
