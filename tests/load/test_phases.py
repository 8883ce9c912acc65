"""A scenario's ``[[phases]]`` in whole runs: steps of load, each a phase of the run, and some that are not measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from scalechat.config.shared import DURATION_S
from scalechat.load.conclusion import RunOutcome
from scalechat.load.results import BroadcastRow, ConnectionRow, EventRow, HistogramRow, TimeseriesRow, read_run
from scalechat.scenario import Burst, ReconnectStorm, Step

from .broadcaster import Broadcaster
from .fleet.fleets import virtual_fleet
from .lies import Lies
from .worlds import virtual_run

STEPS = (
    Step(name="morning", duration_s=2),
    Step(name="rush", duration_s=2, rate=3, measured=False),
    Step(name="evening", duration_s=3, rate=0.5),
)
EVENTS = (Burst(at_s=2, for_s=2, factor=2), ReconnectStorm(at_s=4, share=0.5, within_s=0.1))
LOAD: dict[str, Any] = {
    "clients": 6,
    "msg_frequency_ms": 100.0,
    "arrivals": "fixed",
    "target": "plain",
    "phases": STEPS,
    "duration_s": DURATION_S,
}


async def day(tmp_path: Path, processes: int) -> RunOutcome:
    """The server stands still for a second of the rush."""
    server = Broadcaster(lies=Lies(stalls=[(4.0, 5.0)]))
    if processes == 1:
        return await virtual_run(server.serve, tmp_path, **LOAD)
    return await virtual_fleet(server.serve, tmp_path, count=processes, **LOAD)


async def test_a_day_can_be_tried_in_a_moment(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Phases and events keep their proportions, at the same rates; how fast a storm comes back is left alone."""
    server = Broadcaster()
    outcome = await virtual_run(server.serve, tmp_path, **(LOAD | {"events": EVENTS, "shorten_to_s": 3.5}))
    run = read_run(outcome.run_dir)
    assert run.manifest is not None
    assert [round(phase.end_s - phase.start_s, 2) for phase in run.manifest.phases[1:5]] == [1, 1, 1, 1.5]
    steady_s = run.manifest.phases[2].start_s
    when = {row.kind: round(row.t_s - steady_s, 1) for row in run.rows(EventRow)}
    assert (when["burst"], when["burst_over"], when["storm"]) == (1.0, 2.0, 2.0)
    assert "again within 0.1 s" in next(row.detail or "" for row in run.rows(EventRow) if row.kind == "storm")
    messages = Counter(row.phase for row in run.rows(BroadcastRow))
    assert (messages["morning"], messages["rush"]) == (60, 360)


@pytest.mark.parametrize("processes", [1, 3])
async def test_each_step_is_a_phase_of_the_run(processes: int, autojump_clock: MockClock, tmp_path: Path) -> None:
    """By its name, with its times, in every table; messages belong to the step they were intended in."""
    outcome = await day(tmp_path, processes)
    run = read_run(outcome.run_dir)
    assert run.manifest is not None
    assert [(phase.name, phase.kind, phase.measured) for phase in run.manifest.phases] == [
        ("ramp", "ramp", False),
        ("warmup", "warmup", False),
        ("morning", "steady", True),
        ("rush", "steady", False),
        ("evening", "steady", True),
        ("drain", "drain", False),
    ]
    assert [round(phase.end_s - phase.start_s, 2) for phase in run.manifest.phases[1:5]] == [1, 2, 2, 3]
    messages = Counter(row.phase for row in run.rows(BroadcastRow) if row.worker_id == "0")
    assert messages == {"warmup": 60, "morning": 120, "rush": 360, "evening": 90}
    begun = Counter(row.detail for row in run.rows(EventRow) if row.kind == "phase")
    assert begun["rush"] == processes
    assert {row.phase for row in run.rows(TimeseriesRow)} >= {"morning", "rush", "evening"}
    for row in run.rows(BroadcastRow):
        phase = next(phase for phase in run.manifest.phases if phase.name == row.phase)
        assert phase.start_s - 1e-6 <= row.t_s <= phase.end_s + 1e-6


