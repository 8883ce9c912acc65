"""Clients dial when the plan says so, however long each takes to come in."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from scalechat.config import LoadConfig
from scalechat.load.ending import Ending
from scalechat.load.plan import Plan
from scalechat.load.ramp import dial_as_planned
from scalechat.load.virtual_client import VirtualClient

from .worlds import memory_connector, surroundings, virtual_ns

CLIENTS, PER_S = 40, 10.0


async def dialled_at_s(*, ends_s: float = float("inf"), behind_s: float = 0.0) -> list[float]:
    """When each connection was begun, in a ramp that is `behind_s` behind its plan and is ended after `ends_s`."""
    times_s: list[float] = []

    async def serve(_stream: trio.abc.Stream) -> None:
        times_s.append(trio.current_time())
        await trio.sleep_forever()  # nobody is let in

    plan = Plan.of(LoadConfig(clients=CLIENTS, ramp_per_s=PER_S), 1)
    ending = Ending(lambda _why: None)
    async with memory_connector(serve) as connector, trio.open_nursery() as nursery:
        with surroundings(plan, connector=connector) as world:
            clients = [VirtualClient(number, world) for number in range(CLIENTS)]

            @nursery.start_soon
            async def end() -> None:
                await trio.sleep(ends_s)
                ending.end("enough")

            start_ns = virtual_ns() - round(behind_s * 1e9)
            await dial_as_planned(clients, nursery, plan, ending, virtual_ns, start_ns=start_ns)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    return times_s


async def test_each_dials_at_its_planned_time(autojump_clock: MockClock) -> None:
    """Also while the server lets nobody in: a slow server is met by as many connections as a fast one."""
    began_s = trio.current_time()
    times_s = [at_s - began_s for at_s in await dialled_at_s()]
    assert times_s == pytest.approx([number / PER_S for number in range(CLIENTS)], abs=1e-6)


async def test_a_ramp_that_is_behind_makes_up_for_it_at_once(autojump_clock: MockClock) -> None:
    """The plan's times are absolute: what is overdue does not wait for its distance to the one before."""
    began_s = trio.current_time()
    times_s = [at_s - began_s for at_s in await dialled_at_s(behind_s=2.05)]
    assert times_s[:21] == [0.0] * 21
    assert times_s[21:] == pytest.approx([number / PER_S - 2.05 for number in range(21, CLIENTS)], abs=1e-6)


async def test_a_run_that_ends_early_begins_no_more_connections(autojump_clock: MockClock) -> None:
    assert len(await dialled_at_s(ends_s=1.95)) == 20
