"""What comes in: whole text frames are taken by us, everything unusual is trio-websocket's business.

Whole text frames are cut out of the received bytes (`wire.frames.WholeFrames`) and their payloads handed to
`on_texts`: 6 µs a message instead of the library's 45. Pings are answered, Pongs only prove that the peer lives. Most
connections never need more. At the first byte of anything else (a Close, a fragment, a violation) trio-websocket is
brought in over this very stream: it reads the handshake again, whose answer is dropped, then the unusual bytes, and
is the authority for all that follows, while whole text frames are still taken out in front of it. What it writes goes
through the client's `Outbox`, as our prepared frames do, so both share one write order.

The library closes its stream as soon as it sees a violation, without a Close frame; `aclose` therefore only tells,
and the connection, which knows the right code, closes for good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from scalechat.server.metrics import Counters
from scalechat.server.outbox import Outbox, Outcome
from scalechat.wire.frames import WholeFrames, is_close_frame, pong_frame

RECEIVE_BYTES = 16 * 1024
"""One read: a burst of some 60 messages of 256 bytes. trio-websocket's own 4 KiB costs large messages four reads."""
MAX_PASSED_FRAMES_PER_S = 1000
"""Control frames and fragments a second the library is given from one client: each costs it 50 µs, its bytes almost
none."""
MAX_FRAGMENTS = 1000
"""Of one message. The library keeps a list of them, which empty ones could grow for ever below the size limit."""

OnTexts = Callable[[list[bytes]], Awaitable[None]]


class FrameFlood(Exception):
    """Their fault: more control frames or fragments than any client needs."""


class Transport(trio.abc.Stream):
    """See the module's docstring. `early` is what came behind the request head already."""

    __slots__ = (
        "_counters",
        "_early",
        "_lane",
        "_library",
        "_on_texts",
        "_stream",
        "_window_began_s",
        "_window_frames",
        "ended",
        "last_received_s",
        "outbox",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        early: bytes,
        outbox: Outbox,
        counters: Counters,
        max_message_bytes: int,
        on_texts: OnTexts,
    ) -> None:
        self._stream = stream
        self._early = early
        self._counters = counters
        self._lane = WholeFrames(masked=True, max_payload_bytes=max_message_bytes, on_ping=self._answer_ping)
        self._on_texts = on_texts
        self._library: _Library | None = None
        self._window_began_s = self.last_received_s = trio.current_time()
        self._window_frames = 0
        self.ended = False
        """Whether the peer has ended its side of the connection."""
        self.outbox = outbox

    async def receive_unusual(self) -> bytes:
        """Take whole text frames until bytes come that are the library's business; b"" at the end of the stream.

        Raises `FrameFlood` and what the underlying stream raises. Cancellation loses at most messages of a connection
        that is ending anyway.
        """
        early, self._early = self._early, b""
        if early and (rest := await self._take(early)):
            return rest
        while True:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            if not data:
                self.ended = True
                return b""
            if rest := await self._take(bytes(data)):
                return rest

    # --- the stream that the library sees ---------------------------------------------------------------------------

    def replay(self, request: bytes, unusual: bytes, on_close: Callable[[], None]) -> None:
        """Prepare for the library: it reads `request` first and, after `open_library`, `unusual` and what follows."""
        self._library = _Library(request, unusual, on_close)

    def open_library(self) -> None:
        """The library has said its answer to the handshake, which the peer has had from us long ago."""
        assert self._library is not None
        self._library.opened.set()

    @property
    def close_sent(self) -> bool:
        """Whether the library has answered with a Close frame."""
        return self._library is not None and self._library.close_sent

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 (the interface has it)
        """The request, once, then the next bytes that are the library's business; `max_bytes` is not looked at."""
        library = self._library
        assert library is not None
        if library.request:
            request, library.request = library.request, b""
            return request
        await library.opened.wait()
        if library.unusual:
            unusual, library.unusual = library.unusual, b""
            return unusual
        return await self.receive_unusual()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send or queue what the library writes; raises BrokenResourceError when it can be neither."""
        await trio.lowlevel.checkpoint()
        library = self._library
        assert library is not None
        if not library.opened.is_set():
            return
        frame = bytes(data)
        if is_close_frame(frame):
            library.close_sent = True
        if self.outbox.offer(frame) not in (Outcome.SENT, Outcome.QUEUED):
            raise trio.BrokenResourceError("the client's outbox is full or closed")

    async def wait_send_all_might_not_block(self) -> None:
        """Never blocks: what cannot be sent is queued or refused."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Only tells that the library is done; the connection closes the stream itself."""
        assert self._library is not None
        self._library.on_close()
        await trio.lowlevel.checkpoint()

    async def _take(self, data: bytes) -> bytes:
        self._counters.bytes_in += len(data)
        self.last_received_s = trio.current_time()
        if self.last_received_s - self._window_began_s >= 1.0:
            self._window_began_s = self.last_received_s
            self._window_frames = self._lane.passed_frames
        payloads, rest = self._lane.feed(data)
        if payloads:
            await self._on_texts(payloads)
        if self._lane.passed_frames - self._window_frames > MAX_PASSED_FRAMES_PER_S:
            raise FrameFlood(f"more than {MAX_PASSED_FRAMES_PER_S} control frames or fragments in a second")
        if self._lane.fragments > MAX_FRAGMENTS:
            raise FrameFlood(f"a message in more than {MAX_FRAGMENTS} fragments")
        return rest

    def _answer_ping(self, payload: bytes) -> None:
        self.outbox.offer(pong_frame(payload))  # Over its limits the client is evicted by the next message.


class _Library:
    """What a connection needs only once it has handed something to the library."""

    __slots__ = ("close_sent", "on_close", "opened", "request", "unusual")

    def __init__(self, request: bytes, unusual: bytes, on_close: Callable[[], None]) -> None:
        self.request = request
        self.unusual = unusual
        self.on_close = on_close
        self.opened = trio.Event()
        self.close_sent = False
