"""``experiment list``, ``NAME…`` or ``all``: find the files, play them one by one, say what was seen."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio
from rich.console import Console
from rich.table import Table

from scalechat.config import ExperimentConfig, UsageError
from scalechat.experiment.play import Outcome, play
from scalechat.experiment.spec import Experiment, read_experiment

EXIT_NOT_SEEN: Final = 99
_HERE: Final = Path(__file__).resolve().parent


def experiment(config: ExperimentConfig) -> int:
    """Do what the command says and return the exit code."""
    known = catalogue()
    if config.names == ("list",):
        _list(known)
        return 0
    chosen = [(path.stem, read_experiment(path)) for path in _chosen(config.names, known)]
    return trio.run(_play_all, chosen, config.out)


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


async def _play_all(chosen: list[tuple[str, Experiment]], out: Path) -> int:
    outcomes = []
    for name, one in chosen:
        print(f"{one.number:2}  {one.title}", file=sys.stderr, flush=True)
        directory, outcome = await play(name, one, out, _tell)
        _tell(str(directory))
        outcomes.append(outcome)
    Console().print(summary(outcomes))
    return 0 if all(outcome.succeeded for outcome in outcomes) else EXIT_NOT_SEEN


def _tell(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


def summary(outcomes: list[Outcome]) -> Table:
    """The table of what was seen."""
    table = Table(box=None, pad_edge=False)
    for column in ("no.", "problem", "symptom seen", "cure seen", "figure", "before", "after"):
        table.add_column(column, overflow="fold", justify="right" if column in ("before", "after") else "left")
    for outcome in outcomes:
        one = outcome.experiment
        before, after = (outcome.figures[side].get(one.reveals) for side in ("before", "after"))
        words = ("yes" if outcome.seen(kind) else "NO" for kind in ("symptom", "cure"))
        table.add_row(str(one.number), one.title, *words, one.reveals, _shown(before), _shown(after))
    return table


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
