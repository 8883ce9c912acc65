"""Everything that goes out over one connection: one buffer, one order, and never more than one writer."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

MAX_UNSENT_BYTES: Final = 1024 * 1024
"""What may wait for a peer that does not read, beyond the kernel's buffers; `send_nowait` refuses from there on."""


def random_mask() -> bytes:
    """Any mask would do for a server that is not attacked through us (RFC 6455 section 10.3); this one is cheap."""
    return random.getrandbits(32).to_bytes(4, "little")


@dataclass(slots=True)
class Traffic:
    """Bytes on the wire, of one connection or of many."""

    received_bytes: int = 0
    sent_bytes: int = 0


class Outgoing:
    """The outgoing half of `transport.LaneStream`, which says what its arguments are.

    `on_broken` is called when a send found the connection broken. A cancelled write leaves half a frame on the wire:
    from then on nothing more is written.
    """

    __slots__ = ("_nursery", "_on_broken", "_sock", "_stream", "_traffic", "_unsent", "_writer_gone", "broken", "ended")

    def __init__(
        self,
        stream: trio.abc.Stream,
        nursery: trio.Nursery,
        sock: socket.socket | None,
        traffic: Traffic,
        on_broken: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._nursery = nursery
        self._sock = sock
        self._traffic = traffic
        self._on_broken = on_broken
        self._unsent = b""
        self._writer_gone: trio.Event | None = None  # While somebody writes.
        self.ended = False
        """Nothing more comes from the peer, so `send_nowait` begins nothing; a closing handshake may yet be written."""
        self.broken = False
        """Nothing more can be written."""

    @property
    def unsent_bytes(self) -> int:
        """What waits for the peer to read."""
        return len(self._unsent)

    def send_nowait(self, frame: bytes) -> bool:
        """See `LaneStream.send_nowait`."""
        if self.broken or self.ended or len(self._unsent) > MAX_UNSENT_BYTES:
            return False
        self._traffic.sent_bytes += len(frame)
        if self._writer_gone is not None:
            self._unsent += frame
            return True
        sent = 0
        if self._sock is not None:
            try:
                sent = self._sock.send(frame)
            except BlockingIOError:
                pass
            except OSError:
                self._on_broken()
                return False
        if sent < len(frame):
            self._unsent = frame[sent:]
            self._writer_gone = trio.Event()
            self._nursery.start_soon(self._write_in_background)
        return True

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write this after everything that was accepted before."""
        while self._writer_gone is not None:
            await self._writer_gone.wait()
        self._traffic.sent_bytes += len(data)
        self._unsent += bytes(data)
        self._writer_gone = trio.Event()
        await self._write()

    async def _write(self) -> None:
        """Write until nothing is left. The caller has made `_writer_gone`; there is never a second writer."""
        try:
            if self.broken:
                raise trio.BrokenResourceError("an earlier write was cut short")
            while self._unsent:
                data, self._unsent = self._unsent, b""
                await self._stream.send_all(data)
        except BaseException:  # Cancelled as well: nobody knows how much of the frame went out.
            self.broken = True
            self._unsent = b""
            raise
        finally:
            assert self._writer_gone is not None
            self._writer_gone.set()
            self._writer_gone = None

    async def _write_in_background(self) -> None:
        try:
            await self._write()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._on_broken()
