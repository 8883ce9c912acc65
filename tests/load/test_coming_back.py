"""Clients that lose or drop their connections and come back: who is to get what, and what is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from scalechat.load.results import BroadcastRow, ConnectionRow, ErrorRow, EventRow, TimeseriesRow, read_run
from scalechat.load.runner import Interruption, RunOutcome
from scalechat.scenario import Churning, Probe, Publisher, Reader, ReconnectStorm, Slow

from .broadcaster import Broadcaster
from .test_run import latencies_of
from .worlds import Memory, MemoryConnector, virtual_run


def agree(outcome: RunOutcome) -> None:
    """The tables are sums of the same deliveries as the ledger, however often clients came and went."""
    ledger, run = outcome.manifest.ledger, read_run(outcome.run_dir)
    broadcasts, connections = list(run.rows(BroadcastRow)), list(run.rows(ConnectionRow))
    assert ledger.expected == ledger.delivered + ledger.missing
    assert sum(row.expected for row in broadcasts) == ledger.expected
    assert sum(row.delivered for row in broadcasts) == ledger.delivered
    assert sum(row.received or 0 for row in connections) == ledger.delivered
    assert sum(row.missed or 0 for row in connections) == ledger.missing
    by_id = {row.connection_id: row for row in connections}
    assert len(by_id) == len(connections)
    for row in connections:
        if row.reconnect_of is not None:
            assert by_id[row.reconnect_of].client_id == row.client_id
    last = list(run.rows(TimeseriesRow))[-1]
    assert last.reconnects_total == sum(
        row.reconnect_of is not None and row.opened_s is not None for row in connections
    )


async def cut_one(connector: MemoryConnector, at_s: float, link: int) -> None:
    await trio.sleep(at_s)
    await trio.aclose_forcefully(connector.links[link])


async def test_a_client_that_was_cut_off_resumes_and_misses_nothing(autojump_clock: MockClock, tmp_path: Path) -> None:
    """What was published meanwhile comes by replay: delivered, late by the time it was away, and not missing."""

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        await cut_one(connector, 3.25, 3)

    server = Broadcaster(v1=True)
    outcome = await virtual_run(
        server.serve, tmp_path, meanwhile=meanwhile, clients=5, publishers=2, msg_frequency_ms=100.0
    )
    ledger = outcome.manifest.ledger
    assert (ledger.missing, ledger.duplicated, ledger.phantom) == (0, 0, 0)
    assert ledger.expected == 5 * ledger.published == ledger.delivered
    agree(outcome)
    rows = [row for row in read_run(outcome.run_dir).rows(ConnectionRow) if row.client_id.endswith("c2")]
    assert [(row.connection_id, row.reconnect_of, row.closed_by) for row in rows] == [
        ("2", None, "network"),
        ("2.1", "2", "client"),
    ]
    away_ns = ((rows[1].opened_s or 0) - (rows[0].closed_s or 0)) * 1e9
    assert 1e6 < max(latencies_of(outcome)) <= away_ns


async def test_what_a_server_cannot_recover_is_missing(autojump_clock: MockClock, tmp_path: Path) -> None:
    """The member stayed a member, asked, and was told no."""

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        await cut_one(connector, 3.25, 3)

    server = Broadcaster(v1=True)
    server.forgetful = True
    outcome = await virtual_run(
        server.serve, tmp_path, meanwhile=meanwhile, clients=5, publishers=2, msg_frequency_ms=100.0
    )
    assert outcome.manifest.ledger.missing == server.truth.missing > 0
    agree(outcome)
    assert ("not_recovered", 1) in {(row.kind, row.count) for row in read_run(outcome.run_dir).rows(ErrorRow)}


async def test_a_plain_client_that_was_cut_off_is_a_new_member_when_it_is_back(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Nothing published while it was away is expected there."""

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        await cut_one(connector, 3.25, 3)

    server = Broadcaster()
    outcome = await virtual_run(
        server.serve, tmp_path, meanwhile=meanwhile, clients=5, publishers=2, msg_frequency_ms=100.0, target="plain"
    )
    ledger = outcome.manifest.ledger
    assert ledger.missing == 0
    assert ledger.expected == server.truth.expected < 5 * ledger.published
    agree(outcome)


