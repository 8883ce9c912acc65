"""The run as it is written: a row belongs to one phase, a window holds what happened in it and nothing else."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest

from scalechat.config import LoadConfig
from scalechat.load.course import PhaseNumber
from scalechat.load.dialects import Names
from scalechat.load.errors import ErrorLog
from scalechat.load.health import Health
from scalechat.load.hlog import IntervalLog
from scalechat.load.journal import Journal
from scalechat.load.live import Snapshot
from scalechat.load.plan import SECOND_NS, Plan
from scalechat.load.recorder import Recorder
from scalechat.load.results import (
    ErrorRow,
    EventRow,
    HealthRow,
    HistogramRow,
    Row,
    Run,
    RunWriter,
    TimeseriesRow,
)
from scalechat.load.timeline import Timeline

from .worlds import RUN

MS = 1_000_000
R = TypeVar("R", bound=Row)


class Written:
    """A journal in a run of one publisher and two members, on a clock that the test moves."""

    def __init__(self, writer: RunWriter, log: IntervalLog) -> None:
        self.now_ns = 0
        self.writer = writer
        self.recorder = Recorder(Plan.of(LoadConfig(clients=2, publishers=1), 1), acknowledged=False)
        self.timeline = Timeline(lambda: self.now_ns, start_ns=0, unix_ns=0)
        self.errors = ErrorLog()
        self.journal = Journal(
            writer,
            log,
            timeline=self.timeline,
            recorder=self.recorder,
            names=Names(RUN, "/ws"),
            clients=[],
            errors=self.errors,
            health=Health(lambda: self.now_ns),
        )
        for client in range(2):
            self.recorder.join(client)

    def enter(self, phase: int) -> None:
        self.timeline.enter(phase)
        self.recorder.phase = phase

    def window(self, seconds: float, messages: int = 0, *, latency_ns: int = MS) -> Snapshot:
        """So long, with so many messages, each delivered to both members."""
        for _ in range(messages):
            self.recorder.published(0, size_bytes=100, intended_ns=self.now_ns, sent_ns=self.now_ns, due_ns=self.now_ns)
            row = self.recorder.broadcasts.row_of(0, self.recorder.roll.next_number(0) - 1)
            assert row is not None
            for client in range(2):
                self.recorder.deliveries.add(client, array("q", [row]), self.now_ns + latency_ns)
        self.now_ns += round(seconds * SECOND_NS)
        return self.journal.window(self.now_ns, target_clients=2, phase_left_s=None)

    def rows(self, row_type: type[R]) -> list[R]:
        self.writer.flush()
        return list(Run(self.writer.run_dir, None, None).rows(row_type))

    @property
    def intervals(self) -> list[str]:
        text = (self.writer.run_dir / "latency.hlog").read_text()
        return [line for line in text.splitlines() if line[:1].isdigit()]


@pytest.fixture
async def written(tmp_path: Path) -> AsyncIterator[Written]:
    with RunWriter.create(tmp_path, run_id="run") as writer, IntervalLog(writer, start_unix_ns=0) as log:
        yield Written(writer, log)


async def test_rates_are_of_the_window_alone_however_long_it_was(written: Written) -> None:
    """A window that a phase's end cut short has the same rates as a whole one."""
    written.enter(PhaseNumber.STEADY)
    rates = [written.window(*shape) for shape in ((1.0, 10), (0.25, 5), (2.0, 0))]
    assert [(rate.published_per_s, rate.delivered_per_s) for rate in rates] == [(10, 20), (20, 40), (0, 0)]
    assert [rate.delivery.count for rate in rates] == [20, 10, 0]
    assert [(row.t_s, row.dt_s) for row in written.rows(HealthRow)] == [
        (1.0, 1.0),
        (1.25, 0.25),
        (3.25, 2.0),
    ]


async def test_rows_of_the_counters_only_grow_and_windows_add_up_to_them(written: Written) -> None:
    written.enter(PhaseNumber.STEADY)
    for messages in (3, 0, 4):
        written.window(1.0, messages)
    totals = [row.delivered_total for row in written.rows(TimeseriesRow)]
    assert totals == [6, 6, 14]
    counted = [row for row in written.rows(HistogramRow) if row.metric == "delivery"]
    assert [(row.t_s, row.count) for row in counted] == [(1.0, 6), (3.0, 8)]


async def test_only_measured_phases_are_in_the_interval_log_and_in_the_highest_number_of_connections(
    written: Written,
) -> None:
    """What came in the warm-up is in the tables, under its own name."""
    written.recorder.steady_from_ns = SECOND_NS
    for phase, there in ((PhaseNumber.WARMUP, 9), (PhaseNumber.STEADY, 5), (PhaseNumber.DRAIN, 7)):
        written.enter(phase)
        written.recorder.counters.open = there
        written.window(1.0, 1 if phase != PhaseNumber.DRAIN else 0)
    assert written.journal.peak_open == 5
    (interval,) = written.intervals
    assert [float(number) for number in interval.split(",")[:2]] == [1, 1], "its start and its length"
    found = {row.phase for row in written.rows(HistogramRow)}
    assert found == {"warmup", "steady"}


async def test_evictions_are_an_event_of_the_window_in_which_they_showed(written: Written) -> None:
    """Told once, as many as there were."""
    written.enter(PhaseNumber.STEADY)
    for evicted in (0, 3, 3, 4):
        written.recorder.counters.evicted = evicted
        written.window(1.0)
    assert [(row.t_s, row.detail) for row in written.rows(EventRow)] == [
        (2.0, "the server ended 3 connections as too slow"),
        (4.0, "the server ended 1 connections as too slow"),
    ]


async def test_errors_are_written_once_at_the_end_with_their_first_and_last_time(written: Written) -> None:
    for at_s in (1, 2, 5):
        written.errors.note("scrape", f"at {at_s}", at_ns=at_s * SECOND_NS, phase=PhaseNumber.RAMP)
    written.window(6.0)
    assert written.rows(ErrorRow) == []
    written.journal.end()
    (row,) = written.rows(ErrorRow)
    assert (row.t_s, row.last_s, row.count, row.example, row.phase) == (1.0, 5.0, 3, "at 1", "ramp")
