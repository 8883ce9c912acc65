"""Searches without a network: the load client, a server whose capacity is known, and one virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import trio
from outcome import acapture

from scalechat.config import CapacityConfig, LoadConfig
from scalechat.load.capacity.calm import Calm
from scalechat.load.capacity.searching import Searching, SearchOutcome
from scalechat.load.capacity.yardstick import Machine, Yardstick
from scalechat.load.runner import Interruption, RunOutcome, run_load
from tests.load.broadcaster import Broadcaster, Member
from tests.load.truth import Taken
from tests.load.worlds import Memory, MemoryConnector, memory_connector, virtual_ns


class Saturating(Broadcaster):
    """Broadcasts at once to rooms of up to `capacity` members, and takes half a second for larger ones."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    async def take(self, sender: Member, taken: Taken, message: dict[str, Any]) -> None:
        if len(self.rooms[sender.room]) > self.capacity:
            await trio.sleep(0.5)
        await super().take(sender, taken, message)


async def nothing() -> None:
    """Greets in no time."""
    await trio.lowlevel.checkpoint()


async def virtual_search(
    server: Broadcaster,
    out: Path,
    *,
    greet: Callable[[], Awaitable[None]] = nothing,
    yardstick: Yardstick = lambda: 5.0,
    meanwhile: Callable[[MemoryConnector, Interruption], Awaitable[None]] | None = None,
    watcher: Memory | None = None,
    before: Callable[[LoadConfig], None] = lambda _config: None,
    sources: Mapping[str, str] | None = None,
    **options: object,
) -> SearchOutcome:
    """One search of `server` in virtual time; `before` each probe something may go wrong."""
    short = {"warmup_s": 0.5, "duration_s": 3.0, "msg_frequency_ms": 40.0, "target": "plain", "seed": 1, "out": out}
    config = CapacityConfig(**{**short, "calm_timeout_s": 5.0, **options})  # type: ignore[arg-type]
    interruption = Interruption()
    async with memory_connector(server.serve) as connector, trio.open_nursery() as nursery:
        if meanwhile is not None:
            nursery.start_soon(meanwhile, connector, interruption)

        async def carry_out(config: LoadConfig, *args: Any, **others: Any) -> RunOutcome:
            before(config)
            return await run_load(config, *args, connector=connector, clock=virtual_ns, **others)

        searching = Searching(
            config,
            sources or {},
            carry_out=carry_out,
            calm=Calm(greet, config.calm_timeout_s),
            machine=Machine(yardstick, config.calm_timeout_s),
            watcher=watcher or Memory(),
            interruption=interruption,
        )
        result = await acapture(searching.carry_out)
        nursery.cancel_scope.cancel()
    return result.unwrap()
