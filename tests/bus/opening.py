"""How each bus is opened for the tests: a function and a line in `OPENERS` make them all run over another bus."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from scalechat.bus.base import Bus, Event
from scalechat.bus.memory import MemoryBus

HISTORY: Final = 8
"""Messages that every bus under test keeps of a room, at least."""


@dataclass(frozen=True, slots=True)
class OpenBus:
    """A running bus, and what it has delivered to its node."""

    bus: Bus
    events: list[Event]
    settle: Callable[[], Awaitable[None]]
    """Wait until everything accepted so far has been delivered."""
    forget: Callable[[str], Awaitable[None]]
    """Make the bus lose the log of a room that nobody follows, as it may at any time."""


@asynccontextmanager
async def open_memory_bus() -> AsyncIterator[OpenBus]:
    idle_rooms = 16
    bus = MemoryBus(history_messages=HISTORY, idle_rooms=idle_rooms)
    events: list[Event] = []

    async def forget(room: str) -> None:
        for n in range(idle_rooms + 1):
            await bus.publish(f"filler-{n}", "filler", f"so that {room} is the least recently used")

    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run, events.append)
        yield OpenBus(bus, events, trio.testing.wait_all_tasks_blocked, forget)
        nursery.cancel_scope.cancel()


OPENERS: Final[dict[str, Callable[[], AbstractAsyncContextManager[OpenBus]]]] = {"memory": open_memory_bus}
