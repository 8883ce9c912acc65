"""How a run ends before its time: somebody interrupts it, or there is no server left to load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class Interruption:
    """Somebody's wish to end a run: the first request stops publishing, the second also the waiting."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.hurry = trio.Event()

    def request(self) -> None:
        """Ctrl-C, SIGTERM."""
        (self.hurry if self.asked.is_set() else self.asked).set()


class Ending:
    """Whether a run goes on. Every wait of its phases goes through `unless_over`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` is called with the reason, once, when the run ends early."""
        self._tell = tell
        self._over = trio.Event()
        self.why: str | None = None
        """Why it ended early, for a person."""

    @property
    def is_early(self) -> bool:
        """The run is to end before its time."""
        return self._over.is_set()

    def end(self, why: str) -> None:
        """End it; the first reason counts."""
        if not self._over.is_set():
            self.why = why
            self._over.set()
            self._tell(why)

    async def unless_over(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait, but not beyond the end."""
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self._over.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await wait()
            nursery.cancel_scope.cancel()
