"""What a dashboard says, without Grafana's JSON: pages of rows of panels of series.

Nothing here knows positions, colours or field names of Grafana: that is `render`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """One expression and the name of each line it yields."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Limit(Series):
    """A bound to keep away from."""


@dataclass(frozen=True, slots=True)
class Stat:
    """One number that changes colour when it reaches `warn` and `bad`."""

    title: str
    unit: str
    description: str
    expr: str
    warn: float | None = None
    bad: float | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Figures over time."""

    title: str
    unit: str
    description: str
    series: Sequence[Series]
    stacked: bool = False
    most: float | None = None
    """Where the axis ends at least, for a figure with a natural end."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Events over time that are rare on a good day: stacked bars, one colour for each kind."""

    title: str
    unit: str
    description: str
    series: Sequence[Series]


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A histogram's buckets over time."""

    title: str
    unit: str
    description: str
    expr: str


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and what stands under it."""

    title: str
    panels: Sequence[Stat | Lines | Bars | Heatmap]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a page can be narrowed to: the values that `label` has on `metric`."""

    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. Its `uid` is its address: it never changes."""

    uid: str
    title: str
    description: str
    choice: Choice
    rows: Sequence[Row]
