"""``python -m scalechat compare``: find the runs, refuse what cannot be compared, and say the answer."""

from __future__ import annotations

import glob
import math
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text

from scalechat.config import CompareConfig, UsageError
from scalechat.load.results import read_run

from .comparison import Answer, Comparison, Effect, compare
from .conditions import Differences, differences
from .frames import RunFrames
from .units import significant

__all__ = ["EXIT_WORSE", "change_text", "compare_and_tell", "find_runs", "value_text"]

EXIT_WORSE: Final = 99
_STYLES: Final[dict[Answer, str]] = {"better": "green", "worse": "bold red", "same": "", "cannot tell": "yellow"}


def find_runs(path: Path) -> list[RunFrames]:
    """The run in a directory, or all the runs in it, or in what a pattern such as ``runs/2025*`` matches.

    Raises UsageError where there is none.
    """
    found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path)))]
    runs = [run_dir for match in found for run_dir in _runs_in(match)]
    if not runs:
        raise UsageError(f"no run in {path}: give a run directory, a directory of runs, or a pattern")
    return [RunFrames(read_run(run_dir)) for run_dir in runs]


def _runs_in(path: Path) -> list[Path]:
    if path.name == "run.json" or any((path / name).is_file() for name in ("run.json", "timeseries.csv")):
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
        _print(comparison, found, console)
    return EXIT_WORSE if comparison.answer == "worse" else 0


def value_text(value: float, unit: str) -> str:
    """A figure with its unit; a dash where there is none."""
    return "-" if math.isnan(value) else f"{significant(value)} {unit}"


def change_text(effect: Effect) -> str:
    """``+20 % (+12 … +29)``, or a difference in the figure's unit."""
    if math.isnan(effect.change):
        return "-"
    factor, unit = (100, "%") if effect.relative else (1, effect.unit)
    text = f"{_signed(effect.change * factor)} {unit}"
    if math.isnan(effect.low):
        return text
    return f"{text} ({_signed(effect.low * factor)} … {_signed(effect.high * factor)})"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + (f"{value:,.0f}" if abs(value) >= 10 else f"{value:,.1f}")


def _print(comparison: Comparison, found: Differences, console: Console) -> None:
    for line in found.against:
        console.print(Text(f"! differs, and you allowed it: {line}", style="yellow"), soft_wrap=True)
    for line in found.besides:
        console.print(Text(f"differs: {line}", style="dim"), soft_wrap=True)
    rows = [("", "base", "new", "change", "answer"), *map(_cells, comparison.effects)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    styles = ["dim", *(_STYLES[effect.answer] for effect in comparison.effects)]
    for (name, old, now, change, answer), style in zip(rows, styles, strict=True):
        line = f"{name:<{widths[0]}}  {old:>{widths[1]}}  {now:>{widths[2]}}  {change:<{widths[3]}}  "
        # Never wrapped or cut short: on a terminal that breaks nothing, and elsewhere somebody greps for it.
        console.print(Text(line), Text(answer, style=style), sep="", soft_wrap=True)
    together = f"{comparison.confidence:.0%} for all intervals together; changes below {comparison.margin:.0%} are none"
    console.print(Text(f"{comparison.base_runs} against {comparison.new_runs} runs, {together}", style="dim"))
    if comparison.within_runs_only:
        text = "one run on a side: what differs from run to run is not in these intervals; give several runs a side"
        console.print(Text(f"! {text}", style="yellow"), soft_wrap=True)
    console.print(Text("answer    ", style="dim"), Text(comparison.answer, style=_STYLES[comparison.answer]), sep="")


def _cells(effect: Effect) -> tuple[str, str, str, str, str]:
    return (
        effect.figure,
        value_text(effect.base, effect.unit),
        value_text(effect.new, effect.unit),
        change_text(effect),
        effect.answer + (f": {effect.why}" if effect.why else ""),
    )


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list) else value
