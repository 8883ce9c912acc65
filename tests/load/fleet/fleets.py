"""Whole fleets without a process or a network: coordinator, workers and server on one virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio
from outcome import acapture
from trio.testing import memory_stream_pair

from scalechat.config import LoadConfig, OperationalError
from scalechat.load.conclusion import RunOutcome
from scalechat.load.ending import Interruption
from scalechat.load.fleet.channel import StreamChannel
from scalechat.load.fleet.coordinator import Coordinator, Peer
from scalechat.load.fleet.messages import Hello
from scalechat.load.fleet.worker import Worker
from scalechat.load.own_part import this_worker
from scalechat.load.plan import Share
from scalechat.load.results import RunWriter
from scalechat.load.setting_out import assign
from tests.load.worlds import Memory, MemoryConnector, Serve, memory_connector, virtual_ns

Meanwhile = Callable[[list[trio.CancelScope], Interruption], Awaitable[None]]


async def virtual_fleet(
    serve: Serve,
    out: Path,
    *,
    count: int = 3,
    meanwhile: Meanwhile | None = None,
    watcher: Memory | None = None,
    **options: object,
) -> RunOutcome:
    """One run of `count` workers against `serve`; `meanwhile` may end workers, each by its cancel scope."""
    config = LoadConfig(
        **{"out": out, "seed": 1, "warmup_s": 1.0, "duration_s": 5.0, **options}  # type: ignore[arg-type]
    )
    interruption = Interruption()
    async with memory_connector(serve) as connector, trio.open_nursery() as nursery:
        todo = await assign(config, {}, interruption, connector, share=Share(0, count))
        scopes = [trio.CancelScope() for _ in range(count)]
        peers = [_peer(nursery, connector, scope, index) for index, scope in enumerate(scopes)]
        if meanwhile is not None:
            nursery.start_soon(meanwhile, scopes, interruption)
        with RunWriter.create(out) as writer:
            fleet = Coordinator(todo, writer, peers, watcher or Memory(), interruption, virtual_ns)
            result = await acapture(fleet.carry_out)
        nursery.cancel_scope.cancel()
    return result.unwrap()


def _peer(nursery: trio.Nursery, connector: MemoryConnector, scope: trio.CancelScope, index: int) -> Peer:
    ours, theirs = memory_stream_pair()
    nursery.start_soon(_work, theirs, connector, scope)
    return Peer(StreamChannel(ours), is_ours=True, name=f"worker {index}", abandon=partial(scope.cancel))


async def _work(stream: trio.abc.Stream, connector: MemoryConnector, scope: trio.CancelScope) -> None:
    with scope:
        try:
            worker = Worker(StreamChannel(stream), connector=connector, clock=virtual_ns)
            await worker.work(Hello(this_worker(0), "", {}), orders_s=1.0)
        except OperationalError:
            pass  # the coordinator has been told, or is gone
    await trio.aclose_forcefully(stream)