@pytest.mark.parametrize("processes", [1, 3])
async def test_what_is_not_measured_is_kept_and_judges_nothing(
    processes: int, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It is in the ledger and in the tables; figures, objectives and what they are divided by are of the rest."""
    outcome = await day(tmp_path, processes)
    figures = {name: figure.value for name, figure in outcome.summary.figures.items()}
    assert outcome.manifest.ledger.published == 60 + 120 + 360 + 90
    assert outcome.manifest.ledger.missing == 0
    assert figures["offered_per_s"] == pytest.approx((120 + 90) / 5)
    assert figures["published_per_s"] == pytest.approx((120 + 90) / 5)
    longest: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for row in read_run(outcome.run_dir).rows(HistogramRow):
        if row.metric == "delivery":
            counted[row.phase] += row.count
            longest[row.phase] = max(longest[row.phase], row.bucket_high_ns)
    assert counted == {"warmup": 360, "morning": 720, "rush": 2160, "evening": 540}
    assert longest["rush"] > 0.9e9
    assert figures["delivery_max"] is not None
    assert figures["delivery_max"] < 100
    assert max(longest["morning"], longest["evening"]) < 0.1e9
    assert not [reason for reason in outcome.summary.validity.reasons if "offered" in reason.text]


async def test_rooms_that_are_dealt_out_count_every_message_of_a_fast_step(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """How many a publisher in another process can have published follows from the rates, not from the duration."""
    server = Broadcaster()
    steps = (Step(name="slow", duration_s=1, rate=0.1), Step(name="fast", duration_s=4, rate=10))
    outcome = await virtual_fleet(server.serve, tmp_path, count=3, **LOAD | {"phases": steps, "clients": 3})
    ledger = outcome.manifest.ledger
    assert ledger.published == len(server.truth.taken) > 3 * 400
    assert (ledger.phantom, ledger.missing) == (0, 0)
    assert ledger.delivered == ledger.expected == server.truth.delivered


UP_AND_DOWN = (
    Step(name="few", duration_s=2, clients=4),
    Step(name="many", duration_s=3, clients=12),
    Step(name="fewer", duration_s=2, clients=6),
    Step(name="again", duration_s=2, clients=9),
)


@pytest.mark.parametrize("target", ["plain", "scalechat"])
async def test_clients_come_and_go_with_the_steps(target: str, autojump_clock: MockClock, tmp_path: Path) -> None:
    """Nobody loses anything by it: who is there gets everything, and who goes says goodbye."""
    server = Broadcaster(v1=target == "scalechat")
    options = LOAD | {"phases": UP_AND_DOWN, "clients": 12, "publishers": 8, "target": target, "ramp_per_s": 50.0}
    outcome = await virtual_run(server.serve, tmp_path, **options)
    run = read_run(outcome.run_dir)
    ledger = outcome.manifest.ledger
    messages = Counter(row.phase for row in run.rows(BroadcastRow))
    assert messages == {"warmup": 40, "few": 80, "many": 240, "fewer": 120, "again": 160}
    assert ledger.published == len(server.truth.taken) == sum(messages.values())
    assert (ledger.missing, ledger.phantom, ledger.duplicated, ledger.rejected or 0) == (0, 0, 0, 0)
    assert ledger.delivered == ledger.expected == sum(row.delivered for row in run.rows(BroadcastRow))
    rows = {row.phase: (row.connections_target, row.connections_open) for row in run.rows(TimeseriesRow)}
    assert {phase: target for phase, (target, _open) in rows.items()} == {
        "ramp": 4,
        "warmup": 4,
        "few": 4,
        "many": 12,
        "fewer": 6,
        "again": 9,
        "drain": 0,
    }
    # When a step's last row is written, the first client of the next may be there.
    assert [rows[phase][1] - rows[phase][0] in (0, 1) for phase in ("few", "many", "fewer", "again")] == [True] * 4
    connections = list(run.rows(ConnectionRow))
    assert len(connections) == 12 + 3
    assert len({row.connection_id for row in connections}) == 15
    assert {row.closed_by for row in connections} == {"client"}
    assert outcome.summary.validity.reasons == [] or "offered" not in str(outcome.summary.validity.reasons)
    assert outcome.summary.figures["offered_per_s"].value == pytest.approx((80 + 240 + 120 + 160) / 9)


async def test_steps_of_clients_in_several_processes(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Each process brings its own part of them, and none is missed."""
    server = Broadcaster()
    options = LOAD | {"phases": UP_AND_DOWN, "clients": 12, "rooms": 3}
    outcome = await virtual_fleet(server.serve, tmp_path, count=3, **options)
    ledger = outcome.manifest.ledger
    assert ledger.published == len(server.truth.taken) == 40 + 80 + 360 + 120 + 180
    assert (ledger.missing, ledger.phantom) == (0, 0)
    assert ledger.delivered == ledger.expected
