"""Exactness: whatever a faulty server does, the ledger of the run is what it really did.

The server draws its faults from a seed and writes down what left it; the load client sees frames only. Every figure of
the ledger must be the same, in every single fault and in every mix, and every table must add up to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from scalechat.load.results import BroadcastRow, ConnectionRow, HistogramRow, Ledger, Run, TimeseriesRow, read_run
from scalechat.load.runner import Interruption, RunOutcome

from .broadcaster import Broadcaster
from .lies import Lies
from .worlds import MemoryConnector, virtual_run

FAULTS = {
    "honest": Lies(),
    "drop": Lies(drop=0.1),
    "duplicate": Lies(duplicate=0.1),
    "reorder": Lies(reorder=0.1),
    "delay": Lies(delay=0.02),
    "corrupt": Lies(corrupt=0.1),
    "tear": Lies(tear=0.1),
    "phantom": Lies(phantom=0.1),
    "reject": Lies(reject=0.2),
    "renege": Lies(renege=0.2),
    "renege and lose": Lies(renege=0.2, drop=0.1, reorder=0.1, delay=0.02, kills=(2.3,)),
    "mute": Lies(mute=0.2),
    "swallow": Lies(swallow=0.2),
    "another's text": Lies(swap=0.1, strange_id=0.05),
    "astray": Lies(astray=0.2),
    "stall": Lies(stalls=((2.0, 4.0),)),
    "kill": Lies(kills=(1.9, 2.7, 3.3)),
    "close": Lies(closes=(1.9, 2.7, 3.3), delay=0.02),
    "reject after a loss": Lies(reject=0.3, kills=(2.3, 2.6), stalls=((2.0, 3.0),)),
    "accept slowly": Lies(accept_s=0.4),
    "refuse": Lies(refuse=0.3),
    "everything": Lies(
        drop=0.03,
        duplicate=0.05,
        reorder=0.05,
        delay=0.01,
        corrupt=0.03,
        tear=0.03,
        phantom=0.02,
        reject=0.05,
        renege=0.05,
        mute=0.05,
        ack_late=0.05,
        ack_only=0.02,
        swallow=0.05,
        swap=0.02,
        strange_id=0.02,
        astray=0.05,
        refuse=0.1,
        accept_s=0.1,
        kills=(2.2, 3.8),
        closes=(3.5,),
        stalls=((3.0, 5.0),),
    ),
}


async def faulty_run(lies: Lies, out: Path, *, v1: bool, **options: object) -> tuple[RunOutcome, Broadcaster]:
    server = Broadcaster(v1=v1, lies=lies)

    async def meanwhile(_connector: MemoryConnector, _interruption: Interruption) -> None:
        await server.misbehave()

    shape: dict[str, object] = {"clients": 9, "rooms": 2, "publishers": 5, "msg_frequency_ms": 100.0, "drain_s": 4.0}
    shape |= {
        "duration_s": 3.0,
        "no_reconnect": True,
    }  # Coming back has a module of its own, `test_exactness_churning`.
    target = "scalechat" if v1 else "plain"
    outcome = await virtual_run(server.serve, out, meanwhile=meanwhile, **(shape | {"target": target} | options))  # type: ignore[arg-type]
    return outcome, server


def require_equal(outcome: RunOutcome, server: Broadcaster) -> None:
    """The ledger is the truth, and the tables add up to the ledger."""
    ledger, run = outcome.manifest.ledger, read_run(outcome.run_dir)
    require_truth(ledger, server)
    broadcasts = list(run.rows(BroadcastRow))
    assert len(broadcasts) == ledger.published
    require_sums(run, broadcasts, ledger)
    last = list(run.rows(TimeseriesRow))[-1]
    assert (last.published_total, last.delivered_total) == (ledger.published, ledger.delivered)
    assert (last.expected_total, last.missing_total) == (ledger.expected, ledger.missing)


def require_truth(ledger: Ledger, server: Broadcaster) -> None:
    """Every figure is what the server did; a plain one answers nothing."""
    truth: dict[str, int | None] = dict(server.truth.figures())
    if not server.v1:
        truth |= dict.fromkeys(("acked", "rejected", "unacked"))
    assert {name: getattr(ledger, name) for name in truth} == truth


def require_sums(run: Run, broadcasts: Sequence[BroadcastRow], ledger: Ledger) -> None:
    """Messages and connections add up to the ledger, and so do the distributions."""
    assert sum(row.expected for row in broadcasts) == ledger.expected
    assert sum(row.delivered for row in broadcasts) == ledger.delivered
    connections = list(run.rows(ConnectionRow))
    assert sum(row.received or 0 for row in connections) == ledger.delivered
    assert sum(row.missed or 0 for row in connections) == ledger.missing
    require_distribution(run, ledger)


def require_distribution(run: Run, ledger: Ledger) -> None:
    """Each delivery is in a distribution, and what never came is in the headline's; kinds that stand apart have what
    came in theirs."""
    apart = {kind: f"delivery_{kind.replace('-', '_')}" for kind in ("churning", "slow", "publisher-only", "probe")}
    counted = [row.count for row in run.rows(HistogramRow) if row.metric in ("delivery", *apart.values())]
    missed = [row.missed or 0 for row in run.rows(ConnectionRow) if row.kind not in apart]
    assert sum(counted) == ledger.delivered + sum(missed)


CASES = [
    (fault, v1)
    for fault in FAULTS
    for v1 in (False, True)
    if v1 or fault == "honest" or FAULTS[fault].of_plain != Lies()
]
"""A plain server refuses and acknowledges nothing."""


@pytest.mark.parametrize("fault, v1", CASES, ids=[f"{fault}-{'v1' if v1 else 'plain'}" for fault, v1 in CASES])
async def test_the_ledger_is_what_the_server_did(
    fault: str, v1: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Each fault by itself, and all at once."""
    outcome, server = await faulty_run(FAULTS[fault], tmp_path, v1=v1)
    assert server.truth.published > 100
    require_equal(outcome, server)


