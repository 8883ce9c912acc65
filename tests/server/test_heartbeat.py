from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from scalechat.server.eviction import Evictor
from scalechat.server.heartbeat import TICK_S, Heartbeat
from scalechat.server.outbox import Outbox
from scalechat.wire import closing
from tests.server.seats import LIMITS, Seat, Seats, seats
from tests.server.small_socket import SmallSocket

PERIOD_S = 25.0
QUEUE_AGE_S = 10.0
SLOTS = 100
"""Ticks in a period."""
SILENT = [(closing.GOING_AWAY, "no answer to pings", None)]
TOO_SLOW = [(closing.TOO_SLOW, "", 1000)]


class Ward:
    """A heartbeat, and members that answer pings or do not."""

    def __init__(self, made: Seats, period_s: float, *, spread: bool) -> None:
        self.made = made
        self.now_unix_s = 1_700_000_000.0
        self.answering: list[Seat] = []
        self.heartbeat = Heartbeat(
            period_s=period_s,
            queue_age_s=QUEUE_AGE_S,
            backlog=made.backlog,
            evictor=Evictor(made.counters),
            spread=spread,
            unix_s=lambda: self.now_unix_s,
        )

    def seat(self, *, answers: bool = True, room_bytes: int = 10**8, expires_unix_s: float | None = None) -> Seat:
        seat = self.made.take(room_bytes=room_bytes, token_expires_unix_s=expires_unix_s)
        self.heartbeat.add(seat.member)
        if answers:
            self.answering.append(seat)
        return seat

    async def pass_ticks(self, count: int) -> list[int]:
        """Let time pass; whoever answers does so at once. Returns how many pings each tick brought."""
        answered = {seat: seat.pings for seat in self.answering}
        pings: list[int] = []
        for _ in range(count):
            await trio.sleep(TICK_S)
            pinged = [seat for seat in self.answering if seat.pings > answered[seat]]
            for seat in pinged:
                answered[seat] = seat.pings
                seat.member.transport.last_received_s = trio.current_time()
            pings.append(len(pinged))
        return pings


@asynccontextmanager
async def ward(period_s: float = PERIOD_S, *, spread: bool = True) -> AsyncIterator[Ward]:
    async with seats() as made:
        node = Ward(made, period_s, spread=spread)
        made.nursery.start_soon(node.heartbeat.run)
        await trio.sleep(TICK_S / 2)  # From here on looks happen between our own ticks.
        yield node


# --- pings ----------------------------------------------------------------------------------------------------------


async def test_pings_are_spread_over_the_period(autojump_clock: MockClock) -> None:
    """As many clients as slots: one ping a tick, and nobody twice in a period."""
    async with ward() as node:
        for _ in range(SLOTS):
            node.seat()
        await node.pass_ticks(2 * SLOTS)
        assert await node.pass_ticks(SLOTS) == [1] * SLOTS
        assert {len(seat.endings) for seat in node.answering} == {0}


async def test_without_spreading_everybody_is_pinged_at_one_moment(autojump_clock: MockClock) -> None:
    """The storm that spreading prevents, for those who want to see it."""
    async with ward(spread=False) as heart:
        for _ in range(40):
            heart.seat()
        await heart.pass_ticks(SLOTS)
        pings = await heart.pass_ticks(SLOTS)
        assert sorted(pings)[-2:] == [0, 40]


async def test_clients_that_arrive_together_are_spread_as_well(autojump_clock: MockClock) -> None:
    """A reconnect storm does not become a ping storm."""
    async with ward() as node:
        for _ in range(3 * SLOTS):
            node.seat()
        await node.pass_ticks(2 * SLOTS)
        assert max(await node.pass_ticks(SLOTS)) == 3


async def test_whoever_speaks_is_not_pinged(autojump_clock: MockClock) -> None:
    """Any byte is a sign of life."""
    async with ward() as node:
        seat = node.seat(answers=False)
        for _ in range(8 * 5):
            seat.member.transport.last_received_s = trio.current_time()
            await trio.sleep(PERIOD_S / 8)
        assert (seat.pings, seat.endings) == (0, [])


@pytest.mark.parametrize("period_s", [0.1, 1.0, 25.0, 60.0])
async def test_one_that_answers_stays_for_ever(autojump_clock: MockClock, period_s: float) -> None:
    """Whatever the period."""
    async with ward(period_s) as node:
        seat = node.seat()
        for _ in range(200):
            await trio.sleep(period_s / 10)
            seat.member.transport.last_received_s = trio.current_time()
        assert seat.endings == []


