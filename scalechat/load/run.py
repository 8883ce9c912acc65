"""One run, phase after phase: ramp, warm-up, one leg or several (see `course`), drain.

Nurseries, outermost first: *instruments* (poller, ticker, loop lag, scraping, own metrics) end last; *load* holds a
task for each client and the dispatcher. The phases are a plain sequence in `Run.carry_out`. Whatever ends a run
early, an interruption or a server that is gone, sets one event that each wait looks at; the rest of the sequence is
as always, so what was measured is written.
"""

from __future__ import annotations

import gc
from contextlib import nullcontext
from functools import partial
from random import Random
from typing import Final

import trio

from scalechat.client.shared_reader import SharedReader
from scalechat.load.assignment import Assignment
from scalechat.load.attendance import LOST, Attendance
from scalechat.load.collector import quiet_collector
from scalechat.load.company import Company
from scalechat.load.course import Leg, PhaseNumber
from scalechat.load.decoding import Decoder
from scalechat.load.drain import Drain
from scalechat.load.ending import Ending, Interruption
from scalechat.load.heartbeats import beat_for_ever
from scalechat.load.instruments import Instruments
from scalechat.load.live import Watcher
from scalechat.load.measurement import Measurement
from scalechat.load.own_part import own_part
from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.part import Part
from scalechat.load.plan import SECOND_NS, Schedule
from scalechat.load.publishing import Publishing
from scalechat.load.ramp import dial_as_planned
from scalechat.load.results import CLOSED_LOOP, RunWriter
from scalechat.load.room_stream import RoomStream
from scalechat.load.seeded import Chance
from scalechat.load.stage import Stage
from scalechat.load.surroundings import Surroundings
from scalechat.load.tally import Tally
from scalechat.load.turnout import Turnout
from scalechat.load.virtual_client import VirtualClient

SETTLE_NS: Final = SECOND_NS // 5
"""A server that does not say when it has made a client a member gets so long after the last handshake."""
NOBODY_CONNECTED: Final = "no client could connect"


