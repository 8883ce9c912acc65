"""The JSON Schema of scenario files: settings from the annotations of `LoadConfig`, tables from the structs."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
from cyclopts import Parameter

from scalechat.config import SECRETS, LoadConfig, public_values
from scalechat.values import AboveZero, Between, is_table

Json = dict[str, object]


def scenario_schema_text() -> str:
    """The schema, as it is shipped in ``scalechat/schemas/scenario.schema.json``."""
    return json.dumps(_scenario_schema(), indent=2, ensure_ascii=False) + "\n"


def _scenario_schema() -> Json:
    hints = get_type_hints(LoadConfig, include_extras=True)
    settings = [field for field in fields(LoadConfig) if field.name != "scenario"]
    tables = [field for field in settings if any(is_table(parameter) for parameter in _parameters(hints[field.name]))]
    shapes, definitions = msgspec.json.schema_components(
        [get_args(hints[field.name])[0] for field in tables], ref_template="#/$defs/{name}"
    )
    tabled = {field.name: shape for field, shape in zip(tables, shapes, strict=True)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario of a Scale-Chat load run",
        "description": "python -m scalechat load --scenario FILE; a flag or a variable wins over the file",
        "type": "object",
        "properties": {
            _key(field, hints[field.name]): tabled.get(field.name, {}) | _setting(field, hints[field.name])
            for field in settings
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _parameters(hint: object) -> list[Parameter]:
    return [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Parameter)]


def _key(field: Field[object], hint: object) -> str:
    names = [parameter.name for parameter in _parameters(hint) if parameter.name]
    name = names[-1] if names else field.name
    return (name if isinstance(name, str) else next(iter(name))).replace("-", "_")


def _setting(field: Field[object], hint: object) -> Json:
    """One setting: its type, what it means, its bounds, and its default where it has one."""
    found: Json = {}
    for parameter in _parameters(hint):
        if parameter.help:
            found["description"] = parameter.help
        found |= _bounds(parameter.validator)
    default = field.default
    if default is not MISSING and default not in (None, ()) and field.name not in SECRETS:
        found["default"] = public_values(LoadConfig())[field.name]
    return found if any(is_table(parameter) for parameter in _parameters(hint)) else _type(get_args(hint)[0]) | found


def _bounds(validator: object) -> Json:
    match validator:
        case Between(low, high):
            return {"minimum": low, "maximum": high}
        case AboveZero(high):
            return {"exclusiveMinimum": 0, "maximum": high}
        case (only,):
            return _bounds(only)
    return {}


def _type(hint: object) -> Json:
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    members = [member for member in get_args(hint) if member not in (type(None), ...)]
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _type(members[0])}
    if members:  # an Annotated type, or one that may be unset, which a file says by leaving it out
        return _type(members[0])
    names: dict[object, str] = {bool: "boolean", int: "integer", float: "number"}
    return {"type": names.get(hint, "string")}
