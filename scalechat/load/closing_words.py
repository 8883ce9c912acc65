"""What is printed when a run is over: the verdict, the few figures that matter, and where the run is."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from scalechat.load.conclusion import RunOutcome
from scalechat.load.results import CLOSED_LOOP, Figure, Ledger, Objective, Verdict

_STYLES: Final[dict[Verdict, str]] = {
    "pass": "bold green",
    "fail": "bold red",
    "invalid": "bold yellow",
    "interrupted": "yellow",
}
_SIGNS: Final = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}
_PERCENTILES: Final = (
    ("p50", "delivery_p50"),
    ("p90", "delivery_p90"),
    ("p99", "delivery_p99"),
    ("p99.9", "delivery_p99_9"),
    ("max", "delivery_max"),
)


def print_summary(outcome: RunOutcome, console: Console) -> None:
    """For a person; `RunOutcome.summary` is the same for a program."""
    summary, figures = outcome.summary, outcome.summary.figures
    verdict = Text(summary.verdict, style=_STYLES[summary.verdict])
    distrust = (Text(f"! cannot be trusted: {reason.text}", style="yellow") for reason in summary.validity.reasons)
    lines = [
        ("verdict", verdict),
        *(("", text) for text in distrust),
        *([("", Text(f"! {outcome.failed_dials}", style="yellow"))] if outcome.failed_dials else []),
        *([("", Text(f"! {CLOSED_LOOP}", style="bold yellow"))] if summary.loop == "closed" else []),
        *(("", _objective(objective)) for objective in summary.objectives),
        ("load", Text(_load(figures))),
        ("delivery", Text("  ".join(f"{name} {_with_interval(figures, key)}" for name, key in _PERCENTILES))),
        ("ledger", _ledger(outcome.manifest.ledger)),
        ("health", Text(_health(figures))),
        ("run", Text(str(outcome.run_dir))),
    ]
    for label, text in lines:
        # Never wrapped: on a terminal that breaks nothing, and elsewhere somebody greps for it.
        console.print(Text(f"{label:<10}", style="dim"), text, sep="", soft_wrap=True, highlight=False)


def _objective(objective: Objective) -> Text:
    sign, style = _SIGNS[objective.ok]
    observed = ""
    if objective.observed is not None and objective.unit:
        observed = f": {objective.observed:,.4g}" + (f" {objective.unit}" if objective.unit != "ratio" else "")
    reason = "" if objective.reason is None else f" ({objective.reason})"
    return Text(f"{sign} {objective.expression}{observed}{reason}", style=style)


def _load(figures: dict[str, Figure]) -> str:
    rooms = "1 room" if figures["rooms"].value == 1 else f"{_count(figures, 'rooms')} rooms"
    return (
        f"{_count(figures, 'clients')} clients in {rooms}, "
        f"{_count(figures, 'published_per_s')} of {_count(figures, 'offered_per_s')} messages/s, "
        f"{_count(figures, 'delivered_per_s')} deliveries/s"
    )


def _ledger(ledger: Ledger) -> Text:
    text = Text(f"{ledger.delivered:,} of {ledger.expected:,} deliveries")
    always = (
        (ledger.missing, "missing"),
        (ledger.duplicated, "duplicated"),
        (ledger.reordered, "reordered"),
        (ledger.corrupted, "corrupted"),
        (ledger.phantom, "phantom"),
    )
    sometimes = (
        (ledger.unacked, "unacknowledged"),
        (ledger.rejected, "rejected"),
        (ledger.refused_delivered, "delivered though refused"),
        (ledger.unknown_frames, "unknown frames"),
    )
    for count, what in (*always, *((count, what) for count, what in sometimes if count)):
        text.append(", ")
        text.append(f"{count:,} {what}", style="red" if count else "")
    return text


def _health(figures: dict[str, Figure]) -> str:
    server = figures["server_cpu"].value
    return (
        f"load client {_cores(figures['generator_cpu'].value)}, loop lag p99 {_ms(figures, 'loop_lag_p99')}; "
        f"server {'not scraped' if server is None else _cores(server)}"
    )


def _count(figures: dict[str, Figure], name: str) -> str:
    value = figures[name].value
    return "-" if value is None else f"{value:,.0f}"


def _ms(figures: dict[str, Figure], name: str) -> str:
    value = figures[name].value
    return "-" if value is None else f"{value:,.2f} ms"


def _with_interval(figures: dict[str, Figure], name: str) -> str:
    interval = figures[name].interval
    return _ms(figures, name) + ("" if interval is None else f" ({interval[0]:,.2f} … {interval[1]:,.2f})")


def _cores(cores: float | None) -> str:
    return "-" if cores is None else f"{cores:.0%} of a core"
