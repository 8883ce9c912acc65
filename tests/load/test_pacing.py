"""Pacing in virtual time: never early, never re-based, late only as late as the process was."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from scalechat.config import LoadConfig
from scalechat.load.pacing import dispatch, sleep_until
from scalechat.load.plan import SECOND_NS, Plan, Schedule


def virtual_ns() -> int:
    """Trio's clock, in ns."""
    return round(trio.current_time() * SECOND_NS)


def schedule_of(seconds: int, **options: object) -> Schedule:
    config = LoadConfig(**{"clients": 20, "msg_frequency_ms": 250.0, **options})  # type: ignore[arg-type]
    return Schedule(Plan.of(config, 11), end_ns=seconds * SECOND_NS)


@pytest.mark.parametrize("arrivals", ["fixed", "jittered", "poisson"])
async def test_each_message_is_released_at_its_intended_time(autojump_clock: MockClock, arrivals: str) -> None:
    """Not a ns early, and with an idle process not a µs late."""
    start_ns = virtual_ns() + SECOND_NS
    planned = list(schedule_of(3, arrivals=arrivals).take_due(3 * SECOND_NS))
    released: list[tuple[int, int, int]] = []

    def publish(client: int, number: int, intended_ns: int) -> None:
        assert 0 <= virtual_ns() - intended_ns < 1000
        released.append((intended_ns - start_ns, client, number))

    await dispatch(schedule_of(3, arrivals=arrivals), start_ns=start_ns, clock=virtual_ns, publish=publish)
    assert released == planned


async def test_a_stall_makes_messages_late_and_moves_no_intended_time(autojump_clock: MockClock) -> None:
    """After two seconds away everything that became due meanwhile is released with the times of the plan."""
    stalled_ns = 0

    def clock() -> int:
        return virtual_ns() + stalled_ns

    planned = [due for due, _, _ in schedule_of(5).take_due(5 * SECOND_NS)]
    intended: list[int] = []
    lags: list[int] = []

    def publish(_client: int, _number: int, intended_ns: int) -> None:
        nonlocal stalled_ns
        intended.append(intended_ns)
        lags.append(clock() - intended_ns)
        if len(intended) == 10:
            stalled_ns = 2 * SECOND_NS  # as when the process was stopped

    await dispatch(schedule_of(5), start_ns=0, clock=clock, publish=publish)
    assert intended == planned
    assert 1.9e9 < max(lags) <= 2e9
    assert max(lags[-20:]) < 1000


async def test_others_run_while_the_dispatcher_is_behind(autojump_clock: MockClock) -> None:
    """A reader gets its turn although thousands of messages are overdue and each takes its time."""
    spent_ns = 0

    def clock() -> int:
        return 3600 * SECOND_NS + spent_ns

    turns = 0

    async def reader() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    def publish(_client: int, _number: int, _intended_ns: int) -> None:
        nonlocal spent_ns
        spent_ns += 100_000

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await dispatch(schedule_of(20), start_ns=0, clock=clock, publish=publish)
        nursery.cancel_scope.cancel()
    assert turns >= spent_ns // 5_000_000


async def test_sleeping_until_a_past_moment_is_a_checkpoint(autojump_clock: MockClock) -> None:
    """It costs no time, and cancellation is seen."""
    before = trio.current_time()
    await sleep_until(-5, virtual_ns)
    assert trio.current_time() == before
    with trio.CancelScope() as scope:
        scope.cancel()
        await sleep_until(-5, virtual_ns)
    assert scope.cancelled_caught
