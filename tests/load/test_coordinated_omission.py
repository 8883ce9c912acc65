"""Two seconds in which a server does nothing: an open loop shows them, a closed loop all but hides them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from trio.testing import MockClock

from scalechat.load.results import BroadcastRow, Run, read_run
from scalechat.load.runner import RunOutcome

from .broadcaster import Broadcaster
from .lies import Lies
from .worlds import Memory, printed, virtual_run

STALL_S = 2.0
MEASURED_S = 20.0
CLIENTS, PERIOD_S = 10, 0.1
LIES = Lies(stalls=((8.0, 8.0 + STALL_S),))


async def run_of(
    loop: str, out: Path, *, target: str = "plain", watcher: Memory | None = None, lies: Lies = LIES, **options: object
) -> RunOutcome:
    shape: dict[str, object] = {"loop": loop, "target": target, "duration_s": MEASURED_S}
    return await virtual_run(
        Broadcaster(v1=target == "scalechat", lies=lies).serve,
        out,
        watcher=watcher,
        clients=CLIENTS,
        msg_frequency_ms=1000 * PERIOD_S,
        arrivals="fixed",
        **(shape | options),  # type: ignore[arg-type]
    )


def measured(run: Run) -> list[BroadcastRow]:
    return [row for row in run.rows(BroadcastRow) if row.phase == "steady"]


async def test_the_open_loop_shows_the_stall_as_arithmetic_says(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A message due x seconds before the end of the stall waits x seconds: 1 % of 20 s waits longer than 1.8 s."""
    outcome = await run_of("open", tmp_path)
    figures = outcome.summary.figures
    assert figures["delivery_p50"].value == pytest.approx(0, abs=0.1)
    assert figures["delivery_p99"].value == pytest.approx(1000 * (STALL_S - 0.01 * MEASURED_S), rel=0.016)
    assert figures["delivery_max"].value == pytest.approx(1000 * STALL_S, rel=0.016)
    assert figures["delivery_p99"].interval is None, "one stall does not tell how often one comes"
    assert outcome.manifest.ledger.missing == 0
    assert outcome.manifest.loop == outcome.summary.loop == "open"


@pytest.mark.parametrize("target", ["plain", "scalechat"])
async def test_a_closed_loop_hides_the_same_stall(target: str, autojump_clock: MockClock, tmp_path: Path) -> None:
    """Each client waits once, for one message, instead of twenty times: it is not in the p99 from the sending."""
    watcher = Memory()
    outcome = await run_of("closed", tmp_path, target=target, watcher=watcher, slo=("p99(delivery_from_send) < 1ms",))
    assert outcome.exit_code == 0, outcome.summary
    rows = measured(read_run(outcome.run_dir))
    assert len(rows) == pytest.approx(CLIENTS * (MEASURED_S - STALL_S) / PERIOD_S, abs=2 * CLIENTS)
    late = [row for row in rows if (row.delivery_last_ns or 0) > 1e9]
    assert len({row.publisher for row in late}) == len(late) == CLIENTS, "one message of each client"
    assert max(row.delivery_last_ns or 0 for row in rows) == pytest.approx(STALL_S * 1e9, abs=PERIOD_S * 1e9)
    require_paced(rows)
    assert {row.send_lag_ns for row in rows} == {0}, "the intended time is that of the sending"
    assert outcome.manifest.ledger.missing == 0
    assert outcome.manifest.loop == outcome.summary.loop == "closed"
    assert "! closed loop: " in printed(outcome)
    assert any(note.startswith("closed loop: ") for note in watcher.notes)
    assert all(snapshot.is_closed_loop for snapshot in watcher.snapshots)


def require_paced(rows: Sequence[BroadcastRow]) -> None:
    """A client sends a period after its last message, or at once after an answer that took longer.

    So no message makes up for those that were not sent.
    """
    for publisher in {row.publisher for row in rows}:
        sent = sorted((row.t_s, (row.delivery_last_ns or 0) / 1e9) for row in rows if row.publisher == publisher)
        for (before, waited), (after, _) in itertools.pairwise(sent):
            assert after - before == pytest.approx(max(waited, PERIOD_S), abs=1e-3)


async def test_who_gets_no_answer_in_time_goes_on_and_it_is_an_error(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Four waits of half a second in a stall of two, and none is without a trace."""
    outcome = await run_of(
        "closed",
        tmp_path,
        lies=Lies(stalls=((2.0, 2.0 + STALL_S),)),
        duration_s=4.0,
        answer_timeout_s=0.5,
        slo=("errors == 0",),
    )
    (errors,) = (objective for objective in outcome.summary.objectives if objective.expression == "errors == 0")
    assert errors.observed == pytest.approx(CLIENTS * STALL_S / 0.5, abs=CLIENTS)
    assert outcome.exit_code == 99
    assert outcome.manifest.ledger.missing == 0
