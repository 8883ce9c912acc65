"""What all instances of a run must have been started with alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scalechat.config import LoadConfig, OperationalError, public_values

_OWN: Final = frozenset(
    {"instance", "out", "metrics_port", "quiet", "json", "seed", "rendezvous", "scenario", "ca_file"}
)
"""Settings in which instances may differ."""


def settings_of(config: LoadConfig) -> dict[str, str]:
    """What all processes of a run must agree on."""
    return {name: str(value) for name, value in public_values(config).items() if name not in _OWN}


def require_same(config: LoadConfig, settings: Mapping[str, str], who: str) -> None:
    """Raise `OperationalError` when `who` was started with other `settings` than `config`."""
    ours = settings_of(config)
    for name, value in settings.items():
        if ours.get(name) != value:
            raise OperationalError(
                f"{who} was started with {name} {value} and this one with {ours.get(name)}: "
                "give all of them the same settings",
                2,
            )
