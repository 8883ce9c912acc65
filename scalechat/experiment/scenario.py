"""An experiment's load as a scenario file: kinds of clients, events and a template go in as plain settings do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def scenario_text(settings: Mapping[str, object]) -> str:
    """A TOML document of settings: strings, numbers, booleans, and lists and tables of them."""
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in settings.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON's scalars are TOML's as well, but for DEL, which TOML wants escaped.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)
