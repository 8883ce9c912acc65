"""A WebSocket peer that may break every rule: it writes any bytes, and reads what a server says frame by frame.

It shares no code with the server: what it builds and parses is RFC 6455 once more.
"""

import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import trio

Said = dict[str, Any]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
MASK = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True, slots=True)
class Closed:
    """A Close frame; a connection that ended without one is `LOST`."""

    code: int
    reason: str


LOST = Closed(1006, "")


@dataclass(frozen=True, slots=True)
class Frame:
    opcode: int
    payload: bytes

    @property
    def said(self) -> Said:
        """A text frame's JSON."""
        value: Said = json.loads(self.payload)
        return value

    @property
    def closed(self) -> Closed:
        """A Close frame's content."""
        if not self.payload:
            return Closed(1005, "")
        return Closed(int.from_bytes(self.payload[:2], "big"), self.payload[2:].decode())


def request(target: str = "/ws", headers: Mapping[str, str] = NO_HEADERS, *, v1: bool = False) -> bytes:
    """A valid upgrade request. `headers` are added or take the place of its own; empty ones are left out."""
    lines = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(b"sixteen bytes ok").decode(),
        "Sec-WebSocket-Version": "13",
    }
    if v1:
        lines["Sec-WebSocket-Protocol"] = "scalechat.v1"
    lines |= headers
    head = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items() if value)]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """One frame, right or wrong."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size <= 125:
        length = bytes([mask_bit | size])
    elif size <= 0xFFFF:
        length = struct.pack("!BH", mask_bit | 126, size)
    else:
        length = struct.pack("!BQ", mask_bit | 127, size)
    first = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if not masked:
        return first + length + payload
    return first + length + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def said(**value: object) -> bytes:
    """One good text frame that holds `value` as JSON."""
    return frame(TEXT, json.dumps(value, ensure_ascii=False).encode())


def plain(client_id: str, message: str) -> bytes:
    """What a client of the plain dialect says."""
    return said(clientId=client_id, Message=message)


class RoughPeer:
    """One connection. Reading raises EOFError where the server's bytes end."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._unread = b""
        self.pongs: list[bytes] = []
        """Payloads of the Pongs that `hear` and `ended` came across."""
        self.pings = 0
        """Pings that they answered."""

    async def send(self, *parts: bytes) -> None:
        """Write everything in one segment."""
        await self.stream.send_all(b"".join(parts))

    async def knock(self, target: str = "/ws", headers: Mapping[str, str] = NO_HEADERS, *, v1: bool = False) -> int:
        """Ask to come in; returns the status of the answer."""
        await self.send(request(target, headers, v1=v1))
        return (await self.answer())[0]

    async def enter(self, target: str = "/ws", *, v1: bool = False) -> None:
        """Come in."""
        assert await self.knock(target, v1=v1) == 101

    async def answer(self, *, to_head: bool = False) -> tuple[int, Mapping[str, str], bytes]:
        """The head of an HTTP answer and its body, which has a content-length or none; to HEAD there is none."""
        while b"\r\n\r\n" not in self._unread:
            await self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if to_head else int(headers.get("content-length", 0))
        return int(status.split()[1]), headers, await self._take(length)

    async def frame(self) -> Frame:
        """The next frame of any kind."""
        first, second = await self._take(2)
        assert first & 0x70 == 0, "a server never sets reserved bits"
        assert second < 0x80, "a server never masks"
        assert first & 0x80, "our server never fragments"
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", await self._take(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", await self._take(8))
        return Frame(first & 0x0F, await self._take(length))

    async def hear(self) -> Said:
        """The next thing said, as JSON; answers Pings on the way. A Close frame fails the test."""
        while True:
            got = await self.frame()
            if got.opcode == TEXT:
                return got.said
            if got.opcode == CLOSE:
                raise AssertionError(f"closed instead: {got.closed}")
            await self.answer_control(got)

    async def hear_all(self, count: int) -> list[Said]:
        return [await self.hear() for _ in range(count)]

    async def ended(self) -> Closed:
        """Read past everything to the end, and tell how the server closed."""
        try:
            while (got := await self.frame()).opcode != CLOSE:
                await self.answer_control(got)
        except (EOFError, trio.BrokenResourceError):
            return LOST
        return got.closed

    async def at_eof(self) -> bool:
        """Whether the very next thing is the end of the stream."""
        try:
            await self._take(1)
        except (EOFError, trio.BrokenResourceError):
            return True
        return False

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)

    async def answer_control(self, got: Frame) -> None:
        """What a well-behaved client does about a Ping or a Pong."""
        if got.opcode == PONG:
            self.pongs.append(got.payload)
        elif got.opcode == PING:
            self.pings += 1
            await self.send(frame(PONG, got.payload))

    async def _take(self, count: int) -> bytes:
        while len(self._unread) < count:
            await self._more()
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    async def _more(self) -> None:
        data = await self.stream.receive_some(65_536)
        if not data:
            raise EOFError
        self._unread += data


@asynccontextmanager
async def rough_peer(port: int, *, small_window: bool = False) -> AsyncIterator[RoughPeer]:
    """A peer over TCP, cut at the end; with a small window it takes little before it reads."""
    sock = trio.socket.socket()
    if small_window:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    with sock:
        await sock.connect(("127.0.0.1", port))
        peer = RoughPeer(trio.SocketStream(sock))
        try:
            yield peer
        finally:
            await peer.aclose()
