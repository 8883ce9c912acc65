"""The load itself: each message when it is due, and what the generator did not manage is counted against it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from trio.testing import MockClock

from scalechat.config import LoadConfig
from scalechat.load.plan import SECOND_NS, Plan, Schedule
from scalechat.load.publishing import Publishing
from scalechat.load.virtual_client import VirtualClient

from .broadcaster import Broadcaster
from .worlds import memory_connector, surroundings, virtual_ns

CONFIG = LoadConfig(clients=4, publishers=2, msg_frequency_ms=100, arrivals="fixed", warmup_s=1, duration_s=2)
A_SECOND = 2 * 10
"""Messages due in one."""


@dataclass
class Clock:
    """The run's clock, ahead of what the tasks of this process have seen of it."""

    skipped_ns: int = 0

    def __call__(self) -> int:
        return virtual_ns() + self.skipped_ns


@dataclass
class Load:
    """On an honest server; it begins in half a second."""

    publishing: Publishing
    server: Broadcaster
    clock: Clock


@asynccontextmanager
async def load(*, answer_timeout_s: float | None = None) -> AsyncIterator[Load]:
    server, plan, clock = Broadcaster(v1=True), Plan.of(CONFIG, 1), Clock()
    async with memory_connector(server.serve) as connector, trio.open_nursery() as nursery:
        with surroundings(plan, connector=connector, clock=clock) as world:
            clients = [VirtualClient(number, world) for number in range(plan.clients)]
            begin_ns = virtual_ns() + SECOND_NS
            world.recorder.steady_from_ns = begin_ns + plan.course.warmup_ns
            world.recorder.steady_until_ns = begin_ns + plan.course.length_ns
            publishing = Publishing(
                Schedule(plan, end_ns=plan.course.length_ns),
                clients,
                world.recorder,
                clock,
                begin_ns=begin_ns,
                steady_ns=world.recorder.steady_from_ns,
                end_ns=world.recorder.steady_until_ns,
                answer_timeout_s=answer_timeout_s,
            )
            for client in clients:
                nursery.start_soon(client.run, 0)
            await trio.sleep(0.5)
            assert all(client.is_open for client in clients)
            yield Load(publishing, server, clock)
            await trio.sleep(0.1)  # what was released last is on its way
            nursery.cancel_scope.cancel()


async def test_every_message_is_released_when_it_is_due(autojump_clock: MockClock) -> None:
    """Those of the warm-up too, and only the measured ones are counted."""
    async with load() as running:
        await running.publishing.run()
        assert running.publishing.finished.is_set()
        assert 0 <= running.publishing.end_ns - virtual_ns() < 0.1 * SECOND_NS
        assert (running.publishing.intended, running.publishing.in_time) == (2 * A_SECOND, 2 * A_SECOND)
        running.publishing.give_up()
        assert (running.publishing.intended, running.publishing.late) == (2 * A_SECOND, 0)
    assert running.server.truth.published == 3 * A_SECOND


async def test_what_a_stopped_generator_gets_to_after_the_end_is_late(autojump_clock: MockClock) -> None:
    """It is published all the same, as the plan wants it, and none of it counts as published in time."""
    async with load() as running, trio.open_nursery() as nursery:
        nursery.start_soon(running.publishing.run)
        await trio.sleep(0.5 + 2)
        running.clock.skipped_ns = 60 * SECOND_NS
        await running.publishing.finished.wait()
        assert running.publishing.intended == 2 * A_SECOND
        assert running.publishing.late == running.publishing.intended - running.publishing.in_time == A_SECOND
    assert running.server.truth.published == 3 * A_SECOND


async def test_what_a_generator_never_gets_to_is_late_as_well(autojump_clock: MockClock) -> None:
    """Cancelled when its patience is over, it counts what was due and is not out."""
    async with load() as running:
        with trio.move_on_after(0.5 + 2):
            await running.publishing.run()
        assert not running.publishing.finished.is_set()
        running.publishing.give_up()
        assert running.publishing.intended == 2 * A_SECOND
        assert running.publishing.late == running.publishing.intended - running.publishing.in_time == A_SECOND
    assert running.server.truth.published == 2 * A_SECOND


async def test_in_a_closed_loop_only_publishers_speak_and_nothing_unasked_is_late(autojump_clock: MockClock) -> None:
    """What was not asked because an answer was waited for was never due."""
    async with load(answer_timeout_s=1.0) as running:
        with trio.move_on_after(0.5 + 2):
            await running.publishing.run()
        running.publishing.give_up()
        assert running.publishing.late == 0
        assert running.publishing.intended == running.publishing.in_time > 0
    assert {message.publisher for message in running.server.truth.taken} == {"0", "1"}
