"""A TCP connection as a Trio stream, with nothing in it that an idle connection does not need.

`trio.SocketStream` over a Trio socket does the same and more; for each connection it keeps a second socket object and
three locks, and a receive tries the socket before it waits: a client that answers at once makes that attempt in vain.
Here a receive waits first. Two tasks that read at once are still found out, by Trio's own `wait_readable`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import trio

DEFAULT_RECEIVE_BYTES = 64 * 1024


class TcpStream(trio.abc.HalfCloseableStream):
    """Owns `socket`, a connected non-blocking stdlib socket."""

    __slots__ = ("socket",)

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        if sock.family != socket.AF_UNIX:
            # Frames are written whole: waiting for more (Nagle) would only delay them.
            with suppress(OSError):  # macOS raises for a peer that has gone already; the first read will tell.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def send_now(self) -> Callable[[bytes], int]:
        """The socket's own: see `scalechat.server.outbox.SendNow`. A function around it costs 0.1 µs a delivery."""
        return self.socket.send

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        while True:
            self._check_open()
            await trio.lowlevel.wait_readable(self.socket)
            try:
                return self.socket.recv(max_bytes or DEFAULT_RECEIVE_BYTES)
            except BlockingIOError:
                continue  # Woken for nothing, as select(2) says may happen.
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`: when cancelled, an unknown part of `data` has been sent."""
        self._check_open()
        await trio.lowlevel.checkpoint()
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                try:
                    sent += self.socket.send(view[sent:])
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.socket)
                except OSError as error:
                    self._check_open()
                    raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        self._check_open()
        await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        self._check_open()
        await trio.lowlevel.checkpoint()
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError from error

    def close(self) -> None:
        """Close at once: TCP sends what the kernel has. Waiting readers and writers get ClosedResourceError."""
        if self.socket.fileno() != -1:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def aclose(self) -> None:
        """See `close`."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self.socket.fileno() == -1:
            raise trio.ClosedResourceError("this connection is closed")
