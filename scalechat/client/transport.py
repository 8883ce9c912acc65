"""The Trio stream under trio-websocket on the client's side: whole text frames take a lane of their own, both ways.

trio-websocket keeps the handshake, control frames, fragments and the closing handshake. In front of it, complete text
frames are taken out of the bytes (`wire.frames.WholeFrames`) and handed over in batches, all frames of one read at
once: under 1 µs a message instead of 45. Behind it, everything it writes and everything `send_nowait` is given goes
through one buffer in one order, so frames never interleave.

Bytes come in one of two ways. Over a bare `trio.abc.Stream` (TLS, memory streams of tests) trio-websocket's reader
pulls them. Over a socket they may be *fed* by whoever watches many sockets at once (`fed=True`); then nobody else may
read it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Generic

import trio

from scalechat.client.outgoing import Outgoing, Traffic, random_mask
from scalechat.client.shared_reader import Follower, SharedReader, T
from scalechat.wire.frames import WholeFrames, leading_text, masked_pong_frame

RECEIVE_BYTES: Final = 120 * 1024
"""One read. A coalescing server's batch of 200 messages arrives at once and is recognised as a whole. With twice as
much a turn of reading what has to be parsed lasts 0.2 s; from 128 KiB on glibc maps memory for each read besides."""
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""Larger frames are left to trio-websocket, which knows how to refuse them."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_SWITCHING: Final = b"HTTP/1.1 101"


class LaneStream(trio.abc.Stream, Generic[T]):
    """See the module's docstring.

    Args:
        stream: the connection; this object owns and closes it.
        nursery: where the rest of an interrupted `send_nowait` is written; the connection's own.
        reader: decodes what the lane takes.
        on_batch: called with each decoded chunk, synchronously; must not raise.
        follower: is asked about frames before they are parsed.
        on_end: called once, when nothing more can come in: end of stream or a broken connection.
        sock: the non-blocking socket under `stream`, for sends without a scheduler hop; None without one.
        fed: bytes come through `feed`.
        binary: the lane takes binary frames instead of text.
        answers_pings: Pings are answered here and Pongs dropped; else both are trio-websocket's.
        traffic: counts what goes over the connection; its own without one.

    Error handling: `send_all` and `receive_some` raise what `stream` raises; `send_nowait` and the background writer
    never raise, they end the connection's usefulness, and `receive_some` tells trio-websocket.
    """

    __slots__ = (
        "_arrived",
        "_eof",
        "_expected",
        "_fed",
        "_follower",
        "_for_library",
        "_head",
        "_lane",
        "_on_batch",
        "_on_close",
        "_on_end",
        "_out",
        "_reader",
        "_stream",
        "traffic",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        nursery: trio.Nursery,
        reader: SharedReader[T],
        on_batch: Callable[[T], None],
        on_end: Callable[[], None],
        follower: Follower | None = None,
        sock: socket.socket | None = None,
        fed: bool = False,
        binary: bool = False,
        answers_pings: bool = False,
        traffic: Traffic | None = None,
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._on_batch = on_batch
        self._on_end = on_end
        self._follower = follower
        self._fed = fed
        self._expected: Callable[[bytes], bytes] | None = None
        """Takes the frames that are known, when the next byte begins one."""
        self._on_close: Callable[[], None] | None = None
        self._lane = WholeFrames(
            masked=False,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            on_ping=self._answer_ping if answers_pings else None,
            binary=binary,
        )
        self._head: bytes | None = b""  # The response's head so far; None when it is complete.
        self._for_library = b""
        self._arrived: trio.Event | None = None  # While the library waits for fed bytes.
        self._eof = False
        self.traffic = Traffic() if traffic is None else traffic
        self._out = Outgoing(stream, nursery, sock, self.traffic, self.feed_error)

    # --- in ----------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes from the peer; b"" is the end of the stream."""
        if not data:
            self._end()
            return
        self.traffic.received_bytes += len(data)
        if self._expected is not None:
            data = self._expected(data)
            if not data:
                return  # The way of nearly every chunk.
            self._follow_on(data)
        elif self._head is None and not self._lane.off:
            self._take_frames(data)
        else:
            self._take_head(data)
        if self._for_library and self._arrived is not None:
            self._arrived.set()

    def feed_error(self) -> None:
        """The connection broke."""
        self._out.broken = True
        self._end()

    def on_close(self, stop_feeding: Callable[[], None]) -> None:
        """`stop_feeding` is to be called before the stream is closed."""
        self._on_close = stop_feeding

    @property
    def ended(self) -> bool:
        """Nothing more can come in."""
        return self._eof

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes that are trio-websocket's business; b"" at the end of the stream."""
        await trio.lowlevel.checkpoint()
        while not self._for_library:
            if self._out.broken:
                raise trio.BrokenResourceError("the connection broke")
            if self._eof:
                return b""
            if self._fed:
                self._arrived = trio.Event()
                await self._arrived.wait()
                self._arrived = None
            else:
                try:
                    data = await self._stream.receive_some(RECEIVE_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.feed_error()
                    raise
                self.feed(bytes(data))
        cut = len(self._for_library) if max_bytes is None else max_bytes
        data, self._for_library = self._for_library[:cut], self._for_library[cut:]
        return data

    def _take_frames(self, data: bytes) -> None:
        if self._lane.buffered_bytes and self._follower is not None:
            data = self._lane.take_back() + data
        if self._follower is not None:
            data = self._follower.follow(data)
        self._follow_on(data)

    def _follow_on(self, data: bytes) -> None:
        """Take whole frames that are for this connection alone, what is known between, and the rest."""
        follower = self._follower
        while data and follower is not None and follower.awaits and (own := leading_text(data)) is not None:
            payload, size = own
            self._on_batch(self._reader.decode([payload]))  # Nobody else gets these bytes.
            data = follower.follow(data[size:])
        if data:
            self._parse(data)
        if follower is not None:
            follower.end_of_read()
        at_border = not self._lane.off and not self._lane.buffered_bytes
        self._expected = follower.follow if follower is not None and at_border else None

    def _parse(self, data: bytes) -> None:
        had_begun = self._lane.buffered_bytes
        if not had_begun:
            known = self._reader.recall(data)
            if known is not None:
                self._on_batch(known)
                return
        payloads, rest = self._lane.feed(data)
        if payloads:
            whole = not (had_begun or rest or self._lane.buffered_bytes)
            self._on_batch(self._reader.learn(data, payloads) if whole else self._reader.decode(payloads))
        self._for_library += rest

    def _take_head(self, data: bytes) -> None:
        """Everything up to the end of the response's head is trio-websocket's; frames may follow in the same read."""
        if self._head is None or self._lane.off:
            self._for_library += data
            return
        self._head += data
        end = self._head.find(_END_OF_HEAD)
        if end < 0:
            self._for_library += data
            return
        after = len(self._head) - end - len(_END_OF_HEAD)
        early = data[len(data) - after :]
        self._for_library += data[: len(data) - after]
        if not self._head.startswith(_SWITCHING):
            self._lane.off = True  # Not a WebSocket: what follows is the body of a refusal.
        self._head = None
        if early:
            self._take_head(early) if self._lane.off else self._take_frames(early)

    def _end(self) -> None:
        if not self._eof:
            self._eof = self._out.ended = True
            if self._arrived is not None:
                self._arrived.set()
            self._on_end()

    # --- out ---------------------------------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """What waits for the peer to read."""
        return self._out.unsent_bytes

    def send_nowait(self, frame: bytes) -> bool:
        """Send a whole frame, or leave what the socket does not take to a background task.

        Returns False, with nothing sent, when the connection cannot take it: closed, broken, or `MAX_UNSENT_BYTES`
        wait.
        """
        return self._out.send_nowait(frame)

    def _answer_ping(self, payload: bytes) -> None:
        self.send_nowait(masked_pong_frame(payload, random_mask()))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write what trio-websocket says, after everything that was accepted before."""
        await self._out.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the connection; never waits for the peer."""
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()
        self._out.broken = True
        self._end()
        await self._stream.aclose()
