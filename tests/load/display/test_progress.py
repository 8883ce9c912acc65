"""What a person sees of a run: on a terminal, in a log, and at the end."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import trio.testing
from rich.console import Console
from rich.text import Text
from trio.testing import MockClock

from scalechat.load.display.closing_words import print_next, print_summary
from scalechat.load.display.progress import LINE_EVERY_S, Lines, shown
from scalechat.load.live import Nobody

from ..broadcaster import Broadcaster
from ..lies import Lies
from ..worlds import virtual_run
from .stories import CONFIG, STEADY


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=terminal, width=100, no_color=True, legacy_windows=False), stream


async def test_a_log_gets_a_line_at_each_phase_and_every_few_seconds() -> None:
    """A minute of steady load is a dozen lines."""
    to, stream = console(terminal=False)
    async with shown(to, quiet=False) as watcher:
        watcher.begin(CONFIG)
        watcher.wait("connecting")
        watcher.show(replace(STEADY, phase="ramp", elapsed_s=1, phase_left_s=None))
        for second in range(2, 62):
            watcher.show(replace(STEADY, elapsed_s=float(second)))
        watcher.note("something happened at [::1]:8080")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3 + 60 / LINE_EVERY_S
    assert lines[0] == "ws://localhost:8080/ws: 1,000 clients in 20 rooms, takes about 0:35"
    assert lines[2] == (
        "    2 s  steady   clients 1,000/1,000  published 1,000/s of 1,000  delivered 20,012/s  "
        "p50 1.25 ms  p99 12 ms  missing 0"
    )
    assert lines[-1] == "something happened at [::1]:8080"


async def test_a_phase_that_a_scenario_names_has_its_name_in_the_log() -> None:
    to, stream = console(terminal=False)
    async with shown(to, quiet=False) as watcher:
        watcher.show(replace(STEADY, phase="evening", elapsed_s=7.0))
    assert stream.getvalue().startswith("    7 s  evening  clients 1,000/1,000")


async def test_the_log_of_many_runs_has_their_notes_only() -> None:
    to, stream = console(terminal=False)
    async with shown(to, quiet=False, many_runs=True) as watcher:
        watcher.begin(CONFIG)
        watcher.show(STEADY)
        watcher.note("probe 1")
    assert stream.getvalue() == "probe 1\n"


async def test_a_terminal_shows_the_run_as_it_goes_and_leaves_only_notes_behind() -> None:
    """Each snapshot is drawn in the place of the last."""
    to, stream = console(terminal=True)
    async with shown(to, quiet=False) as watcher:
        watcher.begin(CONFIG)
        watcher.note("something happened")
        await trio.testing.wait_all_tasks_blocked()
        assert "connecting to ws://localhost:8080/ws" in stream.getvalue()
        watcher.show(STEADY)
        watcher.note("a storm")
        await trio.testing.wait_all_tasks_blocked()
        screen = stream.getvalue()
        watcher.wait("writing the run")
        await trio.testing.wait_all_tasks_blocked()
        assert "writing the run" in stream.getvalue()
    assert "0:17  \x1b[0ma storm\n" in screen
    for words in ("steady", "18 s left", "1,000 of 1,000", "20,012", "1.25 ms", "12 ms", "0 missing", "41% of a core"):
        assert words in screen
    assert stream.getvalue().endswith("\x1b[J\x1b[A\x1b[?25h")  # the lines are erased, the cursor is back


async def test_a_terminal_that_cannot_move_its_cursor_is_a_log() -> None:
    """``TERM=dumb``: an editor's shell, a build server."""
    to = Console(file=io.StringIO(), force_terminal=True, width=100, _environ={"TERM": "dumb"})
    async with shown(to, quiet=False) as watcher:
        assert isinstance(watcher, Lines)


async def test_quiet_is_quiet() -> None:
    """Not a byte."""
    to, stream = console(terminal=True)
    async with shown(to, quiet=True) as watcher:
        assert isinstance(watcher, Nobody)
        watcher.begin(CONFIG)
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
    print_next(outcome, to)
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
