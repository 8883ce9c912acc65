"""Letters between a worker and its coordinator: written at once, sent when the channel takes them."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from scalechat.load.fleet.channel import Channel
from scalechat.load.fleet.messages import Counted, FromCoordinator, FromWorker, Ping, Progress, encode

_CROWD: Final = 16
"""From so many waiting letters on, what comes again anyway (progress, counts, pings) is left out. The others need no
bound: a run says each of them once."""


class Post:
    """Messages in the order they were written. `run` must run."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: deque[FromWorker | FromCoordinator] = deque()
        self._written = trio.Event()
        self._emptied = trio.Event()

    def tell(self, message: FromWorker | FromCoordinator) -> None:
        """Write a message."""
        if isinstance(message, Progress | Counted | Ping) and len(self._waiting) >= _CROWD:
            return
        self._waiting.append(message)
        self._written.set()

    async def sent(self) -> None:
        """Return when everything written so far has been handed over."""
        while self._waiting:
            await self._emptied.wait()

    async def run(self) -> None:
        """Send until cancelled. Raises `Gone`."""
        while True:
            while self._waiting:
                await self._channel.send(encode(self._waiting[0]))
                self._waiting.popleft()
            self._emptied.set()
            self._emptied, self._written = trio.Event(), trio.Event()
            await self._written.wait()
