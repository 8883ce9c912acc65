"""Whole runs in virtual time: what the load client says is what the server did."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from scalechat.load.results import (
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    EventRow,
    HistogramRow,
    TimeseriesRow,
    read_run,
)
from scalechat.load.runner import Interruption, RunOutcome

from .broadcaster import Broadcaster
from .lies import Lies
from .worlds import Memory, MemoryConnector, printed, virtual_run


def latencies_of(outcome: RunOutcome, metric: str = "delivery", phase: str = "steady") -> dict[int, int]:
    """Bucket (its lower edge, ns) → count."""
    found: dict[int, int] = {}
    for row in read_run(outcome.run_dir).rows(HistogramRow):
        if row.metric == metric and row.phase == phase:
            found[row.bucket_low_ns] = found.get(row.bucket_low_ns, 0) + row.count
    return found


async def test_a_message_that_never_came_counts_as_the_time_it_was_waited_for(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A server that drops cannot look fast: its losses stand in the distribution, no lower than the drain time."""
    server = Broadcaster(lies=Lies(drop=0.02))
    outcome = await virtual_run(server.serve, tmp_path, clients=10, msg_frequency_ms=50.0, target="plain", drain_s=4.0)
    slow = sum(count for low, count in latencies_of(outcome).items() if low >= 0.98 * 4e9)
    steady = [row for row in read_run(outcome.run_dir).rows(BroadcastRow) if row.phase == "steady"]
    assert slow == sum(row.expected - row.delivered for row in steady) > 100
    assert outcome.summary.figures["delivery_p99"].value == pytest.approx(
        outcome.summary.figures["delivery_max"].value, rel=0.7
    )


async def test_a_stall_shows_in_full_as_arithmetic_says(autojump_clock: MockClock, tmp_path: Path) -> None:
    """While everything stands still for two seconds messages stay due: their latencies fall evenly from 2 s to 0."""
    server = Broadcaster(lies=Lies(stalls=[(3.0, 5.0)]))
    outcome = await virtual_run(
        server.serve,
        tmp_path,
        clients=10,
        msg_frequency_ms=100.0,
        arrivals="fixed",
        target="plain",
        duration_s=6.0,
    )
    found = latencies_of(outcome)
    total = sum(found.values())
    assert total == 6.0 * 100 * 10
    for seconds in (0.5, 1.0, 1.5, 1.9):
        longer = sum(count for low, count in found.items() if low >= seconds * 1e9)
        assert longer == pytest.approx((2.0 - seconds) * 100 * 10, abs=40)
    assert outcome.manifest.ledger.missing == 0
    assert outcome.summary.figures["delivery_p99"].value == pytest.approx(1940, rel=0.02)


