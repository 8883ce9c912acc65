"""A configuration as it may be written down: plain values, secrets hidden."""

from dataclasses import fields
from typing import TYPE_CHECKING

import msgspec

from scalechat.values import (
    redact_url,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


from scalechat.config.capacity import CapacityConfig
from scalechat.config.load import LoadConfig
from scalechat.config.others import ChatConfig, CompareConfig, DemoConfig, ExperimentConfig, ReportConfig
from scalechat.config.serve import ServeConfig

SECRETS = frozenset(
    f.name
    for config in (
        ServeConfig,
        LoadConfig,
        CapacityConfig,
        ChatConfig,
        ReportConfig,
        CompareConfig,
        DemoConfig,
        ExperimentConfig,
    )
    for f in fields(config)
    if not f.repr
)
"""Names of the fields whose values must not be shown."""

PlainValue = str | int | float | bool | list[str] | None


def public_values(config: "DataclassInstance") -> dict[str, PlainValue]:
    """Every field of `config` by name, as plain values, secrets as ``***``: safe to write down."""
    return {f.name: _public(getattr(config, f.name), secret=f.name in SECRETS) for f in fields(config)}


def _public(value: object, *, secret: bool) -> PlainValue:
    if value is None:
        return None
    if secret:
        return "***"
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value[0] if isinstance(value, tuple) and value else value, msgspec.Struct):
        return msgspec.json.encode(value).decode()
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return redact_url(str(value))
