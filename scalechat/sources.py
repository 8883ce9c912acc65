"""Where a setting's value comes from when no flag gives it: the environment, then a TOML file.

The two sources are Cyclopts config sources: it calls them in this order after the flags, and each fills only what is
still open. An unknown name in either is an error that tells the nearest known one. `Provenance` comes last and only
remembers, for ``--print-config`` and for the manifest of a run, where each value came from.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Argument, ArgumentCollection, Token
from cyclopts.config import Env

from scalechat.config import SECRETS, PlainValue, UsageError, public_values
from scalechat.values import is_table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from cyclopts import App

PREFIX = "SCALECHAT_"
FLAG = "flag"
ENVIRONMENT = "environment"
DEFAULT = "default"


def key_of(argument: Argument) -> str:
    """The TOML key of a setting: its flag without dashes, in snake case."""
    return argument.name.lstrip("-").replace("-", "_").lower()


def variable_of(argument: Argument) -> str:
    """The environment variable that is the twin of this flag."""
    return PREFIX + key_of(argument).upper()


def settings_in(arguments: ArgumentCollection) -> list[Argument]:
    """The arguments that are fields of a config object: not that object itself, not ``--print-config``."""
    return [a for a in arguments if a.keys and not a.children]


def _has_twin(argument: Argument) -> bool:
    return bool(argument.parameter.show_env_var) and not argument.children


class Environment(Env):
    """``SCALECHAT_<FLAG>`` of a given environment; a variable that is empty counts as not set.

    Being an `Env`, it also puts the names into the help. Compose files pass ``${TOKEN:-}`` for what nobody set, hence
    the rule for empty ones.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(PREFIX, command=False)
        self.environ = environ

    def __call__(self, _app: "App", _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give each open argument the value of its variable."""
        for argument in arguments:
            name = variable_of(argument)
            text = self.environ.get(name, "")
            if text and not argument.tokens and _has_twin(argument):
                _give(argument, argument.env_var_split(text), keyword=name, source=ENVIRONMENT)

    def refuse_unknown(self, arguments: Iterable[Argument]) -> None:
        """Raise UsageError when a variable carries our prefix and is the twin of none of `arguments`."""
        known = {variable_of(a) for a in arguments if _has_twin(a)}
        for name in sorted(self.environ):
            if name.startswith(PREFIX) and name not in known:
                raise UsageError(f"unknown variable {name}{_nearest(name, known, PREFIX)}")


class TomlFile:
    """The file that a setting named `option` points to: keys as `key_of` says, dashes are fine too."""

    def __init__(self, option: str) -> None:
        self.option = option

    def __call__(self, _app: "App", _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give each open argument the value of its key."""
        pointer = arguments.get(self.option, None)
        if pointer is None or not pointer.tokens:
            return
        path = Path(pointer.tokens[0].value)
        open_to_files = {key_of(a): a for a in settings_in(arguments) if a is not pointer}
        for key, value in _read_toml(path, pointer.tokens[0].keyword or self.option).items():
            argument = open_to_files.get(key.replace("-", "_"))
            if argument is None:
                raise UsageError(f"unknown key '{key}' in {path}{_nearest(key, open_to_files)}")
            if not argument.tokens:
                _give(argument, _texts(key, value, path, argument), keyword=key, source=f"file {path}")


class PlatformIndex:
    """The number that the platform gave this replica is its ``--instance``, when a run of several asks for one.

    Kubernetes numbers the pods of an Indexed Job in this variable. Compose numbers nobody: there the first free number
    is taken.
    """

    VARIABLE = "JOB_COMPLETION_INDEX"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._text = environ.get(self.VARIABLE, "")

    def __call__(self, _app: "App", _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give ``--instance`` the number, if nobody else has and there is a ``--rendezvous``."""
        instance, rendezvous = arguments.get("--instance", None), arguments.get("--rendezvous", None)
        if self._text and instance is not None and not instance.tokens and rendezvous is not None and rendezvous.tokens:
            _give(instance, [self._text], keyword=self.VARIABLE, source=f"{ENVIRONMENT} {self.VARIABLE}")


class Provenance:
    """Remembers, of the command being parsed, where each setting's value came from."""

    def __init__(self) -> None:
        self._arguments: list[Argument] = []

    def __call__(self, _app: "App", _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Remember the arguments of the command."""
        self._arguments = settings_in(arguments)

    def sources(self) -> dict[str, str]:
        """Field name → "flag", "environment", "file PATH" or "default"."""
        return {a.field_info.name: _source(a) for a in self._arguments}

    def keys(self) -> dict[str, str]:
        """Field name → TOML key."""
        return {a.field_info.name: key_of(a) for a in self._arguments}


def is_from_flag(token: Token) -> bool:
    """Whether `token` came from argv."""
    return token.source == "cli"  # Cyclopts' word for it


def _source(argument: Argument) -> str:
    if not argument.tokens:
        return DEFAULT
    first = argument.tokens[0]
    return FLAG if is_from_flag(first) else first.source


def _give(argument: Argument, texts: list[str], *, keyword: str, source: str) -> None:
    for index, text in enumerate(texts):
        argument.append(Token(keyword=keyword, value=text, source=source, index=index))


def _read_toml(path: Path, asked_by: str) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{asked_by} {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{asked_by} {path} is not TOML: {error}") from None


def _texts(key: str, value: object, path: Path, argument: Argument) -> list[str]:
    if is_table(argument.parameter):
        # As a string it is what --print-config shows: JSON already.
        return [value if isinstance(value, str) else json.dumps(value, default=str)]
    several = argument.token_count()[1]  # whether the setting takes any number of values
    if isinstance(value, dict):
        raise UsageError(f"'{key}' in {path} is a table: settings stand at the top level of the file")
    if isinstance(value, list) and several:
        return [str(item) for item in value]
    if isinstance(value, list):
        raise UsageError(f"'{key}' in {path} is a list: it takes one value")
    return [str(value)]


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    # What all names begin with would make everything look alike.
    bare = {k.removeprefix(prefix).lower(): k for k in sorted(known)}
    found = difflib.get_close_matches(name.removeprefix(prefix).lower().replace("-", "_"), bare, n=1)
    return f"; did you mean {bare[found[0]]}?" if found else ""


def describe(config: "DataclassInstance", provenance: Provenance) -> list[str]:
    """`config` as lines of TOML, each with where its value came from.

    What TOML cannot say (nothing) or must not (a secret) is a comment, so the lines are a file that gives `config`
    again.
    """
    keys, sources = provenance.keys(), provenance.sources()
    rows = []
    for name, value in public_values(config).items():
        silent = "# " if value is None or name in SECRETS else ""
        rows.append((f"{silent}{keys[name]} = {_toml(value)}", sources[name]))
    width = max(len(text) for text, _ in rows)
    return [f"{text:<{width}}  # {source}" for text, source in rows]


def _toml(value: PlainValue) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        # A JSON string is a TOML string but for DEL, and argv may carry bytes that are no Unicode.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        return text.encode(errors="replace").decode()
    return str(value).lower()
