"""``experiment list``, ``NAME…`` or ``all``: find the files, play them one by one, say what was seen."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from scalechat.analysis.experiment import PlayedExperiment, rows_of
from scalechat.analysis.experiment_figures import finding, label, value
from scalechat.config import ExperimentConfig, UsageError
from scalechat.experiment.outcome import Outcome
from scalechat.experiment.play import play
from scalechat.experiment.spec import SIDES, Experiment, read_experiment

EXIT_NOT_SEEN: Final = 99
_HERE: Final = Path(__file__).resolve().parent


def experiment(config: ExperimentConfig) -> int:
    """Do what the command says and return the exit code."""
    known = catalogue()
    if config.names == ("list",):
        _list(known)
        return 0
    chosen = [(path.stem, read_experiment(path)) for path in _chosen(config.names, known)]
    return trio.run(_play_all, chosen, config)


def catalogue() -> dict[str, Path]:
    """Name → file of each experiment that comes with the program, in the catalogue's order."""
    inside = _HERE / "experiments"  # in a wheel; a checkout has them at the top
    folder = inside if inside.is_dir() else _HERE.parents[1] / "configs" / "experiments"
    numbered = sorted((read_experiment(path).number, path) for path in folder.glob("*.toml"))
    return {path.stem: path for _, path in numbered}


def _chosen(names: Iterable[str], known: dict[str, Path]) -> list[Path]:
    if tuple(names) == ("all",):
        return list(known.values())
    paths = []
    for name in names:
        if name.endswith(".toml"):
            paths.append(Path(name))
        elif name in known:
            paths.append(known[name])
        else:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "'experiment list' shows all"
            raise UsageError(f"no experiment is called {name!r}: {hint}")
    return paths


def _list(known: dict[str, Path]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("no.", "name", "problem"):
        table.add_column(column, no_wrap=column == "name")
    for name, path in known.items():
        one = read_experiment(path)
        table.add_row(str(one.number), name, one.title)
    Console().print(table)


async def _play_all(chosen: list[tuple[str, Experiment]], config: ExperimentConfig) -> int:
    outcomes = []
    for name, one in chosen:
        print(f"{one.number:2}  {one.title}", file=sys.stderr, flush=True)
        played = PlayedExperiment(*await play(name, one, config.out, _tell))
        played.write_beside()
        if config.docs is not None:
            _tell(str(played.write_into(config.docs)))
        outcomes.append(played.outcome)
        Console().print(details(played))
    if len(outcomes) > 1:
        Console().print(summary(outcomes))
    return 0 if all(outcome.succeeded for outcome in outcomes) else EXIT_NOT_SEEN


def details(played: PlayedExperiment) -> Group:
    """What one experiment found: the finding, before and after, the checks, where it lies."""
    outcome = played.outcome
    table = Table(box=None, pad_edge=False)
    for column in ("", "before", "after", ""):
        table.add_column(column, justify="right" if column else "left")
    for row in rows_of(outcome):
        table.add_row(*row)
    sides = (f"{side}: {given.about}" for side, given in outcome.experiment.sides)
    checks = (Text(str(checked), style="" if checked.holds else "bold red") for checked in outcome.checks)
    lies = f"python -m scalechat report {played.directory}"
    return Group("", Text(finding(outcome), style="bold"), *map(Text, sides), table, *checks, Text(lies, style="dim"))


def _tell(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


def summary(outcomes: list[Outcome]) -> Table:
    """The table of what was seen."""
    table = Table(box=None, pad_edge=False)
    for column in ("no.", "problem", "symptom seen", "cure seen", "figure", "before", "after"):
        table.add_column(column, overflow="fold", justify="right" if column in ("before", "after") else "left")
    for outcome in outcomes:
        one = outcome.experiment
        before, after = (value(one.reveals, outcome.figure(side, one.reveals)) for side in SIDES)
        words = ("yes" if outcome.seen(kind) else "NO" for kind in ("symptom", "cure"))
        table.add_row(str(one.number), one.title, *words, label(one.reveals), before, after)
    return table
