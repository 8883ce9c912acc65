"""``python -m scalechat compare``: find the runs, refuse what cannot be compared, and say the answer."""

from __future__ import annotations

import glob
import math
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from scalechat.config import CompareConfig, UsageError
from scalechat.load.results import read_run

from .comparing_table import print_comparison
from .comparison import compare
from .conditions import Differences, differences
from .frames import RunFrames

__all__ = ["EXIT_WORSE", "compare_and_tell", "find_runs"]

EXIT_WORSE: Final = 99


def find_runs(path: Path) -> list[RunFrames]:
    """The run in a directory, or all the runs in it, or in what a pattern such as ``runs/2025*`` matches.

    Raises UsageError where there is none, and for a capacity search, whose probes are runs but which is none itself.
    """
    found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path)))]
    runs = [run_dir for match in found for run_dir in _runs_in(match)]
    if not runs:
        raise UsageError(f"no run in {path}: give a run directory, a directory of runs, or a pattern")
    opened = [read_run(run_dir) for run_dir in runs]
    for run in opened:
        if run.is_search:
            raise UsageError(f"{run.path} is a capacity search: compare runs, such as those in {run.path / 'probes'}")
    return [RunFrames(run) for run in opened]


def _runs_in(path: Path) -> list[Path]:
    if path.name == "run.json" or any((path / name).is_file() for name in ("run.json", "timeseries.csv", "search.csv")):
        return [path]
    return sorted(manifest.parent for manifest in path.glob("*/run.json"))


def checked(base: list[RunFrames], new: list[RunFrames], *, allow_different: bool) -> Differences:
    """What is not the same. Raises UsageError when that stands against comparing and is not allowed."""
    found = differences([frames.run for frames in base], [frames.run for frames in new])
    if found.against and not allow_different:
        raise UsageError(
            f"these runs cannot be compared, because of what differs: {' · '.join(found.against)} "
            "(--allow-different compares them all the same)"
        )
    return found


def compare_and_tell(config: CompareConfig, console: Console) -> int:
    """Compare, print, and return the exit code: 99 when anything is worse, else 0."""
    base, new = find_runs(config.base), find_runs(config.new)
    found = checked(base, new, allow_different=config.allow_different)
    comparison = compare(base, new, margin=config.margin, confidence=config.confidence)
    if config.json:
        document = {"answer": comparison.answer, "differences": found, **msgspec.to_builtins(comparison)}
        text = msgspec.json.format(msgspec.json.encode(_without_nan(msgspec.to_builtins(document))), indent=2)
        console.file.write(text.decode() + "\n")
    else:
        print_comparison(comparison, found, console)
    return EXIT_WORSE if comparison.answer == "worse" else 0


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list) else value
