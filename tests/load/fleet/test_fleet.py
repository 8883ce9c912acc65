"""One run of several workers is one run: one directory, one exact ledger, one verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from scalechat.config import OperationalError
from scalechat.load.conclusion import RunOutcome
from scalechat.load.ending import Interruption
from scalechat.load.results import (
    BroadcastRow,
    ConnectionRow,
    EventRow,
    HistogramRow,
    TimeseriesRow,
    read_run,
)
from scalechat.scenario import ReconnectStorm
from tests.load.broadcaster import Broadcaster
from tests.load.fleet.fleets import virtual_fleet
from tests.load.fleet.test_exactness import faulty_fleet, require_equal
from tests.load.lies import Lies
from tests.load.worlds import Memory, virtual_run


async def test_what_waited_for_its_publisher_to_be_back_is_no_phantom_to_the_others(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It is published in the drain, when each process has said how much it published; and told of again."""
    storm = ReconnectStorm(at_s=1.9, share=1.0, within_s=0.5)
    shape: dict[str, object] = {"rooms": 1, "duration_s": 2.0, "events": (storm,)}
    outcome, server = await faulty_fleet(Lies(), tmp_path, v1=True, **shape)
    drain = outcome.manifest.phases[-1]
    rows = read_run(outcome.run_dir).rows(BroadcastRow)
    assert any(row.t_s + (row.send_lag_ns or 0) / 1e9 > drain.start_s + 0.1 for row in rows)
    require_equal(outcome, server)


