"""The load itself: the schedule's messages, released when they are due, and how many of them made it in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from scalechat.load.closed_loop import Answered, ClosedLoop
from scalechat.load.pacing import NowNs, dispatch
from scalechat.load.plan import Schedule
from scalechat.load.recorder import Recorder
from scalechat.load.virtual_client import VirtualClient


class Publishing:
    """One schedule that begins at `begin_ns`; its warm-up ends at `steady_ns`, its legs at `end_ns` (run's clock)."""

    def __init__(
        self,
        schedule: Schedule,
        clients: Sequence[VirtualClient],
        recorder: Recorder,
        clock: NowNs,
        *,
        begin_ns: int,
        steady_ns: int,
        end_ns: int,
        answer_timeout_s: float | None = None,
        on_timeout: Callable[[], None] = lambda: None,
    ) -> None:
        """`answer_timeout_s`: for a closed loop, the longest wait for an answer; None for an open one."""
        self._schedule = schedule
        self._speakers = {client.number: client.speaker for client in clients if client.speaker is not None}
        self._recorder = recorder
        self._clock = clock
        self._begin_ns = begin_ns
        self._answer_timeout_s = answer_timeout_s
        self._on_timeout = on_timeout
        self.steady_ns = steady_ns
        self.end_ns = end_ns
        self.finished = trio.Event()
        """Every message of the schedule was released."""
        self.intended = 0
        """Messages of the measured phases that were due."""
        self.late = 0
        """Those that the generator got to later than that, or not at all."""

    @property
    def in_time(self) -> int:
        """Those of them that were published before it ended."""
        return self._recorder.in_time

    async def run(self) -> None:
        """Release the messages until there are no more; cancel it to stop."""
        if self._answer_timeout_s is None:
            await dispatch(self._schedule, start_ns=self._begin_ns, clock=self._clock, publish=self._publish)
        else:
            loop = ClosedLoop(
                self._schedule,
                self._speakers,
                self._ask,
                start_ns=self._begin_ns,
                end_ns=self.end_ns,
                clock=self._clock,
                timeout_s=self._answer_timeout_s,
                on_timeout=self._on_timeout,
            )
            await loop.run()
        self.finished.set()

    def give_up(self) -> None:
        """Count what was not released by now as late; of a closed loop nothing else was due."""
        if self._answer_timeout_s is not None:
            return
        due = self._schedule.take_due(self.end_ns - self._begin_ns)
        forgotten = sum(self._recorder.is_measured(self._begin_ns + at_ns) for at_ns, _client, _number in due)
        self.intended += forgotten
        self.late += forgotten

    def _publish(self, client: int, number: int, intended_ns: int) -> None:
        self._speakers[client].publish(self._schedule.size_of(client, number), intended_ns)
        self._count(intended_ns)

    def _ask(self, client: int, number: int, due_ns: int, answered: Answered) -> bool:
        is_there = self._speakers[client].ask(self._schedule.size_of(client, number), due_ns, answered)
        if is_there:
            self._count(self._clock())
        return is_there

    def _count(self, intended_ns: int) -> None:
        self._recorder.counters.intended += 1
        if not self._recorder.is_measured(intended_ns):
            return
        self.intended += 1
        if self._clock() > self.end_ns:
            self.late += 1
