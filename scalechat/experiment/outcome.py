"""``experiment.json``: which experiment was played, what both runs measured, and what the checks said.

Plain data: the report reads it without the rest of this package.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from scalechat.config import OperationalError
from scalechat.experiment.checks import Checked
from scalechat.experiment.spec import Experiment, SideName

FILENAME: Final = "experiment.json"


class Outcome(msgspec.Struct, frozen=True):
    """What ``experiment.json`` holds."""

    name: str
    experiment: Experiment
    runs: dict[str, str]
    """Side → its run directory, relative to this one."""
    figures: dict[str, dict[str, float]]
    """Side → the figures that are shown, in the order of the table; one that a run does not have is not there."""
    checks: list[Checked]
    unheld: list[str] = []
    """Limits that this machine could not hold as they were meant, in words."""

    @property
    def succeeded(self) -> bool:
        """Whether the symptom was seen and the cure worked."""
        return all(result.holds for result in self.checks)

    def seen(self, kind: str) -> bool:
        """Whether all checks of a kind hold."""
        return all(result.holds for result in self.checks if result.check.kind == kind)

    def figure(self, side: SideName, name: str) -> float | None:
        """What a run measured; None when it does not have that figure."""
        return self.figures[side].get(name)


def read_outcome(directory: Path) -> Outcome:
    """What was written by `write_outcome`. Raises `OperationalError` where there is none."""
    try:
        return msgspec.json.decode((directory / FILENAME).read_bytes(), type=Outcome)
    except (OSError, msgspec.DecodeError) as error:
        raise OperationalError(f"no experiment in {directory}: {error}") from error


def write_outcome(directory: Path, outcome: Outcome) -> None:
    """Put it into the directory, whole or not at all. Raises `OperationalError` when that is not possible."""
    path = directory / FILENAME
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2))
        temporary.replace(path)
    except OSError as error:
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error