class Run:
    """One run. Make it and call `carry_out`, once."""

    def __init__(
        self,
        todo: Assignment,
        writer: RunWriter,
        watcher: Watcher,
        interruption: Interruption,
        company: Company,
        clock: NowNs,
    ) -> None:
        self._todo = todo
        self._plan = todo.plan
        self._writer = writer
        self._interruption = interruption
        self._company = company
        self._clock = clock
        self._ending = Ending(lambda why: self._instruments.say("end", why, f"ending the run: {why}"))
        self._begin_ns: int | None = None
        """When publishing begins, as agreed with the other processes."""
        self._publishing: Publishing | None = None
        self._instruments = Instruments(todo, writer, watcher, clock)
        self._recorder = self._instruments.recorder
        mine = todo.plan.mine()
        first = todo.plan.course.legs[0].clients
        self._clients = self._instruments.clients
        self._attendance = Attendance(self._clients, sum(number < first for number in mine), self._recorder.counters)
        self._measurement = Measurement(self._recorder, clock)
        self._recorder.roll.elsewhere.most = todo.plan.most_messages(todo.plan.course.length_ns)
        decoder = Decoder(todo.dialect, todo.names, self._recorder)
        world = Surroundings(
            connector=todo.connector,
            dialect=todo.dialect,
            names=todo.names,
            recorder=self._recorder,
            decoder=decoder,
            reader=SharedReader(decoder.batch),
            streams=[RoomStream(todo.plan.rooms, binary=todo.dialect.binary) for _ in range(todo.plan.rooms)],
            errors=self._instruments.errors,
            poller=self._instruments.poller,
            clock=clock,
            chance=Chance(todo.plan.seed),
            random=Random(todo.plan.seed),
            reconnects=not todo.config.no_reconnect,
            connect_timeout_s=todo.config.connect_timeout_s,
            unix_offset_ns=self._instruments.timeline.unix_offset_ns,
            on_settled=self._attendance.settled,
            on_left=self._on_left,
            on_replaced=self._instruments.journal.replaced,
        )
        self._clients += [VirtualClient(number, world) for number in mine]

    async def carry_out(self) -> Part:
        """Do it. Cancelled, the run stays unfinished: readable tables, no ``run.json``."""
        with self._instruments.opened():
            async with trio.open_nursery() as instruments:
                await self._instruments.start(instruments)
                instruments.start_soon(self._obey)
                instruments.start_soon(self._company.listen, self._recorder, self._ending)
                if (heartbeat := self._todo.dialect.heartbeat) is not None:
                    instruments.start_soon(beat_for_ever, self._clients, *heartbeat)
                async with trio.open_nursery() as load:
                    with quiet_collector():
                        await self._ramp(load)
                        if not self._ending.is_early:
                            await self._publish(load)
                        await self._drain()
                        await self._part()
                    await self._say_goodbye()
                    load.cancel_scope.cancel()
                ended_ns = self._clock()
                self._instruments.finish(ended_ns)
                instruments.cancel_scope.cancel()
        return own_part(
            self._instruments,
            self._measurement,
            self._publishing,
            self._ending,
            interrupted=self._interruption.asked.is_set(),
            ended_ns=ended_ns,
        )

    def tally(self) -> Tally:
        """How it stands, for Prometheus."""
        return self._instruments.tally()

    async def _obey(self) -> None:
        await self._interruption.asked.wait()
        self._ending.end("interrupted")

    # --- phases ------------------------------------------------------------------------------------------------------

    async def _ramp(self, load: trio.Nursery) -> None:
        """Connect everybody at the planned times; done when each has joined its room or failed to."""
        self._instruments.enter(PhaseNumber.RAMP, None)
        if self._plan.is_closed_loop and self._plan.share.index == 0:
            self._instruments.say("closed_loop", CLOSED_LOOP, CLOSED_LOOP)
        if self._todo.warning is not None:
            self._instruments.say("warning", self._todo.warning, self._todo.warning)
        there = [client for client in self._clients if client.number < self._plan.course.legs[0].clients]
        start_ns = self._instruments.timeline.start_ns
        await dial_as_planned(there, load, self._plan, self._ending, self._clock, start_ns=start_ns)
        if self._ending.is_early:
            return
        await self._ending.unless_over(self._attendance.wait_settled)
        await self._ending.unless_over(self._gather)
        failed = sum(self._recorder.counters.connect_failures.values())
        if failed:
            example = next(client.failure.text for client in self._clients if client.failure is not None)
            line = f"{failed} of {len(there)} clients could not connect: {example}"
            self._instruments.say("connect_failures", line, line)
        if there and not self._recorder.counters.open:
            self._company.forlorn(NOBODY_CONNECTED if failed else LOST)

    async def _publish(self, clients: trio.Nursery) -> None:
        """Warm-up and legs: the schedule runs. Then the drain begins."""
        gc.collect()
        gc.freeze()
        config = self._todo.config
        course = self._plan.course
        schedule = Schedule(self._plan, end_ns=course.length_ns)
        begin_ns = self._begin_ns or self._clock() + (0 if self._todo.dialect.confirms else SETTLE_NS)
        self._recorder.steady_from_ns = begin_ns + course.warmup_ns
        self._recorder.steady_until_ns = begin_ns + course.length_ns
        stage = Stage(config.happenings, self._plan, self._clients, self._instruments.say)
        load = self._publishing = Publishing(
            schedule,
            self._clients,
            self._recorder,
            self._clock,
            begin_ns=begin_ns,
            steady_ns=self._recorder.steady_from_ns,
            end_ns=self._recorder.steady_until_ns,
            answer_timeout_s=config.answer_timeout_s if config.loop == "closed" else None,
            on_timeout=lambda: self._instruments.errors.note(
                "answer_timeout",
                f"no answer in {config.answer_timeout_s:g} s",
                at_ns=self._clock(),
                phase=self._recorder.phase,
            ),
        )
        async with trio.open_nursery() as pacing:
            pacing.start_soon(load.run)
            pacing.start_soon(stage.run, self._recorder.steady_from_ns, self._clock)
            if len(course.legs) > 1:
                turnout = Turnout(course, self._clients, self._plan.connections_per_s, self._clock)
                pacing.start_soon(turnout.run, load.steady_ns, clients)
            pacing.start_soon(self._attendance.watch, config.connect_timeout_s, self._company.forlorn)
            await self._ending.unless_over(partial(sleep_until, begin_ns, self._clock))
            if course.warmup_ns and not self._ending.is_early:
                self._instruments.enter(PhaseNumber.WARMUP, load.steady_ns)
                await self._ending.unless_over(partial(sleep_until, load.steady_ns, self._clock))
            for leg, step in zip(course.legs, config.steps, strict=True):
                if not self._ending.is_early:
                    self._attendance.meant = sum(client.number < leg.clients for client in self._clients)
                    self._instruments.enter(leg.number, load.steady_ns + leg.end_ns)
                    if len(course.legs) > 1:
                        self._instruments.say("step", *[step.told] * 2)
                    await self._pass(leg, load.steady_ns + leg.end_ns)
            self._instruments.enter(PhaseNumber.DRAIN, None)
            if not self._ending.is_early:
                # A dispatcher that is behind may catch up: late messages are the server's business as well.
                with trio.move_on_after(config.drain_s):
                    await self._ending.unless_over(load.finished.wait)
            pacing.cancel_scope.cancel()
        if not self._ending.is_early:
            load.give_up()

    async def _pass(self, leg: Leg, until_ns: int) -> None:
        with self._measurement.taken() if leg.measured else nullcontext():
            await self._ending.unless_over(partial(sleep_until, until_ns, self._clock))

    async def _drain(self) -> None:
        """Wait for what is under way: until everything has come, nothing more can come, or time is up."""
        if self._instruments.timeline.phase != PhaseNumber.DRAIN:
            self._instruments.enter(PhaseNumber.DRAIN, None)
        drain = Drain(self._recorder, self._attendance, self._company)
        await drain.wait(self._todo.config.drain_s, self._interruption.hurry)

    async def _part(self) -> None:
        """Keep the connections until nobody anywhere awaits anything."""
        self._recorder.is_silent = True
        self._company.announce(self._recorder, final=True)
        await self._company.part()
        self._recorder.settle()

    async def _gather(self) -> None:
        self._begin_ns = await self._company.gather()

    async def _say_goodbye(self) -> None:
        async with trio.open_nursery() as nursery:
            for client in self._clients:
                nursery.start_soon(client.close)

    def _on_left(self) -> None:
        """A connection ended before its time."""
        if self._instruments.timeline.is_publishing:
            self._attendance.left(self._company.forlorn)
