"""Between two probes: wait until the server is itself again, so that no probe pays for the one before.

The measure is one every server has: how long it takes to greet a newcomer. It is calm when it greets about as fast as
before the first probe, several times in a row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

import trio

from scalechat.config import OperationalError

Greet = Callable[[], Awaitable[None]]
"""Connect once and leave again; raises `OperationalError` when there is no server."""

IN_A_ROW: Final = 3
BETWEEN_S: Final = 0.2
SLOWER: Final = 3.0
"""Times the usual: a factor that ordinary jitter stays below and a server with a backlog does not."""
ALWAYS_FAST_S: Final = 0.02
"""Nothing below that is a sign of trouble."""


@dataclass(slots=True)
class Calm:
    """Remembers how the server greets when it is at rest."""

    greet: Greet
    timeout_s: float
    usual_s: float = 0.0

    async def learn(self) -> None:
        """Before the first probe."""
        self.usual_s = median([await self._greeting_s() for _ in range(IN_A_ROW)])

    async def wait(self) -> bool:
        """Return when the server is calm; False when it was not within `timeout_s` seconds.

        Raises:
            OperationalError: there was no server for all that time.
        """
        away: OperationalError | None = None
        fast = 0
        with trio.move_on_after(self.timeout_s):
            while fast < IN_A_ROW:
                try:
                    took_s = await self._greeting_s()
                except OperationalError as error:  # restarting, or its backlog is full
                    away, fast = error, 0
                else:
                    away = None
                    fast = fast + 1 if took_s <= max(SLOWER * self.usual_s, ALWAYS_FAST_S) else 0
                await trio.sleep(BETWEEN_S)
            return True
        if away is not None:
            raise away
        return False

    async def _greeting_s(self) -> float:
        begin = trio.current_time()
        await self.greet()
        return trio.current_time() - begin