async def test_the_phases_follow_each_other_and_each_row_belongs_to_one(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Ramp as long as it takes, then warm-up and the measured seconds exactly."""
    outcome = await virtual_run(Broadcaster(v1=True).serve, tmp_path, clients=10, ramp_per_s=5.0, arrivals="fixed")
    phases = outcome.manifest.phases
    assert [phase.name for phase in phases] == ["ramp", "warmup", "steady", "drain"]
    assert [phase.measured for phase in phases] == [False, False, True, False]
    assert phases[0].end_s == pytest.approx(1.8, abs=0.01)
    assert [phase.end_s - phase.start_s for phase in phases[1:3]] == pytest.approx([1, 5], abs=0.001)
    for row in read_run(outcome.run_dir).rows(TimeseriesRow):
        phase = next(phase for phase in phases if phase.name == row.phase)
        assert phase.start_s <= row.t_s <= phase.end_s + 0.001
    assert outcome.summary.figures["offered_per_s"].value == pytest.approx(10)


async def test_an_interrupted_run_is_written(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Ctrl-C in the middle: what was under way arrives, and everything is on disk; exit code 105."""

    async def meanwhile(_connector: MemoryConnector, interruption: Interruption) -> None:
        await trio.sleep(3)
        interruption.request()

    watcher = Memory()
    outcome = await virtual_run(
        Broadcaster(v1=True).serve, tmp_path, meanwhile=meanwhile, watcher=watcher, clients=5, duration_s=60.0
    )
    assert (outcome.exit_code, outcome.summary.interrupted, outcome.summary.verdict) == (105, True, "interrupted")
    assert (outcome.manifest.exit_code, outcome.manifest.interrupted, outcome.manifest.verdict) == (
        *(105, True),
        "interrupted",
    )
    assert outcome.manifest.ledger.missing == 0
    assert outcome.manifest.phases[-1].end_s < 4
    assert watcher.notes == ["ending the run: interrupted"]
    assert read_run(outcome.run_dir).finished


async def test_a_second_interruption_ends_the_waiting(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Somebody in a hurry need not wait for the drain."""
    server = Broadcaster(lies=Lies(drop=0.5))

    async def meanwhile(_connector: MemoryConnector, interruption: Interruption) -> None:
        await trio.sleep(3)
        interruption.request()
        await trio.sleep(1)
        interruption.request()

    outcome = await virtual_run(server.serve, tmp_path, meanwhile=meanwhile, clients=5, target="plain", drain_s=1000.0)
    assert outcome.exit_code == 105
    assert outcome.manifest.phases[-1].end_s < 5


async def test_a_server_that_is_gone_ends_the_run_and_is_reported(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Every connection breaks at once: the run says when and why, is written, and fails."""

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        await trio.sleep(3.25)
        for link in connector.links:
            await trio.aclose_forcefully(link)

    outcome = await virtual_run(
        Broadcaster(v1=True).serve,
        tmp_path,
        meanwhile=meanwhile,
        clients=5,
        slo=("disconnects == 0",),
        no_reconnect=True,
    )
    assert (outcome.summary.verdict, outcome.exit_code) == ("fail", 99)
    run = read_run(outcome.run_dir)
    (end,) = [row for row in run.rows(EventRow) if row.kind == "end"]
    assert end.t_s == pytest.approx(3.25, abs=0.01)
    assert end.detail == "the server closed or lost every connection"
    assert [(row.kind, row.count) for row in run.rows(ErrorRow)] == [("closed_1006", 5)]
    assert {row.closed_by for row in run.rows(ConnectionRow)} == {"network"}


async def test_one_lost_member_is_expected_to_get_nothing_more(autojump_clock: MockClock, tmp_path: Path) -> None:
    """What is published after it left is not missing there, and the others' account is untouched."""

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        await trio.sleep(3.25)
        await trio.aclose_forcefully(connector.links[3])  # the first link is the greeting's

    server = Broadcaster(v1=True)
    outcome = await virtual_run(
        server.serve,
        tmp_path,
        meanwhile=meanwhile,
        clients=5,
        publishers=2,
        msg_frequency_ms=100.0,
        no_reconnect=True,
    )
    ledger = outcome.manifest.ledger
    assert (ledger.missing, ledger.delivered, ledger.expected) == (0, server.truth.expected, server.truth.expected)
    assert [
        row.client_id[-2:] for row in read_run(outcome.run_dir).rows(ConnectionRow) if row.closed_by != "client"
    ] == ["c2"]
    assert outcome.exit_code == 0


async def test_clients_that_cannot_connect_are_counted_and_the_offered_load_is_missed(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Half of the handshakes get no answer: they time out, the rest is measured, and the run does not pass."""
    server = Broadcaster(v1=True)
    opened = 0

    async def serve(stream: trio.abc.Stream) -> None:
        nonlocal opened
        opened += 1
        if opened > 1 and opened % 2:
            await trio.sleep_forever()
        await server.serve(stream)

    watcher = Memory()
    outcome = await virtual_run(serve, tmp_path, watcher=watcher, clients=10)
    failed = [row for row in read_run(outcome.run_dir).rows(ConnectionRow) if row.opened_s is None]
    assert len(failed) == 5
    assert {row.close_reason for row in failed} == {"not open in time"}
    assert (outcome.summary.verdict, outcome.exit_code) == ("fail", 99)
    assert watcher.notes == ["5 of 10 clients could not connect: not open in time"]


async def test_objectives_can_be_judged_while_the_run_goes(autojump_clock: MockClock, tmp_path: Path) -> None:
    """What was measured so far is what the verdict is about in the end; of the warm-up there is nothing in it."""
    watcher = Memory()
    slos = ("p99(delivery) < 1s", "p99(broadcast_last) < 1s", "missing == 0", "unacked == 0")
    outcome = await virtual_run(Broadcaster(v1=True).serve, tmp_path, watcher=watcher, clients=10, slo=slos)
    assert watcher.waits == ["connecting", "writing the run"]
    assert all(set(snapshot.measured) == {"delivery", "broadcast_last"} for snapshot in watcher.snapshots)
    counts = [snapshot.measured["delivery"].count for snapshot in watcher.snapshots]
    phases = [snapshot.phase for snapshot in watcher.snapshots]
    assert counts[phases.index("steady") - 1] == 0
    assert counts == sorted(counts)
    last = watcher.snapshots[-1]
    measured = [row for row in read_run(outcome.run_dir).rows(BroadcastRow) if row.phase == "steady"]
    assert last.measured["delivery"].count == sum(row.delivered for row in measured) > 0
    assert (last.delivered, last.expected) == (outcome.manifest.ledger.delivered, outcome.manifest.ledger.expected)
    assert (last.counted["missing"], last.counted["errors"], last.counted["unacked"]) == (0, 0, None)


async def test_progress_is_shown_each_second(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Rates and percentiles of the last second, and how long the phase still takes."""
    watcher = Memory()
    await virtual_run(Broadcaster(v1=True).serve, tmp_path, watcher=watcher, clients=10, rooms=2, msg_frequency_ms=25.0)
    steady = [snapshot for snapshot in watcher.snapshots if snapshot.phase == "steady"]
    assert len(steady) == 5
    assert all(snapshot.delivered_per_s == pytest.approx(2000, rel=0.02) for snapshot in steady[1:])
    assert [round(snapshot.phase_left_s or 0) for snapshot in steady] == [4, 3, 2, 1, 0]
    assert all(snapshot.p99_ms is not None and snapshot.missing == 0 for snapshot in steady[1:])


async def test_every_table_and_the_interval_log_are_there(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The run directory is complete but for capacity searches, and its manifest lists all of it."""
    outcome = await virtual_run(Broadcaster(v1=True).serve, tmp_path, clients=4)
    files = {path.name for path in outcome.run_dir.iterdir()}
    tables = {"timeseries", "histograms", "broadcasts", "connections", "health", "server", "events", "errors"}
    assert files == {f"{name}.csv" for name in tables} | {"latency.hlog", "summary.json", "run.json"}
    assert set(outcome.manifest.files) == files - {"run.json"}
    assert outcome.manifest.config["clients"].source == "flag"
    assert outcome.manifest.seed == 1


async def test_percentiles_say_how_sure_they_are(autojump_clock: MockClock, tmp_path: Path) -> None:
    """In the summary and on the console; each interval lies around its figure."""
    server = Broadcaster(lies=Lies(delay=0.02))
    shape: dict[str, object] = {"clients": 6, "msg_frequency_ms": 100.0, "target": "plain", "duration_s": 15.0}
    outcome = await virtual_run(server.serve, tmp_path, **shape)  # type: ignore[arg-type]
    figure = outcome.summary.figures["delivery_p90"]
    assert figure.interval is not None
    assert figure.value is not None
    assert figure.interval[0] < figure.value < figure.interval[1]
    low, high = figure.interval
    assert f"p90 {figure.value:,.2f} ms ({low:,.2f} … {high:,.2f})" in printed(outcome)
    assert outcome.summary.figures["connect_p50"].interval is None
