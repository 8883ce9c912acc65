"""A stream that is read slowly: what the reader leaves fills the kernel's buffers, and TCP holds the sender back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

_FREE_BYTES: Final = 1024
"""Read at once in the beginning, so that the handshake is nobody's slowness."""
_SIP_BYTES: Final = 256
"""The least that is read at a time; a tenth of a second's worth where that is more."""


class ThrottledStream(trio.abc.Stream):
    """Hands out `bytes_per_s` of what `stream` brings, until `released` says that the time for that is over.

    It owns `stream`. Sending is not slowed down.
    """

    __slots__ = ("_bytes_per_s", "_next_s", "_released", "_sip", "_stream", "_taken")

    def __init__(self, stream: trio.abc.Stream, bytes_per_s: float, released: Callable[[], bool]) -> None:
        self._stream = stream
        self._bytes_per_s = bytes_per_s
        self._released = released
        self._sip = max(_SIP_BYTES, int(bytes_per_s / 10))
        self._taken = 0
        self._next_s = 0.0
        """When the next bytes may be read."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, not before their time. Cancelling loses nothing."""
        while not self._released() and (wait_s := self._next_s - trio.current_time()) > 0:  # noqa: ASYNC110
            await trio.sleep(min(wait_s, 0.1))  # in short naps: nobody tells each of the slow that the run is draining
        sip = max_bytes if self._released() else min(self._sip, max_bytes or self._sip)
        data = bytes(await self._stream.receive_some(sip))
        self._taken += len(data)
        if self._taken > _FREE_BYTES:
            # From now on and not from `_next_s`: who had nothing to read has saved nothing up.
            self._next_s = trio.current_time() + len(data) / self._bytes_per_s
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()
