"""The Trio stream under trio-websocket: its lane for everything unusual, our lane for whole text frames.

trio-websocket keeps the handshake, control frames, fragments and the closing handshake. In front of it, `receive_some`
takes whole text frames out of the bytes (`wire.frames.WholeFrames`) and hands their payloads to `on_texts`: 6 µs a
message instead of 45. Behind it, everything it writes goes through the client's `Outbox`, as our prepared frames do, so
both lanes share one write order.

Two things the library does are held back here. It closes the stream as soon as it sees a violation, without a Close
frame; `aclose` therefore only notes that, and the connection, which knows the right code, closes for good. And it reads
on before its handshake was answered; frames that arrive early wait for `open_lane`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from scalechat.server.metrics import Counters
from scalechat.server.outbox import Outbox, Outcome
from scalechat.wire.frames import WholeFrames, is_close_frame

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
    """See the module's docstring. `request` is the head that the listener has read, `early` what came behind it."""

    __slots__ = (
        "_counters",
        "_early",
        "_lane",
        "_lane_open",
        "_on_library_close",
        "_on_texts",
        "_request",
        "_stream",
        "_window_began_s",
        "_window_frames",
        "close_sent",
        "last_received_s",
        "outbox",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        request: bytes,
        early: bytes,
        outbox: Outbox,
        counters: Counters,
        max_message_bytes: int,
        on_texts: OnTexts,
        on_library_close: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._counters = counters
        self._request = request
        self._early = early
        self._lane = WholeFrames(masked=True, max_payload_bytes=max_message_bytes)
        self._lane_open: trio.Event | None = trio.Event()
        self._on_texts = on_texts
        self._on_library_close = on_library_close
        self._window_began_s = self.last_received_s = trio.current_time()
        self._window_frames = 0
        self.outbox = outbox
        self.close_sent = False
        """Whether a Close frame has been handed to the peer's outbox, by the library or by us."""

    def open_lane(self) -> None:
        """The handshake is answered: messages may be taken from now on."""
        if self._lane_open is not None:
            self._lane_open.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 (the interface has it)
        """The next bytes that are the library's business, b"" at the end; `max_bytes` is not looked at.

        Raises `FrameFlood` and what the underlying stream raises. Cancellation loses at most messages of a connection
        that is ending anyway.
        """
        if self._request:
            request, self._request = self._request, b""
            return request
        if self._lane_open is not None:
            # The handshake deadline bounds this wait. Meanwhile frames wait in the kernel, not in our memory.
            await self._lane_open.wait()
            self._lane_open = None
            early, self._early = self._early, b""
            if early and (rest := await self._take(early)):
                return rest
        while True:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            if not data:
                return b""
            if rest := await self._take(bytes(data)):
                return rest

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

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send or queue what the library writes; raises BrokenResourceError when it can be neither."""
        await trio.lowlevel.checkpoint()
        frame = bytes(data)
        if is_close_frame(frame):
            self.close_sent = True
        if self.outbox.offer(frame) not in (Outcome.SENT, Outcome.QUEUED):
            raise trio.BrokenResourceError("the client's outbox is full or closed")

    async def wait_send_all_might_not_block(self) -> None:
        """Never blocks: what cannot be sent is queued or refused."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Only tells that the library is done; the connection closes the stream itself."""
        self._on_library_close()
        await trio.lowlevel.checkpoint()
