"""Conversations in virtual time: the next message after the answer to the last, and never sooner than its period."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from scalechat.config import LoadConfig
from scalechat.load.closed_loop import Answered, ClosedLoop
from scalechat.load.plan import SECOND_NS, Plan, Schedule

from .worlds import virtual_ns

CLIENTS = 5
PERIOD_MS = 100


@dataclass
class Servant:
    """Answers each client after so many seconds, or not at all."""

    nursery: trio.Nursery
    after_s: float | None
    there: set[int] = field(default_factory=lambda: set(range(CLIENTS)))
    asked: list[tuple[float, int, int]] = field(default_factory=list)
    """(when, client, its message)."""
    due_ns: list[int] = field(default_factory=list)
    timeouts: int = 0

    def ask(self, client: int, number: int, due_ns: int, answered: Answered) -> bool:
        if client not in self.there:
            return False
        self.asked.append((trio.current_time(), client, number))
        self.due_ns.append(due_ns)
        if self.after_s is not None:
            self.nursery.start_soon(self._answer, client, answered)
        return True

    async def _answer(self, client: int, answered: Answered) -> None:
        assert self.after_s is not None
        await trio.sleep(self.after_s)
        answered(client)

    def give_up(self) -> None:
        self.timeouts += 1

    def of(self, client: int) -> list[tuple[float, int]]:
        return [(at, number) for at, who, number in self.asked if who == client]


async def talk(after_s: float | None, *, timeout_s: float = 10.0, seconds: int = 3, there: int = CLIENTS) -> Servant:
    config = LoadConfig(clients=CLIENTS, msg_frequency_ms=PERIOD_MS, arrivals="fixed")
    start_ns = virtual_ns()
    async with trio.open_nursery() as nursery:
        servant = Servant(nursery, after_s, set(range(there)))
        loop = ClosedLoop(
            Schedule(Plan.of(config, 3), end_ns=seconds * SECOND_NS),
            range(CLIENTS),
            servant.ask,
            start_ns=start_ns,
            end_ns=start_ns + seconds * SECOND_NS,
            clock=virtual_ns,
            timeout_s=timeout_s,
            on_timeout=servant.give_up,
        )
        await loop.run()
        assert 0 <= virtual_ns() - start_ns - seconds * SECOND_NS < 1000
        nursery.cancel_scope.cancel()
    return servant


def steps(times: list[float]) -> list[float]:
    return [round(after - before, 6) for before, after in itertools.pairwise(times)]


async def test_who_is_answered_soon_speaks_once_a_period(autojump_clock: MockClock) -> None:
    """Counted from the sending."""
    servant = await talk(0.03)
    for client in range(CLIENTS):
        times, numbers = zip(*servant.of(client), strict=True)
        assert list(numbers) == list(range(len(numbers)))
        assert len(times) >= 29
        assert set(steps(list(times))) == {PERIOD_MS / 1000}


async def test_who_waits_longer_than_a_period_speaks_as_soon_as_it_is_answered(autojump_clock: MockClock) -> None:
    """And its message was due then, not before: a slow server makes nobody late."""
    servant = await talk(0.25)
    for client in range(CLIENTS):
        assert set(steps([at for at, _number in servant.of(client)])) == {0.25}
    assert all(
        abs(at - due_ns / SECOND_NS) < 1e-6 for (at, *_), due_ns in zip(servant.asked, servant.due_ns, strict=True)
    )


async def test_who_is_never_answered_goes_on_after_the_longest_wait(autojump_clock: MockClock) -> None:
    """Each wait that was given up is counted."""
    servant = await talk(None, timeout_s=1.0)
    for client in range(CLIENTS):
        assert set(steps([at for at, _number in servant.of(client)])) <= {1.0, round(1.0 + PERIOD_MS / 1000, 6)}
    assert servant.timeouts == len(servant.asked) - CLIENTS


async def test_who_is_gone_is_asked_no_more(autojump_clock: MockClock) -> None:
    """The others talk on."""
    servant = await talk(0.03, there=2)
    assert {client for _at, client, _number in servant.asked} == {0, 1}
    assert len(servant.asked) >= 58
