"""One run, phase after phase: ramp, warm-up, steady, drain.

Nurseries, outermost first: *instruments* (poller, ticker, loop lag, scraping, own metrics) end last; *load* holds a
task for each client and the dispatcher. The phases are a plain sequence in `Run.carry_out`. Whatever ends a run
early, an interruption or a server that is gone, sets one event that each wait looks at; the rest of the sequence is
as always, so what was measured is written.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from scalechat.client.transport import SharedReader
from scalechat.load.assignment import Assignment
from scalechat.load.conclusion import RunOutcome, Steady, conclude
from scalechat.load.decoding import Decoder
from scalechat.load.errors import ErrorLog
from scalechat.load.exposition import LoadCollector, serve_metrics
from scalechat.load.health import Health, cpu_s
from scalechat.load.hlog import IntervalLog
from scalechat.load.journal import Journal
from scalechat.load.live import Snapshot, Watcher
from scalechat.load.observer import ServerObserver
from scalechat.load.pacing import NowNs, dispatch, sleep_until
from scalechat.load.plan import SECOND_NS, Schedule
from scalechat.load.poller import Poller
from scalechat.load.recorder import PhaseNumber, Recorder
from scalechat.load.results import RunWriter
from scalechat.load.timeline import PHASE_NAMES, Timeline
from scalechat.load.verdict import Facts
from scalechat.load.virtual_client import Surroundings, VirtualClient

FLUSH_NS: Final = SECOND_NS // 10
SETTLE_NS: Final = SECOND_NS // 5
"""A plain server does not say when it has made a client a member; it gets so long after the last handshake."""
GRACE_S: Final = 0.2
"""When everything has arrived, so long for whatever arrives once more."""
LOOK_S: Final = 0.02
"""Between two looks whether the drain is over."""
MESSAGES_PER_TURN: Final = 64
ROWS_PER_TURN: Final = 96
"""Rows of the run directory made or written before everybody else gets a turn: below 1 ms."""
FREEZE_EVERY: Final = 500
"""Clients begun between two freezes of the heap, see `_quiet_collector`."""
STARTS_PER_TURN: Final = 16
"""Connections begun before everybody else gets a turn, when the ramp is behind its plan."""


class Interruption:
    """How somebody ends a run before its time: the first request stops publishing, the second also the waiting."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.hurry = trio.Event()

    def request(self) -> None:
        """Ctrl-C, SIGTERM."""
        (self.hurry if self.asked.is_set() else self.asked).set()


