"""Objectives: ``p99(delivery) < 200ms``, ``missing == 0``. Reading them, and judging them.

Latency objectives look at the measured phase; counters at the whole run, as the ledger does.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from scalechat.config import UsageError
from scalechat.load.histogram import Histogram
from scalechat.load.results import METRICS, Objective

COUNTERS: Final = {
    "missing": "deliveries",
    "duplicated": "deliveries",
    "reordered": "deliveries",
    "corrupted": "deliveries",
    "phantom": "deliveries",
    "rejected": "messages",
    "unacked": "messages",
    "evicted": "connections",
    "disconnects": "connections",
    "connect_failures": "connections",
    "errors": "errors",
}
"""What can be counted in an objective, and its unit."""

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_UNITS_NS: Final = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_FORM: Final = re.compile(
    r"\s*(?:(?P<statistic>p\d{1,2}(?:\.\d+)?|min|mean|max)\s*\(\s*(?P<metric>\w+)\s*\)|(?P<counter>\w+))"
    r"\s*(?P<operator><=|>=|==|!=|<|>)\s*(?P<bound>\d+(?:\.\d+)?)\s*(?P<unit>ns|us|µs|ms|s)?\s*"
)
_EXAMPLES: Final = "such as 'p99(delivery) < 200ms' or 'missing == 0'"


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective. Bounds on latencies are in ns, on counters in their own unit."""

    expression: str
    subject: str
    """A metric, or a counter when there is no statistic."""
    statistic: str | None
    compare: Callable[[float, float], bool]
    bound: float

    @property
    def is_latency(self) -> bool:
        """Whether it is about a distribution of times."""
        return self.statistic is not None

    def judge(self, histogram: Histogram | None, counters: Mapping[str, int | None]) -> Objective:
        """How the run did; `ok` is None when it cannot be said."""
        if self.statistic is None:
            count = counters.get(self.subject)
            return Objective(
                expression=self.expression,
                observed=None if count is None else float(count),
                bound=self.bound,
                unit=COUNTERS[self.subject],
                ok=None if count is None else self.compare(count, self.bound),
                reason=f"the target has no {self.subject}" if count is None else None,
            )
        observed = _observe(self.statistic, histogram or Histogram())
        samples = 0 if histogram is None else histogram.count
        return Objective(
            expression=self.expression,
            observed=None if observed is None else observed / 1e6,
            bound=self.bound / 1e6,
            unit="ms",
            ok=None if observed is None else self.compare(observed, self.bound),
            reason=f"{samples:,} samples are too few for {self.statistic}" if observed is None else None,
        )


def parse_slo(expression: str) -> Slo:
    """Read one ``--slo``. Raises `UsageError`, with what is known when a name is not."""
    form = _FORM.fullmatch(expression)
    if form is None:
        raise UsageError(f"--slo {expression!r} cannot be read: write it {_EXAMPLES}")
    compare = _OPERATORS[form["operator"]]
    bound = float(form["bound"])
    if form["statistic"] is None:
        if form["counter"] not in COUNTERS:
            raise UsageError(f"--slo {expression!r}: {form['counter']} is not counted; known are {', '.join(COUNTERS)}")
        if form["unit"] is not None:
            raise UsageError(f"--slo {expression!r}: {form['counter']} is a number and takes no unit")
        return Slo(expression.strip(), form["counter"], None, compare, bound)
    if form["metric"] not in METRICS:
        raise UsageError(f"--slo {expression!r}: {form['metric']} is not measured; known are {', '.join(METRICS)}")
    if form["unit"] is None:
        raise UsageError(f"--slo {expression!r}: give the bound a unit (ns, us, ms or s)")
    return Slo(expression.strip(), form["metric"], form["statistic"], compare, bound * _UNITS_NS[form["unit"]])


def _observe(statistic: str, histogram: Histogram) -> float | None:
    match statistic:
        case "min":
            return histogram.min_ns
        case "max":
            return histogram.max_ns
        case "mean":
            return histogram.mean_ns
        case _:
            return histogram.quantile_ns(float(statistic[1:]) / 100)
