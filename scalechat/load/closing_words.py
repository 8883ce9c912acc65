"""What is printed when a run is over: the verdict, the few figures that matter, and where the run is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scalechat.load.conclusion import RunOutcome
from scalechat.load.results import Figure, Ledger, Objective

_STYLES = {"pass": "bold green", "fail": "bold red", "invalid": "bold yellow"}


def print_summary(outcome: RunOutcome, console: Console) -> None:
    """For a person; `RunOutcome.summary` is the same for a program."""
    summary, ledger = outcome.summary, outcome.manifest.ledger
    figures = summary.figures
    verdict = Text(summary.verdict, style=_STYLES[summary.verdict])
    if summary.interrupted:
        verdict.append(" (interrupted)", style="yellow")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("verdict", verdict)
    for reason in summary.validity.reasons:
        table.add_row("", Text(f"cannot be trusted: {reason.text}", style="yellow"))
    for objective in summary.objectives:
        if objective.ok is not True or objective.bound != 1.0:
            table.add_row("", _objective(objective))
    table.add_row(
        "load",
        f"{_count(figures, 'clients')} clients in {_count(figures, 'rooms')} rooms, "
        f"{_count(figures, 'published_per_s')} of {_count(figures, 'offered_per_s')} messages/s, "
        f"{_count(figures, 'delivered_per_s')} deliveries/s",
    )
    table.add_row("delivery", "  ".join(f"{name} {_ms(figures, key)}" for name, key in _PERCENTILES))
    table.add_row("ledger", _ledger(ledger))
    table.add_row(
        "health",
        f"load client {_cores(figures, 'generator_cpu')}, loop lag p99 {_ms(figures, 'loop_lag_p99')}; "
        f"server {_cores(figures, 'server_cpu')}",
    )
    table.add_row("run", str(outcome.run_dir))
    console.print(table, soft_wrap=False)


_PERCENTILES = (
    ("p50", "delivery_p50"),
    ("p90", "delivery_p90"),
    ("p99", "delivery_p99"),
    ("p99.9", "delivery_p99_9"),
    ("max", "delivery_max"),
)


def _objective(objective: Objective) -> Text:
    sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}[objective.ok]
    observed = "" if objective.observed is None else f": {objective.observed:,.4g} {objective.unit}".rstrip()
    reason = "" if objective.reason is None else f" ({objective.reason})"
    return Text(f"{sign} {objective.expression}{observed}{reason}", style=style)


def _ledger(ledger: Ledger) -> Text:
    text = Text(f"{ledger.delivered:,} of {ledger.expected:,} deliveries; ")
    for count, what in (
        (ledger.missing, "missing"),
        (ledger.duplicated, "duplicated"),
        (ledger.reordered, "reordered"),
        (ledger.corrupted, "corrupted"),
        (ledger.phantom, "phantom"),
    ):
        text.append(f"{count:,} {what}  ", style="red" if count else "")
    if ledger.unacked:
        text.append(f"{ledger.unacked:,} unacknowledged  ", style="red")
    if ledger.rejected:
        text.append(f"{ledger.rejected:,} rejected", style="red")
    return text


def _count(figures: dict[str, Figure], name: str) -> str:
    value = figures[name].value
    return "-" if value is None else f"{value:,.0f}"


def _ms(figures: dict[str, Figure], name: str) -> str:
    value = figures[name].value
    return "-" if value is None else f"{value:,.2f} ms"


def _cores(figures: dict[str, Figure], name: str) -> str:
    value = figures[name].value
    return "CPU unknown" if value is None else f"{value:.0%} of a core"