class Run:
    """One run. Make it and call `carry_out`, once."""

    def __init__(
        self, todo: Assignment, writer: RunWriter, watcher: Watcher, interruption: Interruption, clock: NowNs
    ) -> None:
        self._todo = todo
        self._plan = todo.plan
        self._writer = writer
        self._watcher = watcher
        self._interruption = interruption
        self._clock = clock
        self._over = trio.Event()
        self._why_over: str | None = None
        self._settled = trio.Event()
        self._unsettled = todo.plan.clients
        self._phase_ends_ns: int | None = None
        self._steady_ends_ns = 0
        self._intended = self._in_time = self._late = 0
        self._steady: tuple[Mark, Mark] | None = None
        """Beginning and end of the measured phase."""
        self._timeline = Timeline(clock, unix_ns=time.time_ns())
        self._recorder = Recorder(todo.plan, acknowledged=todo.dialect.acknowledges)
        self._errors = ErrorLog()
        self._health = Health(clock)
        self._poller = Poller()
        world = Surroundings(
            connector=todo.connector,
            dialect=todo.dialect,
            names=todo.names,
            recorder=self._recorder,
            reader=SharedReader(Decoder(todo.dialect, todo.names, self._recorder).batch),
            errors=self._errors,
            poller=self._poller,
            clock=clock,
            connect_timeout_s=todo.config.connect_timeout_s,
            unix_offset_ns=self._timeline.unix_offset_ns,
            on_settled=self._on_settled,
            on_left=self._on_left,
        )
        self._clients = [VirtualClient(number, world) for number in range(todo.plan.clients)]
        start_unix_ns = self._timeline.unix_ns(self._timeline.start_ns)
        self._log = IntervalLog(writer.extra_file("latency.hlog"), start_unix_ns=start_unix_ns)
        self._journal = Journal(
            writer,
            self._log,
            timeline=self._timeline,
            recorder=self._recorder,
            names=todo.names,
            clients=self._clients,
            errors=self._errors,
            health=self._health,
        )
        self._observer = (
            None if todo.page is None else ServerObserver(todo.page, self._journal, self._errors, self._timeline, clock)
        )

    async def carry_out(self) -> RunOutcome:
        """Do it. Cancelled, the run stays unfinished: readable tables, no ``run.json``."""
        with self._poller, self._log, self._health.observed_collections():
            async with trio.open_nursery() as instruments:
                await self._start(instruments)
                async with trio.open_nursery() as load:
                    with _quiet_collector():
                        await self._ramp(load)
                        if not self._over.is_set():
                            gc.collect()
                            gc.freeze()
                            await self._publish()
                        await self._drain()
                    await self._say_goodbye()
                    load.cancel_scope.cancel()
                ended_ns = self._clock()
                never_ns = round(self._todo.config.drain_s * SECOND_NS)
                self._journal.closed(self._recorder.end_run(never_ns=never_ns, now_ns=ended_ns))
                self._watcher.show(self._close_window())
                instruments.cancel_scope.cancel()
            self._journal.end()
        return conclude(
            self._writer,
            self._todo,
            timeline=self._timeline,
            recorder=self._recorder,
            errors=self._errors,
            observer=self._observer,
            steady=self._measured(),
            facts=self._facts(),
            ended_ns=ended_ns,
        )

    # --- instruments -------------------------------------------------------------------------------------------------

    async def _start(self, instruments: trio.Nursery) -> None:
        instruments.start_soon(self._poller.run)
        instruments.start_soon(self._health.watch)
        instruments.start_soon(self._tick)
        instruments.start_soon(self._obey)
        if self._observer is not None:
            instruments.start_soon(self._observer.run)
        if self._todo.config.metrics_port is not None:
            collector = LoadCollector(self._recorder, self._errors, self._health)
            port: int = await instruments.start(serve_metrics, collector, self._todo.config.metrics_port)
            self._watcher.note(f"metrics of this load client: http://localhost:{port}/metrics")

    async def _tick(self) -> None:
        """Ten times a second look at what came; the tenth time close a window. A late tick is skipped, not made up for.

        Everything is done in slices of a ms or so: a pause of the load client would be measured as the server's.
        """
        start_ns = self._timeline.start_ns
        while True:
            due = (self._clock() - start_ns) // FLUSH_NS + 1
            await sleep_until(start_ns + due * FLUSH_NS, self._clock)
            self._recorder.flush()
            while len(closed := self._recorder.closed(self._clock(), MESSAGES_PER_TURN)) == MESSAGES_PER_TURN:
                self._journal.closed(closed)
                await trio.lowlevel.checkpoint()
            self._journal.closed(closed)
            if due % (SECOND_NS // FLUSH_NS) == 0:
                self._watcher.show(self._close_window())
            while self._writer.flush_some(ROWS_PER_TURN):
                await trio.lowlevel.checkpoint()

    def _close_window(self) -> Snapshot:
        now_ns = self._clock()
        ends_ns = self._phase_ends_ns
        return self._journal.window(
            now_ns,
            target_clients=self._target_clients(now_ns),
            phase_left_s=None if ends_ns is None else max(0, ends_ns - now_ns) / SECOND_NS,
        )

    def _target_clients(self, now_ns: int) -> int:
        """How many connections should be open by the plan."""
        if self._timeline.phase is not PhaseNumber.RAMP:
            return self._plan.clients
        begun = int((now_ns - self._timeline.start_ns) * self._plan.connections_per_s / SECOND_NS) + 1
        return min(self._plan.clients, begun)

    async def _obey(self) -> None:
        await self._interruption.asked.wait()
        self._end_early("interrupted")

    def _end_early(self, why: str) -> None:
        if not self._over.is_set():
            self._why_over = why
            self._over.set()
            self._journal.event("end", why, self._clock())
            self._watcher.note(f"ending the run: {why}")

    async def _unless_over(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait, but not beyond the run's end."""
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self._over.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await wait()
            nursery.cancel_scope.cancel()

    def _enter(self, phase: PhaseNumber, ends_ns: int | None) -> None:
        self._close_window()
        self._timeline.enter(phase)
        self._recorder.phase = phase
        self._phase_ends_ns = ends_ns
        self._journal.event("phase", PHASE_NAMES[phase], self._clock())

    # --- phases ------------------------------------------------------------------------------------------------------

    async def _ramp(self, load: trio.Nursery) -> None:
        """Connect everybody at the planned times; done when each has joined its room or failed to."""
        self._journal.event("phase", PHASE_NAMES[PhaseNumber.RAMP], self._clock())
        for client in self._clients:
            at_ns = self._timeline.start_ns + self._plan.connect_ns(client.number)
            if at_ns > self._clock():
                await self._unless_over(partial(sleep_until, at_ns, self._clock))
            elif client.number % STARTS_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
            if self._over.is_set():
                return
            if client.number % FREEZE_EVERY == 0:
                gc.freeze()
            load.start_soon(client.run, at_ns)
        await self._unless_over(self._settled.wait)
        failed = sum(self._recorder.counters.connect_failures.values())
        if failed:
            example = next(client.failure.text for client in self._clients if client.failure is not None)
            line = f"{failed} of {self._plan.clients} clients could not connect: {example}"
            self._journal.event("connect_failures", line, self._clock())
            self._watcher.note(line)
        if not self._recorder.counters.open:
            self._end_early("no client could connect" if failed else "the server closed or lost every connection")

    async def _publish(self) -> None:
        """Warm-up and steady phase: the schedule runs, and the second of them is measured. Then the drain."""
        config = self._todo.config
        warmup_ns, duration_ns = round(config.warmup_s * SECOND_NS), round(config.duration_s * SECOND_NS)
        schedule = Schedule(self._plan, end_ns=warmup_ns + duration_ns)
        begin_ns = self._clock() + (0 if self._recorder.acknowledged else SETTLE_NS)
        steady_ns = self._recorder.steady_from_ns = begin_ns + warmup_ns
        self._steady_ends_ns = steady_ns + duration_ns
        dispatched = trio.Event()

        async def publish() -> None:
            await dispatch(schedule, start_ns=begin_ns, clock=self._clock, publish=partial(self._publish_one, schedule))
            dispatched.set()

        async with trio.open_nursery() as pacing:
            pacing.start_soon(publish)
            if warmup_ns:
                self._enter(PhaseNumber.WARMUP, steady_ns)
                await self._unless_over(partial(sleep_until, steady_ns, self._clock))
            if not self._over.is_set():
                self._enter(PhaseNumber.STEADY, self._steady_ends_ns)
                await self._measure()
            self._enter(PhaseNumber.DRAIN, None)
            if not self._over.is_set():
                # A dispatcher that is behind may catch up: late messages are the server's business as well.
                with trio.move_on_after(config.drain_s):
                    await self._unless_over(dispatched.wait)
            pacing.cancel_scope.cancel()
        if not self._over.is_set():
            forgotten = sum(1 for _ in schedule.take_due(warmup_ns + duration_ns))
            self._intended += forgotten
            self._late += forgotten

    def _publish_one(self, schedule: Schedule, number: int, message: int, intended_ns: int) -> None:
        self._recorder.counters.intended += 1
        done = self._clients[number].publish(schedule.size_of(number, message), intended_ns)
        if intended_ns >= self._recorder.steady_from_ns:
            self._intended += 1
            if self._clock() > self._steady_ends_ns:
                self._late += 1
            elif done:
                self._in_time += 1

    async def _measure(self) -> None:
        before = self._mark()
        self._health.measuring = True
        await self._unless_over(partial(sleep_until, self._steady_ends_ns, self._clock))
        self._recorder.flush()
        self._health.measuring = False
        self._steady = (before, self._mark())

    def _mark(self) -> Mark:
        counters = self._recorder.counters
        return Mark(self._clock(), cpu_s(), counters.published, counters.delivered)

    async def _drain(self) -> None:
        """Wait for what is under way: until everything has come, nothing more can come, or time is up."""
        if self._timeline.phase is not PhaseNumber.DRAIN:
            self._enter(PhaseNumber.DRAIN, None)
        with trio.move_on_after(self._todo.config.drain_s):
            while not self._interruption.hurry.is_set() and self._recorder.counters.open:
                if not self._under_way():
                    await trio.sleep(GRACE_S)
                    return
                await trio.sleep(LOOK_S)

    def _under_way(self) -> bool:
        """Whether anything can still come."""
        recorder, counters = self._recorder, self._recorder.counters
        if not counters.disconnects:
            unacked = recorder.acknowledged and counters.published > counters.acked + counters.rejected
            return recorder.outstanding > 0 or unacked
        # Who is gone gets nothing any more.
        return any(
            client.is_open and client.ledger is not None and recorder.missed_by(client.number, client.ledger)
            for client in self._clients
        )

    async def _say_goodbye(self) -> None:
        async with trio.open_nursery() as nursery:
            for client in self._clients:
                nursery.start_soon(client.close)

    # --- what clients tell -------------------------------------------------------------------------------------------

    def _on_settled(self) -> None:
        self._unsettled -= 1
        if not self._unsettled:
            self._settled.set()

    def _on_left(self) -> None:
        """A connection ended, and not by our wish."""
        publishing = self._timeline.phase in (PhaseNumber.WARMUP, PhaseNumber.STEADY)
        if publishing and not self._recorder.counters.open:
            self._end_early("the server closed or lost every connection")

    def _facts(self) -> Facts:
        before, after = self._steady or (self._mark(), self._mark())
        wall_ns = after.at_ns - before.at_ns
        return Facts(
            interrupted=self._interruption.asked.is_set(),
            completed=not self._over.is_set(),
            why_not=self._why_over,
            cpu_ratio=(after.cpu_s - before.cpu_s) * SECOND_NS / wall_ns if wall_ns else 0.0,
            loop_lag_p99_ns=self._health.lag_p99_ns,
            send_lag_p50_ns=self._recorder.total(PhaseNumber.STEADY, "send_lag").quantile_ns(0.5),
            intended=self._intended,
            in_time=self._in_time,
            late=self._late,
        )

    def _measured(self) -> Steady:
        before, after = self._steady or (self._mark(), self._mark())
        return Steady(
            duration_s=(after.at_ns - before.at_ns) / SECOND_NS,
            peak_clients=self._journal.peak_open,
            published=after.published - before.published,
            delivered=after.delivered - before.delivered,
            server_cpu_cores=None if self._observer is None else self._observer.cpu_cores,
            server_rss_bytes=None if self._observer is None else self._observer.rss_bytes,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """Totals at one moment."""

    at_ns: int
    cpu_s: float
    published: int
    delivered: int


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """What is frozen during the body stays out of garbage collection until its end.

    A full collection looks at every object: 200 ms with 5,000 clients, several times in a ramp.
    """
    try:
        yield
    finally:
        gc.unfreeze()
