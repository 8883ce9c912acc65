"""One port: accept, read the request head, and hand WebSockets to us and the rest to hypercorn.

Theory of operation: the listener owns accept. It takes everything the kernel has ready in one go, so a wave of
connections is not paid with a scheduler pass each. A connection's task reads the head under the handshake deadline and
replays what it read to whichever library takes over; that works under TLS too, where peeking at the socket does not.

When descriptors run out (EMFILE) a reserved one is given up to accept and close the waiting connection, so that the
client learns at once and the loop does not spin (pitfall of `trio.serve_listeners`, which logs and sleeps).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog
import trio

from scalechat.server.admission import Admission
from scalechat.server.connection import Arrival, WebSocketService
from scalechat.server.fence import run_fenced
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Spawn
from scalechat.server.pump import Pump
from scalechat.server.stream import TcpStream

MAX_HEAD_BYTES = 16 * 1024
"""Of a WebSocket request; browsers with many cookies stay under 8 KiB."""
ACCEPT_BURST = 64
"""Accepts between two scheduler passes: 64 take about 2 ms."""
ACCEPT_PAUSE_S = 0.05
"""After an accept that failed for want of resources: someone else has to give some back first."""

HTTP_RESERVE = 16
"""HTTP connections served above the connection cap: a full server must still answer health checks and scrapes."""

_SO_MEMINFO = 55
"""socket(7), since Linux 4.12; its ninth number counts what was dropped."""
_MEMINFO = struct.Struct("9I")

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

ServeHttp = Callable[[TcpStream, bytes], Awaitable[None]]
"""(stream, what was read already): serve HTTP until the connection ends."""

log = structlog.get_logger("scalechat.server")


def bind(
    host: str, port: int, *, backlog: int = 4096, send_buffer_bytes: int = 0, shared: bool = False
) -> list[socket.socket]:
    """Listening sockets for every address of `host`. Raises OSError.

    The kernel completes up to `backlog` connections while we are busy, silently capped at net.core.somaxconn, and holds
    up to `send_buffer_bytes` for each client; 0 leaves that to the kernel, which grows it to megabytes. `shared`: it
    spreads connections over all shared sockets of the port, whatever processes have them.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in sorted(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if send_buffer_bytes:  # Accepted sockets have it from their listener.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:  # One free port for all addresses.
                sock.bind((address[0], sockets[0].getsockname()[1], *address[2:]))
            else:
                sock.bind(address)
            sock.listen(backlog)
            sock.setblocking(False)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def dropped_by(listening: socket.socket) -> int:
    """Connections that the kernel dropped because this socket's accept queue was full; 0 where it does not tell."""
    if sys.platform != "linux":
        return 0
    told = listening.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(told)[8])


