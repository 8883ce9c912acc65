"""What an experiment's TOML says. See ``configs/experiments/`` for all of them and the words' meaning below.

Settings are those of ``serve --config`` and ``load --scenario``, so they are checked by the commands themselves.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from scalechat.config import UsageError
from scalechat.experiment.checks import Check

Scalar = str | int | float | bool
Table = dict[str, Scalar | list[Scalar] | dict[str, Scalar]]
Setting = Scalar | list[str | Table] | Table
"""Tables only where a scenario file has them: kinds, events, phases, template."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limited environment of one process; None is as it is."""

    cores: list[int] | None = None
    open_files: int | None = None
    """The soft limit."""
    open_files_hard: int | None = None
    """How far the process may raise it; without it, not at all."""
    memory_mib: int | None = None
    """Of the data segment (RLIMIT_DATA): what a container's limit is to a process, as far as one can be had here."""

    def command(self) -> list[str]:
        """What to put in front of a command so that these limits hold for it: util-linux programs, found everywhere."""
        words: list[str] = []
        if self.cores is not None:
            words += ["taskset", "--cpu-list", ",".join(map(str, self.cores))]
        limits = []
        if self.open_files is not None:
            limits.append(f"--nofile={self.open_files}:{self.open_files_hard or self.open_files}")
        if self.memory_mib is not None:
            limits.append(f"--data={self.memory_mib * 2**20}")
        return words + (["prlimit", *limits, "--"] if limits else [])


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happens to a part of the stage during a run."""

    at_s: float
    """Of the run, whose clock starts with the first connection: `t_s` of its files."""
    part: Literal["server", "redis"]
    do: Literal["kill", "terminate", "pause"]
    """Kill and terminate start it again after `for_s`; pause lets it go on then."""
    for_s: float = 0.5


class Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two runs: what it adds to, or puts in the place of, what both have."""

    about: str
    """What is different here, as a person would say it: a column heading."""
    server: dict[str, Setting] = {}
    load: dict[str, Setting] = {}
    server_limits: Limits = Limits()
    load_limits: Limits = Limits()
    program: str | None = None
    """A Python module to serve in the place of ``scalechat``; it takes ``--port``."""
    redis: bool = False
    """Whether the server's bus is a Redis of its own."""
    actions: list[Action] = []


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    """In the catalogue of scaling problems."""
    title: str
    hypothesis: str
    reveals: str
    """The figure that reveals the problem, see `scalechat.experiment.figures`."""
    story: str
    """One paragraph: what happens, why, and what the cure does."""
    page: str
    """Under ``docs/scale-problems/``."""
    compose: str
    """The same limits with containers."""
    before: Side
    after: Side
    checks: list[Check]
    shows: list[str] = []
    """More figures for the table."""
    server: dict[str, Setting] = {}
    load: dict[str, Setting] = {}


def read_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file. Raises `UsageError` that names what is wrong with it."""
    try:
        experiment = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Experiment)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from error
    kinds = {check.kind for check in experiment.checks}
    if kinds != {"symptom", "cure"}:
        raise UsageError(f"{path}: an experiment needs at least one check of its symptom and one of its cure")
    return experiment
