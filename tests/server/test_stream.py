"""Our TCP stream: Trio's own checks of what a stream is, and what it does more."""

import operator
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from scalechat.server.stream import TcpStream


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected, non-blocking sockets."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    return ours, theirs


class PoliteStream(TcpStream):
    """With what Trio's checks insist on and our two callers need not be told: one sender, nothing after EOF."""

    __slots__ = ("_ended", "_sending")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._ended = self._sending = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError
        return await super().receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._alone():
            if self._ended:
                raise trio.ClosedResourceError
            await super().send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        with self._alone():
            await super().wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        with self._alone():
            self._ended = True
            await super().send_eof()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._sending:
            raise trio.BusyResourceError
        self._sending = True
        try:
            yield
        finally:
            self._sending = False


async def _streams() -> tuple[TcpStream, TcpStream]:
    ours, theirs = pair()
    return PoliteStream(ours), PoliteStream(theirs)


async def _clogged() -> tuple[TcpStream, TcpStream]:
    streams = await _streams()
    for stream in streams:
        fill(stream)
    return streams


def fill(stream: TcpStream) -> None:
    """Write until the socket takes no more."""
    with suppress(BlockingIOError):
        while True:
            stream.send_now(bytes(65_536))


async def test_it_is_a_stream_as_trio_understands_it() -> None:
    """Trio's own checks of a half-closeable stream; over a Unix socket, because TCP's buffers grow while one looks."""
    await check_half_closeable_stream(_streams, _clogged)


async def test_a_tcp_connection_sends_without_delay() -> None:
    """Frames are written whole: Nagle's algorithm would only hold them back."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as sock:
        stream = TcpStream(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        stream.close()


async def test_a_full_socket_takes_nothing_and_says_so() -> None:
    """`send_now` never blocks: BlockingIOError when the peer does not read, another error when it is gone."""
    ours, theirs = pair()
    stream = TcpStream(ours)
    assert stream.send_now(b"hello") == 5
    fill(stream)
    with pytest.raises(BlockingIOError):
        stream.send_now(b"x")
    theirs.close()
    with pytest.raises(OSError, match=r"reset|pipe"):
        stream.send_now(b"x")
    stream.close()


async def test_closing_wakes_who_waits() -> None:
    """A reader and a writer that wait learn at once that their stream was closed under them; twice is once."""
    ours, theirs = pair()
    stream = TcpStream(ours)
    fill(stream)
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()

        async def write() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"x")

        nursery.start_soon(read)
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        stream.close()
    stream.close()
    theirs.close()


async def test_two_readers_are_found_out() -> None:
    """Reading from two tasks is an error of ours and said so."""
    ours, theirs = pair()
    stream = TcpStream(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.receive_some)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await stream.receive_some()
        theirs.close()
    stream.close()