@pytest.mark.parametrize("resume", [True, False])
async def test_churning_clients_come_and_go_and_the_account_stays_exact(
    resume: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """An honest server is missing nothing, whether they resume or not; they stand apart from the headline."""
    server = Broadcaster(v1=True)
    churning = Churning(share=0.4, every_s=1, away_s=0.3, resume=resume)
    outcome = await virtual_run(
        server.serve, tmp_path, clients=20, rooms=4, kinds=(churning,), msg_frequency_ms=100.0, duration_s=10.0
    )
    ledger, run = outcome.manifest.ledger, read_run(outcome.run_dir)
    assert (ledger.missing, ledger.duplicated, outcome.exit_code) == (0, 0, 0)
    assert (ledger.expected == 5 * ledger.published) == resume
    agree(outcome)
    kinds = [row.kind for row in run.rows(ConnectionRow)]
    assert kinds.count("normal") == 12
    assert kinds.count("churning") > 40
    headline, apart = latencies_of(outcome), latencies_of(outcome, "delivery_churning")
    steady = [row for row in run.rows(BroadcastRow) if row.phase == "steady"]
    assert sum(headline.values()) == 3 * len(steady)
    assert sum(apart.values()) == sum(row.delivered for row in steady) - 3 * len(steady) > 0
    assert max(headline) < 1e6
    assert (max(apart) > 1e8) == resume


async def test_a_storm_is_an_event_and_everybody_is_back(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Half of the clients are cut at once; what is due to be published meanwhile goes out when its client is back."""
    watcher = Memory()
    server = Broadcaster(v1=True)
    storm = ReconnectStorm(at_s=2, share=0.5, within_s=1)
    outcome = await virtual_run(
        server.serve, tmp_path, watcher=watcher, clients=20, rooms=2, events=(storm,), msg_frequency_ms=100.0
    )
    ledger, run = outcome.manifest.ledger, read_run(outcome.run_dir)
    assert (ledger.missing, outcome.exit_code) == (0, 0)
    assert ledger.published == server.truth.published == pytest.approx(20 * 60, abs=5)  # by the jitter of arrivals
    agree(outcome)
    (event,) = [row for row in run.rows(EventRow) if row.kind == "storm"]
    assert event.detail == "10 clients lost their connections and dial again within 1 s"
    assert watcher.notes == [event.detail]
    assert sum(row.reconnect_of is not None for row in run.rows(ConnectionRow)) == 10
    # Due while its publisher was away: its latency counts from then, and it is no lateness of the generator's.
    assert max(latencies_of(outcome)) > 5e8
    assert max(latencies_of(outcome, "send_lag")) < 1e6


async def test_when_everybody_is_gone_for_good_the_run_ends(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Clients try for as long as one connection may take; then it is said, and what was measured is written."""
    server, is_dead = Broadcaster(v1=True), False

    async def serve(stream: trio.abc.Stream) -> None:
        if is_dead:
            await trio.aclose_forcefully(stream)
        else:
            await server.serve(stream)

    async def meanwhile(connector: MemoryConnector, _interruption: Interruption) -> None:
        nonlocal is_dead
        await trio.sleep(3.25)
        is_dead = True
        for link in list(connector.links):
            await trio.aclose_forcefully(link)

    outcome = await virtual_run(
        serve, tmp_path, meanwhile=meanwhile, clients=5, duration_s=100.0, connect_timeout_s=4.0
    )
    run = read_run(outcome.run_dir)
    (end,) = [row for row in run.rows(EventRow) if row.kind == "end"]
    assert end.detail == "the server closed or lost every connection and nobody came back"
    assert end.t_s == pytest.approx(7.25, abs=0.1)
    assert outcome.exit_code == 99
    agree(outcome)


async def test_slow_readers_are_read_slowly_and_get_the_rest_in_the_drain(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """They have a metric of their own, the headline does not know of them, and nothing is missing in the end."""
    server = Broadcaster(v1=True)
    slow = Slow(count=2, read_bytes_per_s=2_000)
    outcome = await virtual_run(
        server.serve, tmp_path, clients=8, publishers=2, kinds=(slow,), msg_frequency_ms=50.0, drain_s=30.0
    )
    assert (outcome.manifest.ledger.missing, outcome.exit_code) == (0, 0)
    agree(outcome)
    headline, apart = latencies_of(outcome), latencies_of(outcome, "delivery_slow")
    assert max(headline) < 1e6
    # 40 messages of some 360 bytes a second against 2,000: most of what was sent is still to be read at the end.
    assert max(apart) == pytest.approx(5e9, rel=0.2)
    assert max(latencies_of(outcome, "broadcast_last")) < 1e6


async def test_kinds_are_in_the_tables_and_only_publishers_publish(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Publisher-only and probe stand apart; a reader is in the headline."""
    kinds = (Probe(count=1), Reader(count=2), Publisher(count=3))
    outcome = await virtual_run(Broadcaster(v1=True).serve, tmp_path, clients=10, publishers=5, kinds=kinds)
    run = read_run(outcome.run_dir)
    kinds_of = {row.client_id: row.kind for row in run.rows(ConnectionRow)}
    assert sorted(kinds_of.values()) == sorted(
        ["publisher-only"] * 3 + ["normal"] * 2 + ["reader-only"] * 4 + ["probe"]
    )
    speaking = {row.publisher for row in run.rows(BroadcastRow)}
    assert {kinds_of[name] for name in speaking} == {"publisher-only", "normal"}
    counts = {
        metric: sum(latencies_of(outcome, metric).values())
        for metric in ("delivery", "delivery_publisher_only", "delivery_probe")
    }
    steady = sum(row.phase == "steady" for row in run.rows(BroadcastRow))
    assert counts == {"delivery": 6 * steady, "delivery_publisher_only": 3 * steady, "delivery_probe": steady}
    agree(outcome)