def probability() -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, 0.0, 0.02, 0.2])


MIXES = st.builds(
    Lies,
    drop=probability(),
    duplicate=probability(),
    reorder=probability(),
    delay=st.sampled_from([0.0, 0.01]),
    corrupt=probability(),
    tear=probability(),
    swap=probability(),
    phantom=probability(),
    strange_id=probability(),
    reject=probability(),
    renege=probability(),
    mute=probability(),
    ack_late=probability(),
    ack_only=st.sampled_from([0.0, 0.0, 0.05]),
    swallow=probability(),
    astray=probability(),
    rewind=st.sampled_from([0, 0, 1, 5]),
    forgets=st.sampled_from([(), (), (2.0, 3.0)]),
    refuse=st.sampled_from([0.0, 0.3]),
    accept_s=st.sampled_from([0.0, 0.5]),
    kills=st.lists(st.floats(1.5, 4.0), max_size=3).map(tuple),
    closes=st.lists(st.floats(1.5, 4.0), max_size=3).map(tuple),
    stalls=st.sampled_from([(), ((2.0, 4.0),), ((1.5, 2.0), (2.5, 2.6))]),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=15)  # each is a whole run, some 300 ms
@given(lies=MIXES, v1=st.booleans(), rooms=st.integers(1, 3), drain_s=st.sampled_from([0.0, 4.0]))
def test_the_ledger_is_what_the_server_did_in_every_mix(lies: Lies, v1: bool, rooms: int, drain_s: float) -> None:
    """Whatever faults come together, also when the run does not wait for what is late."""

    async def main(out: Path) -> None:
        outcome, server = await faulty_run(lies, out, v1=v1, rooms=rooms, drain_s=drain_s, duration_s=3.0, warmup_s=0.5)
        require_equal(outcome, server)

    with TemporaryDirectory() as out:
        trio.run(main, Path(out), clock=MockClock(autojump_threshold=0))
