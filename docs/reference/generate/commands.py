"""The commands with all their settings, from the very annotations that ``--help`` is made from."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from cyclopts import Argument, Group

from docs.reference.generate.markdown import code, codes, table
from scalechat.cli import Commands
from scalechat.command_line import COMMANDS, make_app
from scalechat.sources import Environment, Provenance, variable_of
from scalechat.values import AboveZero, Between, is_table


def commands() -> str:
    """A section for each command."""
    return "\n".join(itertools.chain.from_iterable(_command(name) for name in COMMANDS))


def _command(name: str) -> Iterator[str]:
    provenance = Provenance()
    app = make_app(Commands(provenance), Environment({}), provenance, colour=False)
    arguments = [a for a in app[name].assemble_argument_collection() if not a.children and not is_table(a.parameter)]
    positional = " ".join(_flag(a).strip("`") for a in arguments if a.required)
    yield f"## {name}\n"
    yield f"`python -m scalechat {name}{' ' if positional else ''}{positional} [OPTIONS]`\n"
    yield f"{inspect.getdoc(getattr(Commands, name))}\n"
    groups: dict[str, list[Argument]] = {}
    for argument in sorted(arguments, key=_place):
        groups.setdefault(_panel(argument), []).append(argument)
    for title, members in groups.items():
        yield f"### {name}: {title[0].lower()}{title[1:]}\n"
        yield table(("flag", "variable", "value", "default", "meaning"), map(_row, members))


def _place(argument: Argument) -> int:
    key = _group(argument).sort_key
    return key if isinstance(key, int) else 99


def _panel(argument: Argument) -> str:
    return _group(argument).name


def _group(argument: Argument) -> Group:
    group = argument.parameter.group
    (found,) = group if isinstance(group, tuple) else (group,)
    assert isinstance(found, Group)  # Cyclopts has put those without one into its own.
    return found


def _row(argument: Argument) -> tuple[str, ...]:
    variable = variable_of(argument) if argument.parameter.show_env_var else ""
    return _flag(argument), code(variable), _value(argument), _default(argument), str(argument.parameter.help or "")


def _flag(argument: Argument) -> str:
    return code(argument.name.lstrip("-").upper() if argument.required else argument.name)


def _value(argument: Argument) -> str:
    """What may be given: a choice, or a kind of value and its bounds."""
    members = [argument.hint, *get_args(argument.hint)]
    choices = next((get_args(member) for member in members if get_origin(member) is Literal), ())
    if choices:
        return codes(map(str, choices))
    bounds = [_bounds(check) for check in _checks(argument)]
    several = ", several" if get_origin(argument.hint) is tuple else ""
    known = (*members, *itertools.chain(*map(get_args, members)))
    kind = next((word for kind, word in _KINDS.items() if kind in known), None)
    # Not a StopIteration, which would end the table of whoever asks and say nothing.
    assert kind is not None, f"{argument.name} is of no known kind: {argument.hint}"
    return " ".join([kind, *filter(None, bounds)]) + several


_KINDS: dict[object, str] = {bool: "switch", int: "whole number", float: "number", str: "text", Path: "path"}


def _checks(argument: Argument) -> tuple[object, ...]:
    found = argument.parameter.validator
    return found if isinstance(found, tuple) else (found,)


def _bounds(check: object) -> str:
    match check:
        case Between(low, high, unit):
            return f"{low:,g} to {_number(high)} {unit}".strip()
        case AboveZero(high, unit):
            return f"above 0, to {_number(high)} {unit}"
    return ""


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else str(value)


def _default(argument: Argument) -> str:
    if argument.required:
        return "must be given"
    shown = argument.parameter.show_default
    if callable(shown):
        return str(shown(None))
    default = argument.field_info.default
    if default is False:
        return "off"
    return codes(map(str, default)) if isinstance(default, tuple) else code(str(default))
