"""When a busy bus talks to Redis: at ticks that all its connections share.

What a round trip costs this process is mostly the waking up, whatever it brings. Writers that send at the same moment
as readers ask are woken together, and Redis answers them together: half as many wake-ups as with a pace for each.
"""

from __future__ import annotations

from typing import Final

import trio

TICK_S: Final = 0.003
"""What is published waits for one tick at most to be sent and, on a busy node, for another to be read: together well
below the 10 ms within which a message should be on another node."""


async def wait_tick(after_s: float) -> None:
    """Wait for the first tick after `after_s`, if it is still to come: not on a quiet bus, which does all at once."""
    tick_s = (after_s // TICK_S + 1) * TICK_S
    if tick_s > trio.current_time():
        await trio.sleep_until(tick_s)
