"""How each bus is opened for the tests: a function and a line in `OPENERS` make them all run over another bus."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from scalechat.bus.base import Bus, Event
from scalechat.bus.memory import MemoryBus
from scalechat.bus.redis.address import parse_address
from scalechat.bus.redis.bus import RedisBus
from scalechat.bus.redis.calls import DEADLINE_S
from scalechat.bus.redis.keeping import Keeping
from scalechat.bus.redis.keys import shard_of
from tests.bus.redis_cluster import RedisCluster
from tests.bus.redis_server import RedisServer

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


KEEPING: Final = Keeping(history_messages=HISTORY, stream_entries=1_000)


@asynccontextmanager
async def open_redis_node(
    redis: RedisServer | RedisCluster, *, lease_s: int = KEEPING.lease_s, deadline_s: float = DEADLINE_S
) -> AsyncIterator[OpenBus]:
    """One more node on a Redis that is there."""

    async def forget(room: str) -> None:
        shard = shard_of(room)
        redis.cli("del", shard.room(room).decode(), shard.log(room).decode())  # A cluster's other servers decline.

    keeping = replace(KEEPING, lease_s=lease_s)
    async with open_redis_url(redis.url, keeping, deadline_s=deadline_s, forget=forget) as node:
        yield node


@asynccontextmanager
async def open_redis_url(
    url: str,
    keeping: Keeping = KEEPING,
    *,
    deadline_s: float = DEADLINE_S,
    forget: Callable[[str], Awaitable[None]] | None = None,
) -> AsyncIterator[OpenBus]:
    """A node on whatever Redis is there."""
    bus = RedisBus(parse_address(url), keeping, deadline_s=deadline_s)
    events: list[Event] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run, events.append)
        yield OpenBus(bus, events, bus.wait_caught_up, forget or _forget_nothing)
        nursery.cancel_scope.cancel()


async def _forget_nothing(_room: str) -> None:
    raise NotImplementedError("nobody can reach into this Redis")


@asynccontextmanager
async def open_redis_bus(redis: RedisServer | RedisCluster) -> AsyncIterator[OpenBus]:
    redis.cli("flushall")
    async with open_redis_node(redis) as node:
        yield node


Opener = Callable[[], AbstractAsyncContextManager[OpenBus]]
FixtureValue = Callable[[str], RedisServer | RedisCluster]
OPENERS: Final[dict[str, Callable[[FixtureValue], Opener]]] = {
    "memory": lambda _: open_memory_bus,
    "redis": lambda of: partial(open_redis_bus, of("redis")),
    "redis cluster": lambda of: partial(open_redis_bus, of("cluster")),
}
