"""Exactness of several processes: whatever a faulty server does to rooms that are split, the ledger is the one truth.

What one process must know and another one did is the question here: who publishes in one of them is heard in all, and
members join, are cut off, and come back in each while the others publish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from scalechat.load.conclusion import RunOutcome
from scalechat.load.ending import Interruption
from scalechat.load.results import BroadcastRow, ConnectionRow, HealthRow, TimeseriesRow, read_run
from scalechat.scenario import AnyKind, Churning, Slow
from tests.load.broadcaster import Broadcaster
from tests.load.fleet.fleets import virtual_fleet
from tests.load.lies import Lies
from tests.load.test_exactness import CASES, FAULTS, MIXES, require_sums, require_truth
from tests.load.test_exactness_churning import COMING_BACK, KINDS


async def faulty_fleet(lies: Lies, out: Path, *, v1: bool, **options: object) -> tuple[RunOutcome, Broadcaster]:
    server = Broadcaster(v1=v1, lies=lies)

    async def meanwhile(_workers: list[trio.CancelScope], _interruption: Interruption) -> None:
        await server.misbehave()

    shape: dict[str, object] = {"clients": 9, "rooms": 2, "publishers": 7, "msg_frequency_ms": 100.0, "drain_s": 4.0}
    shape |= {"target": "scalechat" if v1 else "plain"}
    outcome = await virtual_fleet(server.serve, out, meanwhile=meanwhile, **(shape | options))  # type: ignore[arg-type]
    return outcome, server


def require_equal(outcome: RunOutcome, server: Broadcaster) -> None:
    """The ledger of all workers is the truth, and the rows of all workers add up to it."""
    ledger, run = outcome.manifest.ledger, read_run(outcome.run_dir)
    require_truth(ledger, server)
    broadcasts = list(run.rows(BroadcastRow))
    assert len({row.msg_id for row in broadcasts}) == ledger.published
    assert max(Counter((row.msg_id, row.worker_id) for row in broadcasts).values(), default=1) == 1
    require_sums(run, broadcasts, ledger)
    assert {row.worker_id for row in run.rows(HealthRow)} == {"0", "1", "2"}
    newest = {row.worker_id: row for row in run.rows(TimeseriesRow)}.values()
    assert sum(row.published_total for row in newest) == ledger.published
    assert sum(row.delivered_total for row in newest) == ledger.delivered
    assert sum(row.expected_total or 0 for row in newest) == ledger.expected
    assert sum(row.missing_total or 0 for row in newest) == ledger.missing
    for name, entry in outcome.manifest.files.items():
        if entry.rows is not None:
            assert (outcome.run_dir / name).read_bytes().count(b"\n") == entry.rows + 1


@pytest.mark.parametrize("fault, v1", CASES, ids=[f"{fault}-{'v1' if v1 else 'plain'}" for fault, v1 in CASES])
async def test_the_ledger_of_three_workers_is_what_the_server_did(
    fault: str, v1: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Every member of a room counts the messages of all publishers, whichever process they are in."""
    outcome, server = await faulty_fleet(FAULTS[fault], tmp_path, v1=v1, duration_s=3.0, no_reconnect=True)
    assert server.truth.published > 100
    require_equal(outcome, server)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("fault", COMING_BACK)
async def test_those_who_come_and_go_are_counted_as_exactly(
    fault: str, resume: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Who resumes is one member over all its connections, to the messages of every process; who does not is another
    one each time, which is owed what all of them sent meanwhile."""
    churning = Churning(share=0.5, every_s=0.7, away_s=0.2, resume=resume)
    outcome, server = await faulty_fleet(
        COMING_BACK[fault], tmp_path, v1=True, clients=12, publishers=6, kinds=(churning,), duration_s=3.0
    )
    assert sum(row.reconnect_of is not None for row in read_run(outcome.run_dir).rows(ConnectionRow)) > 15
    require_equal(outcome, server)


async def test_a_plain_server_is_counted_as_exactly(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Without acknowledgements, and also when hardly anything arrives: what nobody here ever saw is known as well."""
    lies = Lies(drop=0.6, duplicate=0.05, reorder=0.05, corrupt=0.1, kills=(2.2, 3.1))
    require_equal(*await faulty_fleet(lies, tmp_path, v1=False))


@settings(max_examples=10)  # each is a whole run of three workers, some 250 ms; 2,500 have passed by hand
@given(
    lies=MIXES,
    kinds=st.one_of(st.just([]), KINDS),
    v1=st.booleans(),
    rooms=st.integers(1, 4),
    drain_s=st.sampled_from([0.0, 1.0, 4.0]),
    no_reconnect=st.booleans(),
)
def test_the_ledger_of_three_workers_is_what_the_server_did_in_every_mix(
    lies: Lies, kinds: Sequence[AnyKind], v1: bool, rooms: int, drain_s: float, no_reconnect: bool
) -> None:
    """Whoever publishes, reads, lags, comes and goes in whichever process, whatever the server does to them."""
    if any(isinstance(kind, Slow) for kind in kinds):
        # For kills see `test_exactness_churning`. Who is slow, and is let in again just when a run ends that waits for
        # nothing, has not read what has left the server by then.
        lies = replace(lies, kills=(), closes=lies.closes if drain_s else ())
    shape: dict[str, object] = {"clients": 12, "publishers": None if kinds else 7, "rooms": rooms, "drain_s": drain_s}
    shape |= {"kinds": tuple(kinds), "no_reconnect": no_reconnect, "warmup_s": 0.5, "duration_s": 2.5}

    async def main(out: Path) -> None:
        require_equal(*await faulty_fleet(lies, out, v1=v1, **shape))

    with TemporaryDirectory() as out:
        trio.run(main, Path(out), clock=MockClock(autojump_threshold=0))