class Listener:
    """Accepts on `sockets` until cancelled and runs each connection in the `connections` nursery."""

    def __init__(
        self,
        sockets: list[socket.socket],
        *,
        websockets: WebSocketService,
        serve_http: ServeHttp,
        pump: Pump | None,
        admission: Admission,
        counters: Counters,
        head_timeout_s: float,
    ) -> None:
        self._sockets = sockets
        self._websockets = websockets
        self._serve_http = serve_http
        self._pump = pump
        self._admission = admission
        self._counters = counters
        self._head_timeout_s = head_timeout_s
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY)
        self.http_connections = 0

    @property
    def dropped(self) -> int:
        """Connections that the kernel dropped because an accept queue was full."""
        return sum(dropped_by(sock) for sock in self._sockets if sock.fileno() >= 0)

    async def run(self, connections: trio.Nursery) -> None:
        """Accept until cancelled; then the port is free again."""
        try:
            async with trio.open_nursery() as nursery:
                for sock in self._sockets:
                    nursery.start_soon(self._accept_on, sock, connections)
        finally:
            for sock in self._sockets:
                sock.close()
            if self._reserve is not None:
                os.close(self._reserve)

    async def _accept_on(self, sock: socket.socket, connections: trio.Nursery) -> None:
        def spawn(task: Callable[[], Awaitable[None]]) -> None:
            connections.start_soon(run_fenced, task, self._counters)

        while True:
            await trio.lowlevel.wait_readable(sock)
            for _ in range(ACCEPT_BURST):
                try:
                    peer, address = sock.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE) and self._reserve is not None:
                        if not self._turn_away(sock, self._reserve):
                            break
                    elif error.errno in _SHORTAGES:
                        log.warning("accept failed", error=error.strerror)
                        await trio.sleep(ACCEPT_PAUSE_S)
                        self._take_reserve()
                    # Anything else is one peer's network error (accept(2) passes those on): the next one may be fine.
                    continue
                peer.setblocking(False)
                connections.start_soon(self._serve, peer, str(address[0]), spawn)

    def _turn_away(self, sock: socket.socket, reserve: int) -> bool:
        """Close the waiting connection by means of the reserved descriptor; False when nobody waits.

        Which Linux does not tell by itself: without a descriptor accept(2) fails before it looks.
        """
        os.close(reserve)
        self._reserve = None
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return False
        except OSError:
            return True  # The peer has gone away by itself.
        else:
            self._counters.refusals["no_descriptor"] += 1
            return True
        finally:
            self._take_reserve()

    def _take_reserve(self) -> None:
        if self._reserve is None:
            with suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY)

    async def _serve(self, peer: socket.socket, address: str, spawn: Spawn) -> None:
        self._admission.enter(address)
        stream = TcpStream(peer)
        try:
            await run_fenced(lambda: self._route(stream, address, spawn), self._counters)
        finally:
            self._admission.leave(address)
            stream.close()

    async def _route(self, stream: TcpStream, address: str, spawn: Spawn) -> None:
        data = b""
        with trio.move_on_after(self._head_timeout_s) as deadline:
            data = await _read_head(stream)
        if deadline.cancelled_caught:
            self._counters.refusals["handshake_timeout"] += 1
            return
        if not data:
            self._counters.refusals["no_request"] += 1
            return
        head, separator, early = data.partition(b"\r\n\r\n")
        if separator and asks_for_websocket(head):
            self._counters.accepts["websocket"] += 1
            read_by = None if self._pump is None else partial(self._pump.read, stream.socket)
            await self._websockets.serve(
                Arrival(stream, stream.send_now, head + separator, early, address, spawn, read_by)
            )
            return
        if separator and head.startswith(b"GET ") and _is_upgrade(head):
            self._counters.refusals["wrong_path"] += 1
            with trio.move_on_after(1.0):
                await stream.send_all(NO_CHAT_HERE)
            return
        self._counters.accepts["http"] += 1
        reason = self._admission.over_limit(address)
        if reason == "max_connections" and self.http_connections < HTTP_RESERVE:
            reason = None
        if reason is not None:
            self._counters.refusals[reason] += 1
            with trio.move_on_after(1.0):
                await stream.send_all(BUSY)
            return
        self.http_connections += 1
        try:
            await self._serve_http(stream, data)
        finally:
            self.http_connections -= 1


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
NO_CHAT_HERE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_METHODS = (b"GET ", b"HEAD ", b"POST ", b"DELETE ", b"OPTIONS ", b"PUT ", b"PATCH ")


async def _read_head(stream: TcpStream) -> bytes:
    """Bytes up to the end of the head, and what came with it; shorter when it cannot become a request for us."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_HEAD_BYTES:
        received = await stream.receive_some(MAX_HEAD_BYTES)
        data += received
        if not received or not any(data[: len(method)] == method[: len(data)] for method in _METHODS):
            break
    return data


def asks_for_websocket(head: bytes) -> bool:
    """Whether a complete head asks to upgrade ``/ws``."""
    request = head.partition(b"\r\n")[0]
    path = request.split(b" ", 2)[1].partition(b"?")[0] if request.startswith(b"GET ") else b""
    return path == b"/ws" and _is_upgrade(head)


def _is_upgrade(head: bytes) -> bool:
    headers = head.partition(b"\r\n")[2]
    return b"\r\nupgrade:websocket" in (b"\r\n" + headers.lower()).replace(b" ", b"")