# --- the dead -------------------------------------------------------------------------------------------------------


async def test_a_silent_peer_is_found_within_three_periods(autojump_clock: MockClock) -> None:
    """In every slot, never before two periods have passed, and pinged before."""
    async with ward() as node:
        silent = [node.seat(answers=False) for _ in range(SLOTS)]
        await trio.sleep(2 * PERIOD_S - TICK_S)
        assert {len(seat.endings) for seat in silent} == {0}
        assert {seat.pings > 0 for seat in silent} == {True}
        await trio.sleep(PERIOD_S + TICK_S)
        assert [seat.endings for seat in silent] == [SILENT] * SLOTS
        assert node.made.counters.evictions["heartbeat"] == SLOTS


async def test_one_that_left_is_not_looked_at_any_more(autojump_clock: MockClock) -> None:
    """Nothing of it stays in the wheel."""
    async with ward() as node:
        seat = node.seat(answers=False)
        node.heartbeat.remove(seat.member)
        await trio.sleep(4 * PERIOD_S)
        assert (seat.pings, seat.endings) == (0, [])


async def test_a_stall_of_the_process_brings_no_burst_of_pings(autojump_clock: MockClock) -> None:
    """The wheel does not hurry after time it has lost; it would find everybody silent through its own fault."""
    async with ward() as node:
        for _ in range(SLOTS):
            node.seat()
        await node.pass_ticks(2 * SLOTS)
        autojump_clock.jump(0.9 * PERIOD_S)
        assert max(await node.pass_ticks(SLOTS)) <= 3  # Not the ninety of the time that was lost.
        assert {len(seat.endings) for seat in node.answering} == {0}


# --- the slow -------------------------------------------------------------------------------------------------------


async def test_a_queue_that_is_too_old_ends_its_client(autojump_clock: MockClock) -> None:
    """At most a tick later than it may be, and not earlier."""
    async with ward() as node:
        slow = node.seat(room_bytes=3)
        slow.member.outbox.offer(b"more than fits")
        await trio.sleep(QUEUE_AGE_S - TICK_S)
        assert slow.endings == []
        await trio.sleep(2 * TICK_S)
        assert (slow.endings, node.made.counters.evictions["queue_age"]) == (TOO_SLOW, 1)


async def test_a_queue_that_moves_is_left_alone(autojump_clock: MockClock) -> None:
    """Long is not old: the limit is on the age of the oldest frame."""
    async with ward() as node:
        busy = node.seat(room_bytes=0)
        for _ in range(4):
            for _ in range(3):
                busy.member.outbox.offer(b"x" * 10)
            await trio.sleep(QUEUE_AGE_S * 0.8)
            busy.socket.read(30)
            busy.member.transport.last_received_s = trio.current_time()
        assert busy.endings == []


async def test_a_trickle_reader_is_found_by_the_age_of_its_queue(autojump_clock: MockClock) -> None:
    """One byte a second keeps a socket alive and a queue growing old."""
    async with ward() as node:
        trickle = node.seat(room_bytes=0)
        trickle.member.outbox.offer(b"x" * 100)
        for _ in range(12):
            await trio.sleep(1)
            trickle.socket.read(1)
        assert trickle.endings == TOO_SLOW


async def test_a_queue_of_no_member_is_nobodys_business(autojump_clock: MockClock) -> None:
    """A connection that is being refused has an outbox and its own deadline."""
    async with ward() as node:
        socket = SmallSocket(0)
        outbox = Outbox(
            socket,
            spawn=node.made.nursery.start_soon,
            limits=LIMITS,
            backlog=node.made.backlog,
            send_now=socket.send_now,
        )
        outbox.offer(b"refused")
        await trio.sleep(3 * QUEUE_AGE_S)
        assert (outbox.closed, outbox.frames) == (False, 1)


# --- tokens ---------------------------------------------------------------------------------------------------------


async def test_a_connection_ends_with_its_token(autojump_clock: MockClock) -> None:
    """Within a period of its expiry, however lively it is; others stay."""
    async with ward() as node:
        expiring = node.seat(expires_unix_s=node.now_unix_s + 100)
        others = [node.seat(expires_unix_s=node.now_unix_s + 1000), node.seat()]
        await node.pass_ticks(SLOTS)
        node.now_unix_s += 99
        await node.pass_ticks(SLOTS)
        assert expiring.endings == []
        node.now_unix_s += 1
        await node.pass_ticks(SLOTS)
        assert expiring.endings == [(closing.NOT_AUTHORISED, "the token has expired", None)]
        assert [seat.endings for seat in others] == [[], []]
