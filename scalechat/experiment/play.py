"""Play an experiment: the run with the symptom, the run with the cure, the checks; what is found is written down.

runs/<id>-<name>/
    experiment.json     the experiment, the figures of both runs, the checks
    before/<run_id>/    a run directory
    after/<run_id>/     another
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from scalechat.config import OperationalError
from scalechat.experiment.checks import Check, check, names_in
from scalechat.experiment.figures import figures_of
from scalechat.experiment.loading import load
from scalechat.experiment.spec import Experiment, Side
from scalechat.experiment.stage import raised
from scalechat.load.results import new_run_id

SIDES: Final = ("before", "after")
Tell = Callable[[str], None]


class CheckResult(msgspec.Struct, frozen=True):
    check: Check
    left: float | None
    right: float | None
    holds: bool


class Outcome(msgspec.Struct, frozen=True):
    """What ``experiment.json`` holds."""

    name: str
    experiment: Experiment
    runs: dict[str, str]
    """Side → its run directory, relative to this one."""
    figures: dict[str, dict[str, float]]
    """Side → the figures that are shown."""
    checks: list[CheckResult]

    @property
    def succeeded(self) -> bool:
        """Whether the symptom was seen and the cure worked."""
        return all(result.holds for result in self.checks)

    def seen(self, kind: str) -> bool:
        """Whether all checks of a kind hold."""
        return all(result.holds for result in self.checks if result.check.kind == kind)


async def play(name: str, experiment: Experiment, out: Path, tell: Tell) -> tuple[Path, Outcome]:
    """Do it; returns the directory and what was found.

    Raises:
        OperationalError: a part of the stage did not start, or the results cannot be written.
    """
    directory = out / f"{new_run_id()}-{name}"
    found: dict[str, dict[str, float]] = {}
    runs: dict[str, str] = {}
    for side_name, side in zip(SIDES, (experiment.before, experiment.after), strict=True):
        tell(f"{side_name}: {side.about}")
        run_dir = await _run(experiment, side, directory / side_name)
        runs[side_name] = str(run_dir.relative_to(directory))
        found[side_name] = figures_of(run_dir)
    results = []
    for wanted in experiment.checks:
        checked = check(wanted, found["before"], found["after"])
        results.append(CheckResult(wanted, checked.left, checked.right, checked.holds))
        tell(str(checked))
    shown = _shown(experiment)
    figures = {side: {k: v for k, v in values.items() if k in shown} for side, values in found.items()}
    outcome = Outcome(name, experiment, runs, figures, results)
    _write(directory / "experiment.json", outcome)
    return directory, outcome


def read_outcome(directory: Path) -> Outcome:
    """What was written by `play`. Raises `OperationalError` where there is none."""
    try:
        return msgspec.json.decode((directory / "experiment.json").read_bytes(), type=Outcome)
    except (OSError, msgspec.DecodeError) as error:
        raise OperationalError(f"no experiment in {directory}: {error}") from error


async def _run(experiment: Experiment, side: Side, out: Path) -> Path:
    async with raised(side, experiment.server | side.server) as (url, begin):
        return await load(side, experiment.load | side.load, url, out, begin)


def _shown(experiment: Experiment) -> list[str]:
    """Figures of the table, in order: what reveals it, what the checks compare, what else is of interest."""
    compared = [name for wanted in experiment.checks for name in names_in(wanted)]
    return list(dict.fromkeys([experiment.reveals, *compared, *experiment.shows]))


def _write(path: Path, outcome: Outcome) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2))
        temporary.replace(path)
    except OSError as error:
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error
