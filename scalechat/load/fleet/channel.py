"""How one end of a fleet speaks to another: whole messages, in order, each once, until either end is gone."""

from __future__ import annotations

import struct
from typing import Final, Protocol

import trio

_LENGTH: Final = struct.Struct("<I")
MAX_FRAME: Final = 64 * 1024 * 1024
"""The largest message is a report or an account: 8 bytes a publisher, and 2.4 kB for each histogram. What grows with
the run is told in portions."""
_READ: Final = 64 * 1024
SIGN_S: Final = 1.0
"""Between two signs of life: a worker pings so often, from its orders to the end of the run, and is answered."""
SILENCE_S: Final = 10.0
"""Whoever is silent for so long is gone, for either end. These are ten pings in a row: a process that gets no core for
ten seconds measures nothing that could be believed, and what takes a coordinator long it does in a thread beside its
answers. Longer than a Redis may be away, see `redis_channel.AWAY_S`, so that it is Redis that gets the blame."""


class Gone(Exception):
    """The other end is not there any more; the text says why, when that is known."""


class Channel(Protocol):
    """One task sends, one receives. A cancelled call leaves the channel useless."""

    async def send(self, frame: bytes) -> None:
        """Hand over one message; waits while the other end does not take it. Raises `Gone`."""
        ...

    async def receive(self) -> bytes:
        """The next message. Raises `Gone`."""
        ...


class StreamChannel:
    """Messages over a byte stream, each after its length (4 bytes, little-endian)."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def send(self, frame: bytes) -> None:
        """See `Channel`."""
        try:
            await self._stream.send_all(_LENGTH.pack(len(frame)) + frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Gone from error

    async def receive(self) -> bytes:
        """See `Channel`."""
        (length,) = _LENGTH.unpack(await self._take(_LENGTH.size))
        if length > MAX_FRAME:
            raise Gone
        return await self._take(length)

    async def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            try:
                more = await self._stream.receive_some(_READ)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise Gone from error
            if not more:
                raise Gone
            self._received += more
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken
