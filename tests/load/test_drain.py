"""The drain lasts as long as something can still come, and no longer."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from scalechat.config import LoadConfig
from scalechat.load.attendance import Attendance
from scalechat.load.company import Alone
from scalechat.load.drain import GRACE_S, LOOK_S, Drain
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder
from scalechat.load.virtual_client import VirtualClient

from .broadcaster import Broadcaster
from .lies import Lies
from .worlds import virtual_run

MOST_S = 100.0
A_LOOK = pytest.approx(0, abs=1.5 * LOOK_S)


class Draining:
    """One client, which is there and has published one message."""

    def __init__(self, *, acknowledged: bool) -> None:
        self.recorder = Recorder(Plan.of(LoadConfig(clients=1), 1), acknowledged=acknowledged)
        self.recorder.counters.open = 1
        self.recorder.join(0)
        self.recorder.published(0, size_bytes=100, intended_ns=0, sent_ns=0, due_ns=0)
        self.hurry = trio.Event()
        attendance = Attendance([], 1, self.recorder.counters)
        self.drain = Drain(self.recorder, attendance, Alone())

    def deliver(self) -> None:
        self.recorder.deliveries.add(0, array("q", [0]), 1)
        self.recorder.flush()

    async def lasts_s(self) -> float:
        began_s = trio.current_time()
        await self.drain.wait(MOST_S, self.hurry)
        return trio.current_time() - began_s

    async def lasts_on_s(self, after_s: float, happens: Callable[[], None]) -> float:
        """How long it lasts after something that happens in its course."""

        async def happen() -> None:
            await trio.sleep(after_s)
            happens()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(happen)
            lasted_s = await self.lasts_s()
        return lasted_s - after_s


async def test_it_ends_a_moment_after_the_last_delivery(autojump_clock: MockClock) -> None:
    """A duplicate would come in that moment."""
    draining = Draining(acknowledged=False)
    assert await draining.lasts_on_s(7, draining.deliver) - GRACE_S == A_LOOK


async def test_an_acknowledgement_is_waited_for_while_its_connection_is_there(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """All deliveries are there before it; a run that ended with the last one would call messages unacknowledged."""
    broadcaster = Broadcaster(v1=True, lies=Lies(ack_late=1.0))
    outcome = await virtual_run(broadcaster.serve, tmp_path, clients=3, drain_s=MOST_S)
    ledger, drain = outcome.manifest.ledger, outcome.manifest.phases[-1]
    assert (ledger.acked, ledger.unacked) == (ledger.published, 0)
    assert drain.end_s - drain.start_s < 10


async def test_what_never_comes_is_waited_for_as_long_as_allowed(autojump_clock: MockClock) -> None:
    assert await Draining(acknowledged=False).lasts_s() == pytest.approx(MOST_S)


async def test_nobody_waits_for_what_cannot_come(autojump_clock: MockClock) -> None:
    """When no connection is left, nor anybody who means to be back."""
    draining = Draining(acknowledged=False)
    draining.recorder.counters.open = 0
    assert await draining.lasts_s() == 0


async def test_who_is_in_a_hurry_ends_it(autojump_clock: MockClock) -> None:
    draining = Draining(acknowledged=False)
    assert await draining.lasts_on_s(3, draining.hurry.set) == A_LOOK


@dataclass
class Answered:
    """A client as the attendance sees it: it is there, by a connection that it has had since then."""

    number: int
    is_open: bool = True
    is_away: bool = False
    awaits: bool = False
    opened_ns: int = 0

    @property
    def connection(self) -> Answered:
        return self


@pytest.mark.parametrize(
    "is_open, opened_ns, waits",
    [(True, 0, True), (True, 49, True), (True, 50, True), (True, 51, False), (False, 0, False)],
)
async def test_an_answer_is_awaited_only_where_the_connection_that_took_the_message_is_there(
    is_open: bool, opened_ns: int, waits: bool, autojump_clock: MockClock
) -> None:
    """Everybody has everything; of client 3, who joined by another connection after it had sent, no answer can come."""
    recorder = Recorder(Plan.of(LoadConfig(clients=4), 1), acknowledged=True)
    recorder.counters.open = 3 + is_open
    recorder.published(3, size_bytes=100, intended_ns=50, sent_ns=50, due_ns=50)
    clients = [Answered(0), Answered(3, is_open, opened_ns=opened_ns)]
    attendance = Attendance(cast("list[VirtualClient]", clients), 3 + is_open, recorder.counters)
    assert attendance.is_answered(3, 50) is waits
    began_s = trio.current_time()
    await Drain(recorder, attendance, Alone()).wait(MOST_S, trio.Event())
    assert trio.current_time() - began_s == pytest.approx(MOST_S if waits else GRACE_S)
    assert recorder.broadcasts.unacknowledged() == [(3, 1, 50)]
