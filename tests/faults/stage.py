"""Three nodes on one Redis with people in the rooms: what every fault is played on."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from ..e2e.scrape import prober
from .crew import MARK, Crew
from .ledger import Account, Ledger
from .network import Balancer, Wire, listen
from .processes import NodePart, RedisPart, running

NODES: Final = 3
ROOMS: Final = 3
TALKERS: Final = 2
LISTENERS: Final = 3
"""In each room."""
RECOVERY_S: Final = 30.0
"""What takes longer has not recovered."""
LOOK_S: Final = 0.02


class NotRecovered(Exception):
    """A promise about time is broken; the text says which."""


@dataclass(frozen=True, slots=True)
class Stage:
    """See the module's docstring. `wire` lies between the nodes and `redis`."""

    nodes: list[NodePart]
    redis: RedisPart
    wire: Wire
    balancer: Balancer
    crew: Crew
    ledger: Ledger
    chance: random.Random
    parts: trio.Nursery
    """Where what was killed is started again."""
    idle_tasks: int
    """Of a node that nobody has visited yet."""

    async def recovery_s(self) -> float:
        """Wait until every listener hears what was said from now on; how long that took."""
        since_s = trio.current_time()
        with trio.move_on_after(RECOVERY_S):
            while (seconds := self.ledger.recovered_after_s(since_s)) is None:  # noqa: ASYNC110  Nobody sets an event.
                await trio.sleep(LOOK_S)
            return seconds
        raise NotRecovered(f"after {RECOVERY_S:g} s somebody still hears nothing new\n{self.last_words()}")

    async def left_behind(self) -> int:
        """Let everybody leave; how many tasks the nodes then have more than when they were started."""
        self.crew.leave()
        more = 0
        with trio.move_on_after(RECOVERY_S):
            while (more := sum([await tasks_of(node) - self.idle_tasks for node in self.nodes])) > 0:  # noqa: ASYNC110
                await trio.sleep(10 * LOOK_S)
        return max(0, more)

    async def settled(self) -> Account:
        """Let everybody finish, and close the books."""
        self.crew.hush()
        with trio.move_on_after(RECOVERY_S):
            while not self.ledger.is_settled():  # noqa: ASYNC110
                await trio.sleep(LOOK_S)
            await trio.sleep(10 * LOOK_S)  # A duplicate would come now.
        return self.ledger.account()

    def last_words(self) -> str:
        """The end of every part's log."""
        return "\n".join(f"--- {part}\n" + "\n".join(list(part.log)[-8:]) for part in (*self.nodes, self.redis))


async def tasks_of(node: NodePart) -> int:
    """Trio tasks alive in the node; asking takes some, the same number each time."""
    async with prober(node.port) as probe:
        return int((await probe.values())["scalechat_tasks"])


@asynccontextmanager
async def raised(seed: int, *options: str) -> AsyncIterator[Stage]:
    """A stage on which everybody is talking; `options` are the nodes'. All of it is gone with the block."""
    chance = random.Random(seed)
    ledger = Ledger()
    with tempfile.TemporaryDirectory(prefix="scalechat-faults-") as directory:
        redis = RedisPart(shutil.which("redis-server") or "redis-server", Path(directory))
        async with trio.open_nursery() as network:
            wire = Wire(redis.port, MARK.encode())
            wire_port: int = await network.start(listen, wire.handle)
            nodes = [NodePart(number, f"redis://127.0.0.1:{wire_port}", options) for number in range(NODES)]
            balancer = Balancer([node.port for node in nodes], chance)
            entrance: int = await network.start(listen, balancer.handle)
            async with running(redis, *nodes) as parts:
                idle_tasks = max([await tasks_of(node) for node in nodes])
                crew = Crew(f"ws://127.0.0.1:{entrance}/ws", ledger, chance)
                await network.start(crew.run, ROOMS, TALKERS, LISTENERS)
                yield Stage(nodes, redis, wire, balancer, crew, ledger, chance, parts, idle_tasks)
                network.cancel_scope.cancel()
