"""What is printed when a run is over: the verdict, the few figures that matter, and where the run is.

On a terminal it fits the width there is; elsewhere each thing is one line, as somebody greps for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from scalechat.load.conclusion import RunOutcome
from scalechat.load.results import CLOSED_LOOP, Figure, Ledger, Objective, Verdict
from scalechat.packing import packed
from scalechat.palette import BAD, FAINT, GOOD, SIGNS, WARN

_STYLES: Final[dict[Verdict, str]] = {
    "pass": f"bold {GOOD}",
    "fail": BAD,
    "invalid": f"bold {WARN}",
    "interrupted": WARN,
}
_PERCENTILES: Final = (
    ("p50", "delivery_p50"),
    ("p90", "delivery_p90"),
    ("p99", "delivery_p99"),
    ("p99.9", "delivery_p99_9"),
    ("max", "delivery_max"),
)
_LABEL: Final = 10

Item = tuple[str, Sequence[Text], str | None]
"""A label, the parts of what it is about, and what separates them on a line; None: for the clipboard, never broken."""


def print_summary(outcome: RunOutcome, console: Console) -> None:
    """For a person; `RunOutcome.summary` is the same for a program."""
    # A pipe has no width, and whoever reads one looks for whole lines.
    width = console.width - _LABEL if console.is_terminal else None
    for label, parts, separator in _items(outcome):
        for number, line in enumerate(packed(parts, None if separator is None else width, separator or "")):
            _print("" if number else label, line, console)


def print_next(outcome: RunOutcome, console: Console) -> None:
    """What a person at a terminal may want to do now; whatever reads a pipe knows."""
    if console.is_terminal:
        _print("report", Text(f"python -m scalechat report {shlex.quote(str(outcome.run_dir))}"), console)


def _print(label: str, line: Text, console: Console) -> None:
    console.print(Text(f"{label:<{_LABEL}}", style=FAINT), line, sep="", soft_wrap=True, highlight=False)


def _items(outcome: RunOutcome) -> Iterator[Item]:
    summary, figures = outcome.summary, outcome.summary.figures
    yield "verdict", [Text(summary.verdict, style=_STYLES[summary.verdict])], ""
    for reason in summary.validity.reasons:
        yield "", [Text(f"! cannot be trusted: {reason.text}", style=WARN)], ""
    if outcome.failed_dials:
        yield "", [Text(f"! {outcome.failed_dials}", style=WARN)], ""
    if summary.loop == "closed":
        yield "", [Text(f"! {CLOSED_LOOP}", style=f"bold {WARN}")], ""
    for objective in summary.objectives:
        yield "", [_objective(objective)], ""
    yield "load", list(_load(figures)), ", "
    yield "delivery", [Text(f"{name} {_with_interval(figures, key)}") for name, key in _PERCENTILES], "  "
    yield "ledger", list(_ledger(outcome.manifest.ledger)), ", "
    yield "health", list(_health(figures)), "; "
    yield "run", [Text(str(outcome.run_dir))], None


def _objective(objective: Objective) -> Text:
    sign, style = SIGNS[objective.ok]
    observed = ""
    if objective.observed is not None and objective.unit:
        observed = f": {objective.observed:,.4g}" + (f" {objective.unit}" if objective.unit != "ratio" else "")
    reason = "" if objective.reason is None else f" ({objective.reason})"
    return Text(f"{sign} {objective.expression}{observed}{reason}", style=style)


def _load(figures: dict[str, Figure]) -> Iterator[Text]:
    rooms = "1 room" if figures["rooms"].value == 1 else f"{_count(figures, 'rooms')} rooms"
    yield Text(f"{_count(figures, 'clients')} clients in {rooms}")
    yield Text(f"{_count(figures, 'published_per_s')} of {_count(figures, 'offered_per_s')} messages/s")
    yield Text(f"{_count(figures, 'delivered_per_s')} deliveries/s")


def _ledger(ledger: Ledger) -> Iterator[Text]:
    yield Text(f"{ledger.delivered:,} of {ledger.expected:,} deliveries")
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
        yield Text(f"{count:,} {what}", style=BAD if count else "")


def _health(figures: dict[str, Figure]) -> Iterator[Text]:
    server = figures["server_cpu"].value
    yield Text(f"load client {_cores(figures['generator_cpu'].value)}, loop lag p99 {_ms(figures, 'loop_lag_p99')}")
    yield Text(f"server {'not scraped' if server is None else _cores(server)}")


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
