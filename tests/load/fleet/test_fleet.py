"""One run of several workers is one run: one directory, one exact ledger, one verdict."""

from __future__ import annotations

from collections import Counter
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
    HealthRow,
    HistogramRow,
    TimeseriesRow,
    read_run,
)
from tests.load.broadcaster import Broadcaster, Lies
from tests.load.fleet.fleets import virtual_fleet
from tests.load.worlds import Memory, virtual_run

LIES = {
    "honest": Lies(),
    "drop": Lies(drop=0.05, seed=1),
    "duplicate": Lies(duplicate=0.05, seed=2),
    "reorder": Lies(reorder=0.05, seed=3),
    "everything": Lies(drop=0.03, duplicate=0.03, reorder=0.03, corrupt=0.03, seed=4),
    "nearly nothing arrives": Lies(drop=0.97, seed=5),
}


def tables_agree_with_the_ledger(outcome: RunOutcome) -> None:
    """The rows of all workers add up to the ledger of the run."""
    run, ledger = read_run(outcome.run_dir), outcome.manifest.ledger
    broadcasts = list(run.rows(BroadcastRow))
    assert sum(row.expected for row in broadcasts) == ledger.expected
    assert sum(row.delivered for row in broadcasts) == ledger.delivered
    assert len({row.msg_id for row in broadcasts}) == ledger.published
    assert max(Counter((row.msg_id, row.worker_id) for row in broadcasts).values()) == 1
    deliveries = sum(row.count for row in run.rows(HistogramRow) if row.metric == "delivery")
    assert deliveries == ledger.expected
    assert {row.worker_id for row in run.rows(HealthRow)} == {"0", "1", "2"}
    newest = {row.worker_id: row for row in run.rows(TimeseriesRow)}
    assert sum(row.delivered_total for row in newest.values()) == ledger.delivered
    for name, entry in outcome.manifest.files.items():
        if entry.rows is not None:
            assert (outcome.run_dir / name).read_bytes().count(b"\n") == entry.rows + 1


@pytest.mark.parametrize(
    "lies,v1",
    [*((lies, True) for lies in LIES.values()), (LIES["everything"], False)],
    ids=[*LIES, "everything, plain"],
)
async def test_the_ledger_of_three_workers_is_the_truth(
    autojump_clock: MockClock, tmp_path: Path, lies: Lies, v1: bool
) -> None:
    """Every member of a room counts the messages of all publishers, whichever process they are in."""
    server = Broadcaster(v1=v1, lies=lies)

    async def meanwhile(_workers: list[trio.CancelScope], _interruption: Interruption) -> None:
        await trio.sleep(8)  # all is published by now, and the drain lasts
        server.release()

    outcome = await virtual_fleet(
        server.serve,
        tmp_path,
        meanwhile=meanwhile,
        clients=10,
        rooms=2,
        msg_frequency_ms=100.0,
        target="scalechat" if v1 else "plain",
    )
    ledger, truth = outcome.manifest.ledger, server.truth
    assert ledger.published == truth.published > 500
    assert (ledger.expected, ledger.delivered) == (truth.due, truth.due - ledger.missing)
    assert ledger.missing == truth.dropped + truth.corrupted
    assert (ledger.duplicated, ledger.reordered) == (truth.duplicated, truth.reordered)
    assert (ledger.corrupted, ledger.phantom) == (truth.corrupted, 0)
    tables_agree_with_the_ledger(outcome)


async def test_refused_messages_are_expected_in_no_process(autojump_clock: MockClock, tmp_path: Path) -> None:
    """What the server refuses is known to its publisher's process alone, until the drain."""
    server = Broadcaster(v1=True, lies=Lies(drop=0.02, reject=0.2, seed=6))
    outcome = await virtual_fleet(server.serve, tmp_path, clients=9, msg_frequency_ms=100.0)
    ledger, truth = outcome.manifest.ledger, server.truth
    assert ledger.rejected == truth.rejected > 50
    assert (ledger.expected, ledger.missing, ledger.unacked) == (truth.due, truth.dropped, 0)
    tables_agree_with_the_ledger(outcome)


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

    outcome = await virtual_fleet(serve, tmp_path, meanwhile=meanwhile, clients=9, duration_s=60.0)
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
