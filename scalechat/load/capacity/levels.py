"""Every load that a search has tried, as a table: what became of it, and how the server was then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from scalechat.load.capacity.decision import Observation, Outcome
from scalechat.load.capacity.telling import number, sign
from scalechat.load.conclusion import RunOutcome
from scalechat.palette import BAD, FAINT, GOOD, WARN

_STYLES: Final[dict[str, str]] = {"✓": GOOD, "✗": BAD, "!": WARN}
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Tried:
    """One probe, for the table."""

    value: float
    outcome: Outcome
    p99_ms: float | None
    delivered_per_s: float | None
    server_cpu: float | None

    @classmethod
    def of(cls, seen: Observation, run: RunOutcome | None) -> Tried:
        """A probe that has ended; without a run there are no figures."""
        figures = {} if run is None else run.summary.figures
        p99, delivered, cpu = (
            figures[name].value if name in figures else None
            for name in ("delivery_p99", "delivered_per_s", "server_cpu")
        )
        return cls(seen.value, seen.outcome, p99, delivered, cpu)


def table(tried: Sequence[Tried], unit: str) -> Iterator[Text]:
    """A line for each load, ascending, below one with the names; several probes of one load have a sign each."""
    loads = {one.value: [other for other in tried if other.value == one.value] for one in tried}
    rows = [("", unit, "p99", "deliveries/s", "server"), *(_row(loads[value]) for value in sorted(loads))]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row, value in zip(rows, [None, *sorted(loads)], strict=True):
        line = Text(" " * (widths[0] - len(row[0])))
        for one in [] if value is None else loads[value]:
            line.append(sign(one.outcome), style=_STYLES[sign(one.outcome)])
        for text, width in zip(row[1:], widths[1:], strict=True):
            line.append(f"{_GAP}{text:>{width}}", style=FAINT if value is None else "")
        yield line


def _row(probes: Sequence[Tried]) -> tuple[str, str, str, str, str]:
    last = probes[-1]
    return (
        "".join(sign(one.outcome) for one in probes),
        number(last.value),
        "-" if last.p99_ms is None else f"{number(last.p99_ms)} ms",
        "-" if last.delivered_per_s is None else f"{last.delivered_per_s:,.0f}",
        "-" if last.server_cpu is None else f"{last.server_cpu:.0%} of a core",
    )
