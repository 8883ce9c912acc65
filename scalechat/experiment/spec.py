"""What an experiment's TOML says. See ``configs/experiments/`` for all of them and the words' meaning below.

Settings are those of ``serve --config`` and ``load --scenario``, so they are checked by the commands themselves.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from scalechat.config import UsageError
from scalechat.experiment.checks import Check, names_in
from scalechat.experiment.limits import Limits

Scalar = str | int | float | bool
Table = dict[str, Scalar | list[Scalar] | dict[str, Scalar]]
Setting = Scalar | list[str | Table] | Table
"""Tables only where a scenario file has them: kinds, events, phases, template."""
Settings = dict[str, Setting]
SideName = Literal["before", "after"]
SIDES: Final[tuple[SideName, ...]] = ("before", "after")
Group = Literal["connections", "fan-out", "slow clients", "storms", "nodes", "memory", "measuring"]
_GROUPS: Final = get_args(Group)


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
    server: Settings = {}
    load: Settings = {}
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
    group: Group
    """Which problems it belongs to, for the list."""
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
    finding: str
    """What the two runs show when all checks hold, in a sentence: the picture's title. ``{before.delivery_p99}`` stands
    for that figure with its unit."""
    before: Side
    after: Side
    checks: list[Check]
    shows: list[str] = []
    """More figures for the table."""
    draws: list[str] = []
    """At most two panels beside the figure that reveals the problem, see `scalechat.analysis.experiment_picture`."""
    server: Settings = {}
    load: Settings = {}
    server_limits: Limits = Limits()
    load_limits: Limits = Limits()
    sysctls: dict[str, str] = {}
    """The kernel's network settings, for server and load client alone: they then have a network namespace of their own,
    which needs root."""

    @property
    def sides(self) -> tuple[tuple[SideName, Side], ...]:
        """Both with their names, in order."""
        return tuple(zip(SIDES, (self.before, self.after), strict=True))

    def limits(self, side: Side) -> tuple[Limits, Limits]:
        """Of the server and of the load client on that side."""
        return side.server_limits.over(self.server_limits), side.load_limits.over(self.load_limits)

    @property
    def rank(self) -> tuple[int, int]:
        """Its place in a list by groups."""
        return _GROUPS.index(self.group), self.number

    @property
    def figures_shown(self) -> list[str]:
        """In the table's order: what reveals it, what checks compare and the finding tells, what else is shown."""
        compared = [name for wanted in self.checks for name in names_in(wanted.that)]
        return list(dict.fromkeys([self.reveals, *compared, *names_in(self.finding), *self.shows]))


def flags(settings: Settings) -> list[str]:
    """Settings as a command line."""
    words: list[str] = []
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is False:
            words.append("--no-" + name.replace("_", "-"))
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [flag, str(one)]
    return words


def workers_in(settings: Settings) -> int:
    """How many processes beside its own a server with these settings has to serve with."""
    workers = settings.get("workers")
    return workers if isinstance(workers, int) and workers > 1 else 0


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
