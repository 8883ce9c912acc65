"""A server whose every delivery is known, because it counts them itself: what a meter is held against."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

_STAMP = re.compile(rb'("Message":")([0-9a-f]{16})')


@dataclass(slots=True)
class KnownServer:
    """Rooms by the query string; every text frame goes to everyone in the room, its sender too."""

    drop_every: int = 0
    """Every so-manieth delivery is kept back."""
    deaf: int | None = None
    """This client gets nothing."""
    refused: int | None = None
    """This client is not let in."""
    cut_off: int | None = None
    """This client's connection is closed after its first delivery."""
    age_ns: int = 0
    """Messages look older by this."""
    chop: int = 65_536
    """Bytes go out in pieces of this size."""
    ping: bool = False
    """Each client gets a Ping first."""
    nats: bool = False

    published: int = 0
    delivered: int = 0
    dropped: int = 0
    pongs: int = 0
    sizes: set[int] = field(default_factory=set)
    rooms: dict[bytes, dict[int, trio.SocketStream]] = field(default_factory=lambda: defaultdict(dict))
    writing: trio.Lock = field(default_factory=trio.Lock)

    async def handle(self, stream: trio.SocketStream) -> None:
        try:
            await self._serve(stream, Incoming(stream))
        except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            pass  # The meter is done.
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.SocketStream, incoming: Incoming) -> None:
        head = await incoming.until(b"\r\n\r\n")
        asked = re.search(rb"\?clientId=c(\d+)&room=(\w+) ", head)
        assert asked is not None
        client, room = int(asked[1]), asked[2]
        if client == self.refused:
            await stream.send_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            return
        self.rooms[room][client] = stream
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        if self.ping:
            await self._send(stream, frame(b"still there?", opcode=9))
        while True:
            opcode, payload = await incoming.frame()
            if opcode == 10:
                assert payload == b"still there?"
                self.pongs += 1
            elif self.nats:
                await self._take_nats(stream, payload)
            else:
                await self._publish(room, payload, frame)

    async def _take_nats(self, stream: trio.SocketStream, payload: bytes) -> None:
        if payload.startswith(b"CONNECT "):
            assert payload.endswith(b"\r\nPING\r\n")
            await self._send(stream, frame(b'INFO {"server":"known"}\r\nPING\r\nPONG\r\n'))
        elif payload != b"PONG\r\n":
            command, _, body = payload.partition(b"\r\n")
            word, subject, size = command.split()
            assert word == b"PUB"
            assert len(body) == int(size) + 2
            # Frame borders mean nothing to NATS: one message in two of them.
            await self._publish(
                subject,
                body.removesuffix(b"\r\n"),
                lambda text: frame(b"MSG %s 1 %d\r\n" % (subject, len(text)) + text[:50]) + frame(text[50:] + b"\r\n"),
            )

    async def _publish(self, room: bytes, text: bytes, wrap: Callable[[bytes], bytes]) -> None:
        self.published += 1
        self.sizes.add(len(text))
        text = _STAMP.sub(lambda m: m[1] + b"%016x" % (int(m[2], 16) - self.age_ns), text)
        for client, stream in list(self.rooms[room].items()):
            # A publisher that misses its own message would stop publishing.
            sender = b'"c%d"' % client in text
            if client == self.deaf or (self.drop_every and not sender and self._is_next_to_drop()):
                self.dropped += 1
                continue
            try:
                await self._send(stream, wrap(text))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                continue
            self.delivered += 1
            if client == self.cut_off:
                await trio.aclose_forcefully(stream)

    def _is_next_to_drop(self) -> bool:
        return (self.delivered + self.dropped) % self.drop_every == 0

    async def _send(self, stream: trio.SocketStream, data: bytes) -> None:
        async with self.writing:  # Two publications for one client do not mix.
            for at in range(0, len(data), self.chop):
                await stream.send_all(data[at : at + self.chop])


class Incoming:
    """Bytes of one connection, by what is asked of them. Raises EOFError when they end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""

    async def until(self, end: bytes) -> bytes:
        while end not in self._data:
            await self._more()
        found, _, self._data = self._data.partition(end)
        return found

    async def frame(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame, which must be masked, with zeros."""
        first, second = await self._take(2)
        assert second & 0x80
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self._take(2), "big")
        assert await self._take(4) == bytes(4)
        return first & 15, await self._take(length)

    async def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            await self._more()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    async def _more(self) -> None:
        received = await self._stream.receive_some()
        if not received:
            raise EOFError
        self._data += bytes(received)


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A server's frame, in the long form when it must be."""
    if len(payload) < 126:
        return bytes([0x80 | opcode, len(payload)]) + payload
    return bytes([0x80 | opcode, 126]) + len(payload).to_bytes(2, "big") + payload


@asynccontextmanager
async def serving(server: KnownServer) -> AsyncIterator[int]:
    """The server on a free loopback port while entered."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.handle, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