async def test_a_refusal_ends_nobody_s_drain_later(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Also one that comes in the drain: no process waits for a message that another one was refused."""
    lies = Lies(reject=0.3, stalls=((2.0, 3.5),))
    shape: dict[str, object] = {"rooms": 1, "warmup_s": 1.0, "duration_s": 2.0, "drain_s": 20.0}
    outcome, server = await faulty_fleet(lies, tmp_path, v1=True, **shape)
    assert outcome.manifest.ledger.rejected
    drain = outcome.manifest.phases[-1]
    assert drain.end_s - drain.start_s < 2
    require_equal(outcome, server)


async def test_a_closed_loop_of_several_processes_is_one(autojump_clock: MockClock, tmp_path: Path) -> None:
    """It is said once, and everybody in every process waits for its own answer."""
    watcher = Memory()
    server = Broadcaster(v1=True, lies=Lies(stalls=((2.0, 4.0),)))
    outcome = await virtual_fleet(
        server.serve, tmp_path, watcher=watcher, clients=9, msg_frequency_ms=100.0, arrivals="fixed", loop="closed"
    )
    assert ["closed loop: " in note for note in watcher.notes] == [True]
    assert outcome.manifest.loop == "closed"
    slow = [row for row in read_run(outcome.run_dir).rows(BroadcastRow) if (row.delivery_last_ns or 0) > 1e9]
    assert len({row.msg_id for row in slow}) == len({row.publisher for row in slow}) == 9
    assert outcome.manifest.ledger.missing == 0


async def test_a_message_that_no_worker_saw_has_a_row_for_each(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Whoever published it knows when, so the others' wait for it is in their distribution."""
    outcome, server = await faulty_fleet(Lies(drop=1.0), tmp_path, v1=True, rooms=1)
    require_equal(outcome, server)
    rows = list(read_run(outcome.run_dir).rows(BroadcastRow))
    assert len(rows) == 3 * outcome.manifest.ledger.published
    assert {row.delivered for row in rows} == {0}
    assert {row.expected for row in rows} == {3}
    waits = [row for row in read_run(outcome.run_dir).rows(HistogramRow) if row.metric == "delivery"]
    assert min(row.bucket_high_ns for row in waits) >= 4e9


async def test_a_fleet_publishes_what_one_process_would(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The same messages at the same intended times: a plan does not depend on who carries it out."""
    server = Broadcaster(v1=True)
    alone = await virtual_run(server.serve, tmp_path / "alone", clients=10, msg_frequency_ms=100.0)
    fleet = await virtual_fleet(server.serve, tmp_path / "fleet", clients=10, msg_frequency_ms=100.0)

    def intended(outcome: RunOutcome) -> dict[str, int]:
        rows = list(read_run(outcome.run_dir).rows(BroadcastRow))
        first_ns = min(row.ts_unix_ns for row in rows)
        return {row.msg_id: row.ts_unix_ns - first_ns for row in rows}

    assert intended(fleet) == intended(alone)
    assert fleet.manifest.ledger == alone.manifest.ledger
    assert fleet.summary.figures["delivered_per_s"].value == alone.summary.figures["delivered_per_s"].value


async def test_a_lost_worker_makes_the_run_invalid_and_keeps_what_the_others_measured(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Exit code 97, the worker is named, and the account of the others is without a gap."""

    async def meanwhile(workers: list[trio.CancelScope], _interruption: Interruption) -> None:
        await trio.sleep(4)
        workers[1].cancel()

    watcher = Memory()
    outcome = await virtual_fleet(
        Broadcaster(v1=True).serve, tmp_path, meanwhile=meanwhile, watcher=watcher, clients=9, drain_s=1.0
    )
    assert (outcome.summary.verdict, outcome.exit_code) == ("invalid", 97)
    (reason,) = [reason for reason in outcome.summary.validity.reasons if reason.code == "worker_lost"]
    assert reason.text.startswith("worker 1 was lost")
    assert [worker.worker_id for worker in outcome.manifest.workers] == ["0", "2"]
    assert outcome.manifest.ledger.missing == 0
    run = read_run(outcome.run_dir)
    assert {row.worker_id for row in run.rows(TimeseriesRow)} == {"0", "1", "2"}, "also what the lost one wrote"
    assert max(row.t_s for row in run.rows(TimeseriesRow) if row.worker_id != "1") > 6
    assert any("worker 1 is lost" in note for note in watcher.notes)


async def test_an_interruption_reaches_every_worker(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Ctrl-C once: all of them drain, and the run is written."""

    async def meanwhile(_workers: list[trio.CancelScope], interruption: Interruption) -> None:
        await trio.sleep(4)
        interruption.request()

    outcome = await virtual_fleet(Broadcaster(v1=True).serve, tmp_path, meanwhile=meanwhile, clients=9, duration_s=60.0)
    assert (outcome.exit_code, outcome.summary.interrupted) == (105, True)
    assert outcome.manifest.ledger.missing == 0
    assert outcome.manifest.phases[-1].end_s < 6
    assert not [path for path in outcome.run_dir.iterdir() if path.is_dir()], "the parts are in the tables"


async def test_a_server_that_is_gone_ends_the_run_of_all(autojump_clock: MockClock, tmp_path: Path) -> None:
    """When the last worker has lost its last connection, and not before."""
    server = Broadcaster(v1=True)
    streams: list[trio.abc.Stream] = []

    async def serve(stream: trio.abc.Stream) -> None:
        streams.append(stream)
        await server.serve(stream)

    async def meanwhile(_workers: list[trio.CancelScope], _interruption: Interruption) -> None:
        await trio.sleep(3)
        for stream in streams:
            await trio.aclose_forcefully(stream)

    outcome = await virtual_fleet(serve, tmp_path, meanwhile=meanwhile, clients=9, duration_s=60.0, no_reconnect=True)
    assert (outcome.summary.verdict, outcome.exit_code) == ("fail", 99)
    ends = [row.worker_id for row in read_run(outcome.run_dir).rows(EventRow) if row.kind == "end"]
    assert sorted(ends) == ["0", "1", "2"]
    assert outcome.manifest.phases[-1].end_s < 10


async def test_every_client_is_somebodys(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Also when there are hardly enough of them: a process without clients waits for the others."""
    outcome = await virtual_fleet(Broadcaster(v1=True).serve, tmp_path, clients=3, rooms=2, msg_frequency_ms=100.0)
    clients = [row.connection_id for row in read_run(outcome.run_dir).rows(ConnectionRow)]
    assert sorted(clients) == ["0", "1", "2"]
    assert outcome.manifest.ledger.missing == 0


async def test_a_worker_that_cannot_begin_ends_the_attempt_with_its_reason(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """One line, as if there had been one process."""

    async def meanwhile(workers: list[trio.CancelScope], _interruption: Interruption) -> None:
        workers[2].cancel()

    with pytest.RaisesGroup(pytest.RaisesExc(OperationalError, match="worker 2 was lost before the run began")):
        await virtual_fleet(Broadcaster(v1=True).serve, tmp_path, meanwhile=meanwhile, clients=9)


async def test_one_screen_shows_the_sum(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Clients and rates of all workers, percentiles of all deliveries."""
    watcher = Memory()
    await virtual_fleet(Broadcaster(v1=True).serve, tmp_path, watcher=watcher, clients=9, msg_frequency_ms=50.0)
    steady = [snapshot for snapshot in watcher.snapshots if snapshot.phase == "steady"]
    assert len(steady) >= 4
    assert all(snapshot.clients == snapshot.target_clients == 9 for snapshot in steady)
    assert steady[2].published_per_s == pytest.approx(180, rel=0.1)
    assert steady[2].p99_ms is not None
