"""What comes in: whole text frames are taken by us, everything unusual is trio-websocket's business.

Whole text frames are cut out of the received bytes (`wire.frames.WholeFrames`) and their payloads handed to `on_texts`:
6 µs a message instead of the library's 45. Pings are answered, Pongs only prove that the peer lives. All that is one
plain function, `feed`, called by the pump where there is one. Most connections never need more. At the first byte of
anything else (a Close, a fragment, a violation) trio-websocket is brought in over this very stream: it reads the
handshake again, whose answer is dropped, then the unusual bytes, and is the authority for all that follows, while whole
text frames are still taken out in front of it. What it writes goes through the client's `Outbox`, as our prepared
frames do, so both share one write order.

The library closes its stream as soon as it sees a violation, without a Close frame; `aclose` therefore only tells,
and the connection, which knows the right code, closes for good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from scalechat.server.metrics import Counters
from scalechat.server.outbox import Outbox, Outcome
from scalechat.server.pump import RECEIVE_BYTES, Fed, Reading
from scalechat.wire.frames import WholeFrames, is_close_frame, pong_frame

MAX_PASSED_FRAMES_PER_S = 1000
"""Control frames and fragments a second the library is given from one client: each costs it 50 µs, its bytes almost
none."""
MAX_FRAGMENTS = 1000
"""Of one message. The library keeps a list of them, which empty ones could grow for ever below the size limit."""

OnTexts = Callable[[list[bytes], float], Callable[[], Awaitable[None]] | None]
"""Handle messages, as far as that needs no waiting; returns how to finish. The float is `trio.current_time`."""
ReadBy = Callable[[Fed], Reading]
"""Have a socket read by the pump."""


class FrameFlood(Exception):
    """Their fault: more control frames or fragments than any client needs."""


class Transport(trio.abc.Stream):
    """See the module's docstring. `early` is what came behind the request head already."""

    __slots__ = (
        "_counters",
        "_early",
        "_handed",
        "_lane",
        "_library",
        "_on_texts",
        "_read_by",
        "_reader",
        "_reading",
        "_stream",
        "_window_began_s",
        "_window_frames",
        "ended",
        "hungry",
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
        read_by: ReadBy | None = None,
    ) -> None:
        self._stream = stream
        self._early = early
        self._counters = counters
        self._lane = WholeFrames(masked=True, max_payload_bytes=max_message_bytes, on_ping=self._answer_ping)
        self._on_texts = on_texts
        self._library: _Library | None = None
        self._read_by = read_by
        self._reading: Reading | None = None
        self._reader: trio.lowlevel.Task | None = None  # While it waits for bytes from the pump.
        self._handed: _Handed | None = None
        self._window_began_s = self.last_received_s = trio.current_time()
        self._window_frames = 0
        self.hungry = False
        """See `scalechat.server.pump.Fed`."""
        self.ended = False
        """Whether the peer has ended its side of the connection."""
        self.outbox = outbox

    async def receive_unusual(self) -> bytes:
        """Take whole text frames until bytes come that are the library's business; b"" at the end of the stream.

        Raises `FrameFlood` and what the underlying stream raises. Cancellation loses at most messages of a connection
        that is ending anyway.
        """
        if self._early:
            early, self._early = self._early, b""
            self.feed(early, trio.current_time())
        while True:
            if self._handed is not None:
                handed, self._handed = self._handed, None
                if handed.finish is not None:
                    await handed.finish()
                if handed.error is not None:
                    raise handed.error
                if handed.rest or self.ended:
                    return handed.rest
            elif self._read_by is None:
                self.feed(bytes(await self._stream.receive_some(RECEIVE_BYTES)), trio.current_time())
            else:
                await self._wait_fed(self._read_by)

    def feed(self, data: bytes, now_s: float) -> None:
        """Bytes from the peer; b"" is the end of the stream. What has to be waited for is handed to the reader."""
        if not data:
            self.ended = True
            self._hand(_Handed())
            return
        self._counters.bytes_in += len(data)
        self.last_received_s = now_s
        if now_s - self._window_began_s >= 1.0:
            self._window_began_s = now_s
            self._window_frames = self._lane.passed_frames
        payloads, rest = self._lane.feed(data)
        finish = self._on_texts(payloads, now_s) if payloads else None
        if self._lane.passed_frames - self._window_frames > MAX_PASSED_FRAMES_PER_S:
            raise FrameFlood(f"more than {MAX_PASSED_FRAMES_PER_S} control frames or fragments in a second")
        if self._lane.fragments > MAX_FRAGMENTS:
            raise FrameFlood(f"a message in more than {MAX_FRAGMENTS} fragments")
        if finish is not None or rest:
            self._hand(_Handed(finish, rest))

    def fail(self, error: Exception) -> None:
        """See `scalechat.server.pump.Fed`."""
        self._hand(_Handed(error=error))

    def stop_reading(self) -> None:
        """Take the socket back from the pump."""
        if self._reading is not None:
            self._reading.stop()
            self._reading = self._read_by = None

    async def _wait_fed(self, read_by: ReadBy) -> None:
        if self._reading is None:
            self._reading = read_by(self)
        else:
            self._reading.resume()
        self.hungry = True
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._wait_no_more)

    def _wait_no_more(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.hungry = False
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _hand(self, handed: _Handed) -> None:
        self._handed = handed
        self.hungry = False
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

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

    def _answer_ping(self, payload: bytes) -> None:
        self.outbox.offer(pong_frame(payload))  # Over its limits the client is evicted by the next message.


class _Handed(NamedTuple):
    """What only the connection's own task can do: finish messages, then give the library the rest, or raise."""

    finish: Callable[[], Awaitable[None]] | None = None
    rest: bytes = b""
    error: Exception | None = None


class _Library:
    """What a connection needs only once it has handed something to the library."""

    __slots__ = ("close_sent", "on_close", "opened", "request", "unusual")

    def __init__(self, request: bytes, unusual: bytes, on_close: Callable[[], None]) -> None:
        self.request = request
        self.unusual = unusual
        self.on_close = on_close
        self.opened = trio.Event()
        self.close_sent = False
