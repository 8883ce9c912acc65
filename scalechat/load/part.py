"""What one process knows at the end of a run, and how the parts of several become the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scalechat.load.histogram import Histogram
from scalechat.load.results import Ledger, Phase, Scalar, Worker
from scalechat.load.stretches import Stretches
from scalechat.load.verdict import Facts
from scalechat.load.windows import Key

COUNTED: Final = ("evicted", "disconnects", "connect_failures", "errors")
"""What objectives may count besides the ledger."""


@dataclass(frozen=True, slots=True)
class Steady:
    """What was measured about the measured phase itself."""

    duration_s: float
    peak_clients: int
    published: int
    delivered: int
    server_cpu_cores: float | None
    server_rss_bytes: float | None


@dataclass(frozen=True, slots=True)
class Unseen:
    """Messages `first`…`last` of a publisher in another process, published and never seen by `members` members here."""

    publisher: int
    first: int
    last: int
    members: int
    apart: int
    """Those of them that stay out of the headline."""


@dataclass(frozen=True, slots=True)
class Part:
    """The run as one process saw it; its rows are written."""

    worker: Worker
    facts: Facts
    steady: Steady
    ledger: Ledger
    counted: Mapping[str, int]
    """By the names in `COUNTED`."""
    totals: Mapping[Key, Histogram]
    stretches: Stretches
    started_unix_ns: int
    ended_unix_ns: int
    phases: Sequence[Phase]
    measured: Sequence[int]
    """The numbers of those that count, in `totals`."""
    target_version: str | None = None
    target_config: Mapping[str, Scalar] = field(default_factory=dict)
    """What the server stated in its metrics; only one process looks."""
    unseen: Sequence[Unseen] = ()


def total_measured(parts: Sequence[Part], metric: str) -> Histogram:
    """Everything counted of a metric in the measured phases."""
    measured = {phase for part in parts for phase in part.measured}
    return _merged(parts, lambda key: key[0] in measured and key[1] == metric)


def total_of_all_phases(parts: Sequence[Part], metric: str) -> Histogram:
    """Everything counted of a metric."""
    return _merged(parts, lambda key: key[1] == metric)


def whole_stretches(parts: Sequence[Part]) -> Stretches:
    """What all counted at the same times."""
    whole = Stretches()
    for part in parts:
        whole.merge(part.stretches)
    return whole


def whole_ledger(parts: Sequence[Part]) -> Ledger:
    """The sum of all accounts; what one does not know nobody knows."""

    def add(name: str) -> int | None:
        values: list[int | None] = [getattr(part.ledger, name) for part in parts]
        return None if None in values else sum(value for value in values if value is not None)

    return Ledger(**{name: add(name) for name in Ledger.__struct_fields__})  # type: ignore[arg-type]


def whole_steady(parts: Sequence[Part]) -> Steady:
    """The measured phase is the same for all; its load adds up."""
    steady = [part.steady for part in parts]
    return Steady(
        duration_s=max(one.duration_s for one in steady),
        peak_clients=sum(one.peak_clients for one in steady),
        published=sum(one.published for one in steady),
        delivered=sum(one.delivered for one in steady),
        server_cpu_cores=next((one.server_cpu_cores for one in steady if one.server_cpu_cores is not None), None),
        server_rss_bytes=next((one.server_rss_bytes for one in steady if one.server_rss_bytes is not None), None),
    )


def _merged(parts: Sequence[Part], wanted: Callable[[Key], bool]) -> Histogram:
    whole = Histogram()
    for part in parts:
        for key, histogram in part.totals.items():
            if wanted(key):
                whole.merge(histogram)
    return whole
