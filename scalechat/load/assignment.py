"""What a run is to do, checked before anything is connected or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scalechat.config import LoadConfig
from scalechat.load.connector import Connector
from scalechat.load.dialects import Dialect, Names
from scalechat.load.plan import Plan
from scalechat.load.results import Scalar
from scalechat.load.scrape import MetricsPage
from scalechat.load.slo import Slo


@dataclass(frozen=True, slots=True)
class Beginning:
    """When a run starts, or has started."""

    start_ns: int
    """By the run's clock: ``t_s`` counts from here."""
    unix_ns: int
    """By the wall clock."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Nothing in it can fail any more for what the user said."""

    config: LoadConfig
    sources: Mapping[str, str]
    """Where each value of `config` came from."""
    plan: Plan
    slos: tuple[Slo, ...]
    dialect: Dialect
    names: Names
    connector: Connector
    page: MetricsPage | None
    """Where the server's metrics may be; None to not look."""
    stated: Mapping[str, Scalar]
    """What the server said about itself when it was greeted."""
    warning: str | None = None
    """What a person should know before it begins."""
    beginning: Beginning | None = None
    """Agreed upon with other processes; None: the run starts when it is made."""
