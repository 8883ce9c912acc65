"""Many processes' metrics as one's: what is summed, what is not, and what became of those that have ended.

A counter that fell whenever a worker is restarted would look to Prometheus like a counter that began anew, and its
whole value like an increase of one moment. So the last counters that were seen of a process stay in the sum after its
end, and while it does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from prometheus_client.metrics_core import Metric

HIGHEST: Final = frozenset(
    {
        "scalechat_queue_age_seconds",
        "scalechat_draining",
        "scalechat_limit",
        "scalechat_bus_lag_seconds",
        "scalechat_cpu_quota_cores",
        "scalechat_cpu_throttled_seconds",
    }
)
"""What has one true value for all, of which the highest is it; of those in `LOWEST` the lowest. All others are sums."""
LOWEST: Final = frozenset({"process_start_time_seconds", "scalechat_bus_up"})
SUMMED_LIMITS: Final = frozenset({"max_connections"})
"""Bounds of which each worker has its share."""
_MONOTONIC: Final = ("counter", "histogram")

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]


class Family(msgspec.Struct, frozen=True):
    """One metric with all its samples, as plain data."""

    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


class Snapshot(msgspec.Struct, frozen=True):
    """What a worker tells when it is scraped. `rooms` are names: one room may have members in several workers."""

    families: list[Family]
    rooms: list[str]


def families_of(metrics: Iterable[Metric]) -> list[Family]:
    """Metrics as plain data."""
    return [
        Family(m.name, m.documentation, m.type, [(s.name, dict(s.labels), float(s.value)) for s in m.samples])
        for m in metrics
    ]


def metrics_of(families: Iterable[Family]) -> list[Metric]:
    """The opposite of `families_of`."""
    metrics = []
    for family in families:
        metric = Metric(family.name, family.text, family.kind)
        for name, labels, value in family.samples:
            metric.add_sample(name, labels, value)
        metrics.append(metric)
    return metrics


@dataclass(slots=True)
class _Sum:
    """The samples of one family, put together in the order in which they first came."""

    family: Family
    values: dict[Key, float] = field(default_factory=dict)

    def add(self, samples: Iterable[tuple[str, dict[str, str], float]]) -> None:
        for name, labels, value in samples:
            key = (name, tuple(labels.items()))
            before = self.values.get(key)
            self.values[key] = value if before is None else self._together(labels, before, value)

    def _together(self, labels: Mapping[str, str], one: float, other: float) -> float:
        name = self.family.name
        if self.family.kind == "info":
            return one
        if name in LOWEST:
            return min(one, other)
        if name in HIGHEST and labels.get("name") not in SUMMED_LIMITS:
            return max(one, other)
        return one + other

    @property
    def result(self) -> Family:
        samples = [(name, dict(labels), value) for (name, labels), value in self.values.items()]
        return Family(self.family.name, self.family.text, self.family.kind, samples)


def together(many: Iterable[Sequence[Family]]) -> list[Family]:
    """The families of several processes as those of one."""
    sums: dict[str, _Sum] = {}
    for families in many:
        for family in families:
            sums.setdefault(family.name, _Sum(family)).add(family.samples)
    return [each.result for each in sums.values()]


class Totals:
    """Remembers what was last seen of each worker."""

    def __init__(self) -> None:
        self._last: dict[int, list[Family]] = {}
        self._ended: list[Family] = []

    def ended(self, worker: int) -> None:
        """The worker's process is over; the next one under its number counts from 0."""
        self._ended = together([self._ended, self._last.pop(worker, [])])

    def merge(self, fresh: Mapping[int, Snapshot]) -> list[Family]:
        """All workers as one, from what those tell that answered now."""
        for worker, snapshot in fresh.items():
            self._last[worker] = [family for family in snapshot.families if family.kind in _MONOTONIC]
        silent = [families for worker, families in self._last.items() if worker not in fresh]
        answered = [snapshot.families for snapshot in fresh.values()]
        rooms = len({room for snapshot in fresh.values() for room in snapshot.rooms})
        return [_counted(family, rooms) for family in together([*answered, *silent, self._ended])]


def _counted(family: Family, rooms: int) -> Family:
    if family.name != "scalechat_rooms":
        return family
    return Family(family.name, family.text, family.kind, [(family.name, {}, float(rooms))])
