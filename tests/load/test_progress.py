"""What a person sees of a run: on a terminal, in a log, and at the end."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text
from trio.testing import MockClock

from scalechat.load.closing_words import print_summary
from scalechat.load.live import Nobody, Snapshot
from scalechat.load.progress import LINE_EVERY_S, shown

from .broadcaster import Broadcaster, Lies
from .worlds import virtual_run

STEADY = Snapshot(
    phase="steady",
    elapsed_s=12.0,
    phase_left_s=18.0,
    window_s=1.0,
    clients=1000,
    target_clients=1000,
    offered_per_s=1000,
    published_per_s=999.6,
    delivered_per_s=20_012.2,
    p50_ms=1.25,
    p99_ms=12.4,
    missing=0,
    duplicated=0,
    reordered=0,
    errors=0,
    cpu_ratio=0.41,
)


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=terminal, width=100, no_color=True, legacy_windows=False), stream


def test_a_log_gets_a_line_at_each_phase_and_every_few_seconds() -> None:
    """A minute of steady load is a dozen lines."""
    to, stream = console(terminal=False)
    with shown(to, quiet=False) as watcher:
        watcher.show(replace(STEADY, phase="ramp", elapsed_s=1, phase_left_s=None))
        for second in range(2, 62):
            watcher.show(replace(STEADY, elapsed_s=float(second)))
        watcher.note("something happened")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + 60 / LINE_EVERY_S
    assert lines[1] == (
        "    2 s  steady   clients 1,000/1,000  published 1,000/s of 1,000  delivered 20,012/s  "
        "p50 1.25 ms  p99 12 ms  missing 0"
    )
    assert lines[-1] == "something happened"


def test_a_phase_that_a_scenario_names_has_its_name_in_the_log() -> None:
    to, stream = console(terminal=False)
    with shown(to, quiet=False) as watcher:
        watcher.show(replace(STEADY, phase="evening", elapsed_s=7.0))
    assert stream.getvalue().startswith("    7 s  evening  clients 1,000/1,000")


def test_a_terminal_shows_the_run_as_it_goes_and_leaves_nothing_behind() -> None:
    """Phase and what is left of it, rates, percentiles, ledger, and the load client's own health."""
    to, stream = console(terminal=True)
    with shown(to, quiet=False) as watcher:
        watcher.show(STEADY)
        screen = stream.getvalue()
    for words in (
        "steady",
        "18 s left",
        "1,000 of 1,000",
        "20,012",
        "1.25 ms",
        "12 ms",
        "0 missing, 0 twice, 0 out of order, 0 corrupted, 0 errors",
        "41% of a core",
    ):
        assert words in screen
    assert stream.getvalue().endswith("\x1b[2K")  # the last line is cleared again


def test_quiet_is_quiet() -> None:
    """Not a byte."""
    to, stream = console(terminal=True)
    with shown(to, quiet=True) as watcher:
        assert isinstance(watcher, Nobody)
        watcher.show(STEADY)
        watcher.note("something happened")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("terminal", [False, True])
async def test_the_summary_says_what_a_person_asks_first(
    terminal: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Verdict, objectives, load, percentiles, ledger, health, and where the run is; a line each, unwrapped in a log."""
    outcome = await virtual_run(
        Broadcaster(lies=Lies(drop=0.1)).serve,
        tmp_path,
        clients=10,
        msg_frequency_ms=100.0,
        target="plain",
        slo=("missing == 0", "max(delivery) < 60s"),
    )
    to, stream = console(terminal=terminal)
    print_summary(outcome, to)
    lines = [Text.from_ansi(line).plain for line in stream.getvalue().splitlines()]
    if terminal:
        assert all(len(line) <= 100 for line in lines[:-2])  # a path stays whole
        assert lines[-1] == f"report    python -m scalechat report {outcome.run_dir}"
        return
    missing = outcome.manifest.ledger.missing
    assert lines[0] == "verdict   fail"
    assert lines[1] == f"          ✗ missing == 0: {missing} deliveries"
    assert lines[2].startswith("          ✓ max(delivery) < 60s: ")
    labels = [line.split(" ")[0] for line in lines[-5:]]
    assert labels == ["load", "delivery", "ledger", "health", "run"]
    assert f"{missing} missing" in lines[-3]
    assert lines[-1] == f"run       {outcome.run_dir}"
