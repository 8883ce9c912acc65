"""What ``python -m scalechat capacity`` does around a search: signals, progress on stderr, the answer on stdout."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

import msgspec
import trio
from rich.console import Console
from rich.text import Text

from scalechat.config import CapacityConfig
from scalechat.load.capacity.calm import Calm
from scalechat.load.capacity.levels import table
from scalechat.load.capacity.searching import Searching, SearchOutcome
from scalechat.load.capacity.telling import number
from scalechat.load.capacity.yardstick import Machine, lay
from scalechat.load.command import interruptible
from scalechat.load.display.progress import shown
from scalechat.load.runner import run_load
from scalechat.load.setting_out import greeter
from scalechat.palette import BAD, FAINT, GOOD, WARN


def capacity(config: CapacityConfig, sources: Mapping[str, str]) -> int:
    """Carry out a search and return its exit code; see `Searching.carry_out` for what it raises."""
    return trio.run(_search_and_tell, config, sources).exit_code


async def _search_and_tell(config: CapacityConfig, sources: Mapping[str, str]) -> SearchOutcome:
    async with (
        interruptible() as interruption,
        shown(Console(stderr=True), quiet=config.quiet, many_runs=True) as watcher,
    ):
        outcome = await Searching(
            config,
            sources,
            carry_out=run_load,
            calm=Calm(greeter(config), config.calm_timeout_s),
            machine=Machine(lay, config.calm_timeout_s),
            watcher=watcher,
            interruption=interruption,
        ).carry_out()
    if config.json:
        document = {"search_dir": str(outcome.search_dir), "answer": outcome.text, "caution": outcome.caution}
        document |= msgspec.to_builtins(outcome.summary)
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    else:
        _print(outcome, Console())
    return outcome


def _print(outcome: SearchOutcome, console: Console) -> None:
    style = {0: f"bold {GOOD}", 99: BAD}.get(outcome.exit_code, f"bold {WARN}")
    lines = [("capacity", Text(outcome.text, style=style))]
    lines += [
        ("", Text(f"! {why.text}", style="yellow"))
        for why in outcome.summary.validity.reasons
        if why.text != outcome.text
    ]
    if outcome.caution is not None:
        lines.append(("", Text(f"! {outcome.caution}", style="yellow")))
    figures = outcome.summary.figures
    if "delivery_p99" in figures:
        p99, delivered = figures["delivery_p99"].value, figures["delivered_per_s"].value
        told = [] if p99 is None else [f"p99 {number(p99)} ms"]
        told += [] if delivered is None else [f"{delivered:,.0f} deliveries/s"]
        lines.append(("there", Text(", ".join(told))))
    rows = table(outcome.tried, outcome.unit)
    lines += [("probes", next(rows)), *(("", row) for row in rows)]
    lines.append(("search", Text(str(outcome.search_dir))))
    if console.is_terminal:
        lines.append(("report", Text(f"python -m scalechat report {shlex.quote(str(outcome.search_dir))}")))
    for label, text in lines:
        console.print(Text(f"{label:<10}", style=FAINT), text, sep="", soft_wrap=True, highlight=False)
