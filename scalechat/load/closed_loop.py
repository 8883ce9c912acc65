"""A closed loop: each client sends its next message when it has the answer to its last one.

The answer is the acknowledgement or the refusal; of a target without acknowledgements it is the client's own message
coming back. So a slow server is asked less, and a stall is met by one message of each client: what a closed loop
measures leaves out what its clients would have waited for (coordinated omission). It is here to be compared with, and
every result of it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import trio

from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.plan import SECOND_NS, Schedule

Ask = Callable[[int, int, int], trio.Event | None]
"""(client, its message from 0 on, when that is due) → set when the answer is there; None when the client is gone."""


@dataclass(slots=True)
class ClosedLoop:
    """The conversations of `clients`, by the run's clock; messages are due from `start_ns` until `end_ns`."""

    schedule: Schedule
    clients: Iterable[int]
    start_ns: int
    end_ns: int
    clock: NowNs
    timeout_s: float
    """The longest wait for an answer."""
    ask: Ask
    on_timeout: Callable[[], None]
    _waiting: dict[int, tuple[int, trio.Event]] = field(default_factory=dict, init=False)
    """Client → until when it waits, and for what."""

    async def run(self) -> None:
        """Let everybody talk until the end; who waits for an answer then waits no more."""
        async with trio.open_nursery() as talking:
            for client in self.clients:
                talking.start_soon(self._talk, client)
            talking.start_soon(self._end_waits)
            await sleep_until(self.end_ns, self.clock)
            talking.cancel_scope.cancel()

    async def _talk(self, client: int) -> None:
        number = 0
        due_ns = self.start_ns + self.schedule.begins_ns(client)
        while due_ns < self.end_ns:
            if due_ns > self.clock():  # else the wait for the answer is where others get their turn
                await sleep_until(due_ns, self.clock)
            sent_ns = self.clock()
            answered = self.ask(client, number, due_ns)
            if answered is None:
                return
            self._waiting[client] = self.clock() + round(self.timeout_s * SECOND_NS), answered
            await answered.wait()
            if self._waiting.pop(client, None) is None:
                self.on_timeout()
            # From the sending and not from when it was due: the period lies between two messages.
            due_ns = max(self.start_ns + self.schedule.period_after(sent_ns - self.start_ns), self.clock())
            number += 1

    async def _end_waits(self) -> None:
        """One clock for all waits: a cancel scope for each costs as much as sending the message."""
        while True:
            now_ns = self.clock()
            for client, (until_ns, answered) in [*self._waiting.items()]:
                if until_ns <= now_ns and not answered.is_set():
                    del self._waiting[client]
                    answered.set()
            whole_ns = now_ns + round(self.timeout_s * SECOND_NS)
            await sleep_until(min((until_ns for until_ns, _ in self._waiting.values()), default=whole_ns), self.clock)
