"""What a dashboard says, without Grafana's JSON: pages of rows of panels of series.

Nothing here knows positions, colours or field names of Grafana: that is `render`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Series:
    """One expression and the name of each line it yields."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Limit(Series):
    """A bound to keep away from."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A title, the unit of its figures, and what an operator learns from them."""

    title: str
    unit: str
    description: str
    docs: str = field(default="", kw_only=True)
    """The page below ``docs/`` that says what to do when the panel looks bad."""
    without: str = field(default="", kw_only=True)
    """What to say where the figures have no source: no Redis, no workers. Other panels always have data."""

    @property
    def series(self) -> Sequence[Series]:
        """All that it asks Prometheus for."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Stat(Panel):
    """One number that changes colour when it reaches `warn` and `bad`."""

    expr: str
    warn: float | None = None
    bad: float | None = None

    @property
    def series(self) -> Sequence[Series]:
        return [Series(self.expr, self.title)]


@dataclass(frozen=True, slots=True)
class Lines(Panel):
    """Figures over time."""

    lines: Sequence[Series]
    stacked: bool = False
    most: float | None = None
    """Where the axis ends at least, for a figure with a natural end."""
    log: bool = False
    """A logarithmic axis, for figures a hundred times apart of which both matter."""
    bad: float | None = None
    """From here on an alert looks at it: a dashed line."""

    @property
    def series(self) -> Sequence[Series]:
        return self.lines


@dataclass(frozen=True, slots=True)
class Bars(Panel):
    """Events over time that are rare on a good day: stacked bars, one colour for each kind."""

    bars: Sequence[Series]

    @property
    def series(self) -> Sequence[Series]:
        return self.bars


@dataclass(frozen=True, slots=True)
class Heatmap(Panel):
    """A histogram's buckets over time."""

    expr: str

    @property
    def series(self) -> Sequence[Series]:
        return [Series(self.expr, "{{le}}")]


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and what stands under it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a page can be narrowed to: the values that `label` has on `metric` (a selector).

    Pages with the same `variable` hand their choice to each other.
    """

    variable: str
    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. Its `uid` is its address: it never changes."""

    uid: str
    title: str
    description: str
    choices: Sequence[Choice]
    rows: Sequence[Row]
