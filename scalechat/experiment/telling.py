"""What is said of experiments: the list, what one found, and the table and the JSON of several."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from scalechat.analysis.experiment import PlayedExperiment, rows_of
from scalechat.analysis.experiment_figures import finding, label, value
from scalechat.analysis.units import MISSING
from scalechat.config import OperationalError
from scalechat.experiment.outcome import Outcome
from scalechat.experiment.spec import SIDES, Experiment
from scalechat.palette import FAINT, SIGNS


@dataclass(frozen=True, slots=True)
class Tried:
    """An experiment that was begun: what it found, or why it could not be played."""

    name: str
    experiment: Experiment
    took_s: float
    played: PlayedExperiment | None
    failure: OperationalError | None

    @property
    def outcome(self) -> Outcome | None:
        return None if self.played is None else self.played.outcome

    @property
    def succeeded(self) -> bool:
        return self.outcome is not None and self.outcome.succeeded

    @property
    def exit_code(self) -> int | None:
        """The surroundings' fault has one of its own."""
        return None if self.failure is None else self.failure.exit_code


def listing(known: Iterable[tuple[str, Experiment]]) -> Table:
    """Names and problems, those of a kind together, in the catalogue's order within."""
    table = Table(box=None, pad_edge=False)
    for column in ("no.", "name", "problem"):
        table.add_column(column, no_wrap=column == "name")
    for group, members in itertools.groupby(sorted(known, key=lambda one: one[1].rank), key=lambda one: one[1].group):
        table.add_row("", Text(group, style="bold"), "")
        for name, one in members:
            table.add_row(str(one.number), name, one.title)
    return table


def details(played: PlayedExperiment) -> Group:
    """What one experiment found: the finding, before and after, the checks, where it lies."""
    outcome = played.outcome
    table = Table(box=None, pad_edge=False)
    for column in ("", "before", "after", ""):
        table.add_column(column, justify="right" if column else "left")
    for row in rows_of(outcome):
        table.add_row(*row)
    sides = (f"{side}: {given.about}" for side, given in outcome.experiment.sides)
    checks = (Text.assemble(_sign(checked.holds), " ", str(checked)) for checked in outcome.checks)
    lies = f"python -m scalechat report {played.directory}"
    return Group("", Text(finding(outcome), style="bold"), *map(Text, sides), table, *checks, Text(lies, style=FAINT))


def summary(tried: Iterable[Tried]) -> Table:
    """What was seen, a row for each."""
    table = Table(box=None, pad_edge=False)
    for column in ("no.", "problem", "symptom seen", "cure seen", "figures", "s"):
        table.add_column(column, overflow="fold", justify="right" if column == "s" else "left")
    for one in tried:
        outcome = one.outcome
        words = [MISSING] * 2 if outcome is None else ["yes" if outcome.seen(k) else "NO" for k in ("symptom", "cure")]
        figures = str(one.failure) if outcome is None else _figures(outcome)
        table.add_row(str(one.experiment.number), one.experiment.title, *words, Text(figures), f"{one.took_s:.0f}")
    return table


def summary_json(tried: Iterable[Tried], *, interrupted: bool) -> str:
    """The same for programs: the figures of both runs as numbers, times in seconds."""
    rows = [_row(one) for one in tried]
    document = {"experiments": rows, "interrupted": interrupted}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _sign(holds: bool) -> tuple[str, str]:
    return SIGNS[holds]


def _figures(outcome: Outcome) -> str:
    name = outcome.experiment.reveals
    before, after = (value(name, outcome.figure(side, name)) for side in SIDES)
    return f"{label(name)}: {before} → {after}"


def _row(one: Tried) -> dict[str, object]:
    row: dict[str, object] = {
        "number": one.experiment.number,
        "name": one.name,
        "problem": one.experiment.title,
        "took_s": round(one.took_s, 1),
        "symptom_seen": None,
        "cure_seen": None,
        "failure": None if one.failure is None else str(one.failure),
    }
    if one.played is not None:
        outcome = one.played.outcome
        row |= {
            "symptom_seen": outcome.seen("symptom"),
            "cure_seen": outcome.seen("cure"),
            "finding": finding(outcome),
            "reveals": outcome.experiment.reveals,
            "figures": outcome.figures,
            "directory": str(one.played.directory),
        }
    return row
