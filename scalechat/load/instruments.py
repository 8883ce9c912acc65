"""Everything that measures and writes while a run goes: recorder, health, journal, poller, scraping, own metrics.

They outlive the load itself, and nothing in them may pause the process for more than a ms or so: a pause of the load
client would be measured as the server's.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import trio

from scalechat.load.assignment import Assignment, Beginning
from scalechat.load.course import PhaseNumber
from scalechat.load.errors import ErrorLog
from scalechat.load.exposition import LoadCollector, serve_metrics
from scalechat.load.health import Health
from scalechat.load.hlog import IntervalLog
from scalechat.load.journal import Journal
from scalechat.load.last_account import close_accounts
from scalechat.load.live import Watcher
from scalechat.load.observer import ServerObserver
from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.plan import SECOND_NS
from scalechat.load.poller import Poller
from scalechat.load.recorder import Recorder
from scalechat.load.results import RunWriter
from scalechat.load.tally import Tally, tally_of
from scalechat.load.timeline import Timeline
from scalechat.load.virtual_client import VirtualClient

FLUSH_NS: Final = SECOND_NS // 10
MESSAGES_PER_TURN: Final = 128
ROWS_PER_TURN: Final = 48
"""Rows of the run directory made or written before everybody else gets a turn: below 1 ms."""


class Instruments:
    """See the module's docstring. The run begins when this is made."""

    def __init__(self, todo: Assignment, writer: RunWriter, watcher: Watcher, clock: NowNs) -> None:
        self._todo = todo
        self._writer = writer
        self._watcher = watcher
        self._clock = clock
        self._phase_ends_ns: int | None = None
        beginning = todo.beginning or Beginning(clock(), time.time_ns())
        course = todo.plan.course
        self.timeline = Timeline(
            clock,
            start_ns=beginning.start_ns,
            unix_ns=beginning.unix_ns,
            names=course.names,
            measured=course.measured,
        )
        self.recorder = Recorder(todo.plan, acknowledged=todo.dialect.acknowledges)
        self.errors = ErrorLog()
        self.health = Health(clock)
        self.clients: list[VirtualClient] = []
        """Filled by who makes them."""
        self.poller = Poller()
        start_unix_ns = self.timeline.unix_ns(self.timeline.start_ns)
        self._log = IntervalLog(writer, start_unix_ns=start_unix_ns)
        self.journal = Journal(
            writer,
            self._log,
            timeline=self.timeline,
            recorder=self.recorder,
            names=todo.names,
            clients=self.clients,
            errors=self.errors,
            health=self.health,
            slos=todo.slos,
        )
        self.observer = (
            None if todo.page is None else ServerObserver(todo.page, self.journal, self.errors, self.timeline, clock)
        )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Files and watches are open during the body; the last rows must be taken before its end."""
        with self.poller, self._log, self.health.observed_collections():
            yield

    async def start(self, nursery: trio.Nursery) -> None:
        """Run everything in the nursery, until that is cancelled. Raises `OperationalError` for a port that is
        taken."""
        nursery.start_soon(self.poller.run)
        nursery.start_soon(self.health.watch)
        nursery.start_soon(self._tick)
        if self.observer is not None:
            nursery.start_soon(self.observer.run)
        if self._todo.config.metrics_port is not None:
            port: int = await nursery.start(serve_metrics, LoadCollector(self.tally), self._todo.config.metrics_port)
            self._watcher.note(f"metrics of this load client: http://localhost:{port}/metrics")

    def tally(self) -> Tally:
        """How this process stands, for Prometheus."""
        return tally_of(self.recorder, self.errors, self.health)

    def enter(self, phase: int, ends_ns: int | None) -> None:
        """The phase begins now; `ends_ns` when it is known how long it takes."""
        if phase != PhaseNumber.RAMP:
            self._close_window()
            self.timeline.enter(phase)
        self.recorder.phase = phase
        self.health.measuring = self.timeline.is_measured  # now that the window before is closed
        self._phase_ends_ns = ends_ns
        self.journal.event("phase", self.timeline.name, self._clock())

    def finish(self, ended_ns: int) -> None:
        """Close every account: what has not come by now never came."""
        never_ns = round(self._todo.config.drain_s * SECOND_NS)
        self.journal.closed(close_accounts(self.recorder, never_ns=never_ns, now_ns=ended_ns))
        self._close_window()
        self.journal.end()

    def say(self, kind: str, detail: str, line: str) -> None:
        """An event that a person should know about at once: `detail` in the run, `line` for the eyes."""
        self.journal.event(kind, detail, self._clock())
        self._watcher.note(line)

    async def _tick(self) -> None:
        """Ten times a second look at what came, and when a second is over close its window. Late ticks are skipped."""
        start_ns = self.timeline.start_ns
        seconds = 0
        while True:
            due = (self._clock() - start_ns) // FLUSH_NS + 1
            await sleep_until(start_ns + due * FLUSH_NS, self._clock)
            while self.recorder.flush_some():
                await trio.lowlevel.checkpoint()
            while len(closed := self.recorder.closed(self._clock(), MESSAGES_PER_TURN)) == MESSAGES_PER_TURN:
                self.journal.closed(closed)
                await trio.lowlevel.checkpoint()
            self.journal.closed(closed)
            await trio.lowlevel.checkpoint()
            if due * FLUSH_NS // SECOND_NS > seconds:
                seconds = due * FLUSH_NS // SECOND_NS
                self._close_window()
                await trio.lowlevel.checkpoint()
            while self._writer.flush_some(ROWS_PER_TURN):
                await trio.lowlevel.checkpoint()

    def _close_window(self) -> None:
        now_ns = self._clock()
        ends_ns = self._phase_ends_ns
        snapshot = self.journal.window(
            now_ns,
            target_clients=self._target_clients(now_ns),
            phase_left_s=None if ends_ns is None else max(0, ends_ns - now_ns) / SECOND_NS,
        )
        # One cut short by a phase's end says too little about rates to be shown.
        if snapshot.window_s > 0.5 or self.recorder.has_ended:
            self._watcher.show(replace(snapshot, server=None if self.observer is None else self.observer.glimpse))

    def _target_clients(self, now_ns: int) -> int:
        """How many connections of this process should be open by the plan."""
        plan = self._todo.plan
        if self.recorder.has_ended:
            return 0  # everybody has said goodbye
        begun = plan.course.clients_in(self.timeline.phase)
        if self.timeline.phase == PhaseNumber.RAMP:
            since_ns = now_ns - self.timeline.start_ns
            begun = min(begun, int(since_ns * plan.connections_per_s / SECOND_NS) + 1)
        return bisect.bisect_left(self.clients, begun, key=lambda client: client.number)
