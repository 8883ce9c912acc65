"""Lines of text over a pipe."""

from __future__ import annotations

import trio

LINE_BYTES = 2**20
"""A job is 2 kB, and a longer one has many origins or room policies."""


class Lines:
    """What the other end of a pipe writes, line by line."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._data = bytearray()

    async def next(self) -> str | None:
        """The next line, or None when the other end is gone."""
        while b"\n" not in self._data:
            received = await self._stream.receive_some()
            self._data += received
            if not received or len(self._data) > LINE_BYTES:
                return None
        line, _, rest = self._data.partition(b"\n")
        self._data = rest
        return line.decode(errors="replace")
