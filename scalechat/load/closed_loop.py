"""A closed loop: each client sends its next message when it has the answer to its last one.

The answer is the acknowledgement or the refusal; of a target without acknowledgements it is the client's own message
coming back. So a slow server is asked less, and a stall is met by one message of each client: what a closed loop
measures leaves out what its clients would have waited for (coordinated omission). It is here to be compared with, and
every result of it says so.

One task serves all clients, as in `pacing`: a task for each costs a wake-up a message, a fifth of what sending it does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from scalechat.load.pacing import LOOK_EVERY, SLICE_NS, NowNs, sleep_until
from scalechat.load.plan import SECOND_NS, Schedule

Answered = Callable[[int], None]
"""To be told which client has its answer."""
Ask = Callable[[int, int, int, Answered], bool]
"""(client, its message from 0 on, when that is due, whom to tell of the answer) → False when the client is gone."""
_NEVER_NS: Final = 1 << 62


@dataclass(slots=True)
class _Talk:
    """One client's."""

    asked: int = 0
    """Messages so far."""
    sent_ns: int = 0
    until_ns: int = _NEVER_NS
    """While it waits for an answer: when it gives up."""


class ClosedLoop:
    """The conversations of `clients`, by the run's clock; messages are due from `start_ns` until `end_ns`."""

    def __init__(
        self,
        schedule: Schedule,
        clients: Iterable[int],
        ask: Ask,
        *,
        start_ns: int,
        end_ns: int,
        clock: NowNs,
        timeout_s: float,
        on_timeout: Callable[[], None],
    ) -> None:
        """`timeout_s`: the longest wait for an answer."""
        self._schedule = schedule
        self._ask = ask
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._clock = clock
        self._timeout_ns = round(timeout_s * SECOND_NS)
        self._on_timeout = on_timeout
        self._talks = {client: _Talk() for client in clients}
        self._due = [(start_ns + schedule.begins_ns(client), client) for client in self._talks]
        """A heap of who speaks when, of those who wait for no answer."""
        heapq.heapify(self._due)
        self._changed = trio.Event()

    async def run(self) -> None:
        """Let everybody talk until the end; who waits for an answer then waits no more."""
        async with trio.open_nursery() as talking:
            talking.start_soon(self._speak)
            talking.start_soon(self._end_waits)
            await sleep_until(self._end_ns, self._clock)
            talking.cancel_scope.cancel()

    def _answered(self, client: int) -> None:
        """One whose wait is over for another reason is not asked about."""
        talk, now_ns = self._talks[client], self._clock()
        if talk.until_ns == _NEVER_NS:
            return
        talk.until_ns = _NEVER_NS
        # From the sending and not from when it was due: the period lies between two messages.
        due_ns = self._start_ns + self._schedule.period_after(talk.sent_ns - self._start_ns)
        heapq.heappush(self._due, (max(due_ns, now_ns), client))
        self._changed.set()

    async def _speak(self) -> None:
        while True:
            if self._speak_some():
                await trio.lowlevel.checkpoint()
                continue
            self._changed = trio.Event()
            until_ns = self._due[0][0] if self._due else self._end_ns
            with trio.move_on_after(max(0, until_ns - self._clock()) / SECOND_NS):
                await self._changed.wait()

    def _speak_some(self) -> bool:
        """Whatever is due, for a moment; True when more is."""
        began_ns = self._clock()
        due, asked = self._due, 0
        while due and due[0][0] <= began_ns:
            due_ns, client = heapq.heappop(due)
            talk = self._talks[client]
            talk.sent_ns = self._clock()
            talk.until_ns = talk.sent_ns + self._timeout_ns
            if self._ask(client, talk.asked, due_ns, self._answered):
                talk.asked += 1
            else:
                talk.until_ns = _NEVER_NS
            asked += 1
            if asked % LOOK_EVERY == 0 and self._clock() - began_ns > SLICE_NS:
                return True
        return False

    async def _end_waits(self) -> None:
        """One clock for all waits: a cancel scope for each costs as much as sending the message."""
        while True:
            now_ns = self._clock()
            for client, talk in self._talks.items():
                if talk.until_ns <= now_ns:
                    self._on_timeout()
                    self._answered(client)
            until_ns = min((talk.until_ns for talk in self._talks.values()), default=_NEVER_NS)
            await sleep_until(min(until_ns, now_ns + self._timeout_ns), self._clock)
