"""The command line made of `cli.Commands`: which files each command reads, and how its help looks.

Help is for 80 columns and for people who want to begin: what the command is for, examples, then the settings in groups,
each with its variable and what holds without it.
"""

import re
from collections.abc import Sequence
from typing import Final

from cyclopts import App
from cyclopts.help import ColumnSpec, DefaultFormatter, HelpEntry, NameRenderer
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from scalechat import __version__
from scalechat.palette import FAINT
from scalechat.sources import Environment, PlatformIndex, Provenance, TomlFile

EXAMPLES: Final[dict[str, Sequence[tuple[str, str]]]] = {
    "serve": (
        ("serve", "on http://localhost:8080"),
        ("serve --host 0.0.0.0 --origins https://chat.example.org", "for a page of your own"),
        ("serve --workers 4", "four processes that share the connections"),
        ("serve --bus redis://10.0.0.5", "one node of several"),
    ),
    "chat": (
        ("chat --room lobby --name ada", "talk"),
        ("chat --server-url wss://chat.example.org/ws", "elsewhere"),
    ),
    "load": (
        ("load --clients 500 --rooms 10", "half a minute of load, and what became of it"),
        ("load --clients 1000 --slo 'p99(delivery) < 200ms'", "pass or fail, for CI"),
        ("load --scenario configs/scenarios/reconnect-storm.toml", "one that is kept in a file"),
        ("load --server-url wss://example.org/ws --target plain", "a server that is not ours"),
    ),
    "capacity": (
        ("capacity --vary clients --slo 'p99(delivery) < 200ms'", "how many clients?"),
        ("capacity --vary rate --clients 200 --slo 'missing == 0'", "how many messages?"),
    ),
    "report": (
        ("report runs/20251128T081251Z-bed7", "of a run; beside its tables"),
        ("report runs/before runs/after --out difference.html", "of two, compared"),
        ("report http://localhost:9090 --minutes 30", "of what a Prometheus saw"),
    ),
    "compare": (
        ("compare runs/before runs/after", "two runs, or two directories of runs"),
        ("compare 'runs/20251127*' 'runs/20251128*' --json", "two patterns, for a program"),
    ),
    "experiment": (
        ("experiment list", "what there is to see"),
        ("experiment head-of-line-blocking", "one of them, with and without the cure"),
    ),
    "demo": (
        ("demo", "see it"),
        ("demo --clients 400 --duration 30 --open", "more of it, and the report in a browser"),
    ),
}
"""Command lines that work, and what for."""
COMMANDS: Final = tuple(EXAMPLES)
_FILES: Final = {"serve": "--config", "load": "--scenario", "capacity": "--scenario"}
_NAMES: Final = 28
"""Columns of most flags with its value, so that the groups of a command stand below each other."""


def make_app(commands: object, environment: Environment, provenance: Provenance, *, colour: bool) -> App:
    """The command line: what the methods of `commands` do, with settings from flags, `environment` and files."""
    app = App(
        name="scalechat",
        help="A chat server meant to be grown until it breaks, and the laboratory that shows where, why and what "
        "fixed it.",
        help_epilogue="A value comes from its flag, else its environment variable, else the TOML file, else it is the "
        "default.",
        version=__version__,
        version_flags="--version",
        help_flags=("--help", "-h"),
        help_formatter=_Help([("demo", "see all of it at once"), ("serve --help", "every setting of a command")]),
        console=Console(no_color=not colour or None),
        config=(environment, provenance),
        group_parameters="Options",
    )
    for position, name in enumerate(COMMANDS):
        app.command(
            App(
                name=name,
                help_formatter=_Help(EXAMPLES[name], columns=(_name_column(), ColumnSpec(_described))),
                sort_key=position,
                config=(
                    environment,
                    *([TomlFile(_FILES[name])] if name in _FILES else []),
                    *([PlatformIndex(environment.environ)] if name == "load" else []),
                    provenance,
                ),
            )
        )
        app[name].default(getattr(commands, name))
    return app


class _Help(DefaultFormatter):
    """Cyclopts' own, with examples below the description."""

    def __init__(self, examples: Sequence[tuple[str, str]], columns: tuple[ColumnSpec, ...] | None = None) -> None:
        super().__init__(column_specs=columns)
        self._examples = examples

    def render_description(self, console: Console, options: ConsoleOptions, description: RenderableType) -> None:
        """See `DefaultFormatter`."""
        super().render_description(console, options, description)
        for command, purpose in self._examples:
            console.print(Text(f"  # {purpose}", style=FAINT))
            console.print(Text(f"  python -m scalechat {command}"), soft_wrap=True)
        console.print()


def _name_column() -> ColumnSpec:
    # Cyclopts' own would break the longest flag in two on a terminal of 80 columns.
    return ColumnSpec(NameRenderer(), style="cyclopts.name", min_width=_NAMES)


def _described(entry: HelpEntry) -> RenderableType:
    """A setting's help: what it means, and below it, dimmed, how else it is set and what holds without."""
    facts = [f"one of {', '.join(entry.choices)}"] if entry.choices else []
    facts += entry.env_var or ()
    facts += [f"default {_number(entry.default)}"] if entry.default is not None else []
    below = [Text(" · ".join(facts), style=FAINT)] if facts else []
    return Group(entry.description or "", *below)


def _number(default: str) -> str:
    """``10`` for ``10.0``: what the machine holds is nobody's concern."""
    return re.sub(r"^(\d+)\.0$", r"\1", default)
