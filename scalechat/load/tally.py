"""What the load client's own ``/metrics`` shows: the figures of a process now, and of several processes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scalechat.load.errors import ErrorLog
from scalechat.load.health import Health
from scalechat.load.histogram import Histogram
from scalechat.load.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Tally:
    """Totals since the start of the run, but for `connections`. Histograms are of windows that are over."""

    connections: int = 0
    """Open now."""
    published: int = 0
    delivered: int = 0
    delivery: Histogram = field(default_factory=Histogram)
    send_lag: Histogram = field(default_factory=Histogram)
    loop_lag: Histogram = field(default_factory=Histogram)
    """Of the measured phase."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """By kind."""


def tally_of(recorder: Recorder, errors: ErrorLog, health: Health) -> Tally:
    """The figures of this process; nothing of it changes later."""
    loop_lag = Histogram()
    loop_lag.merge(health.steady_lag)
    return Tally(
        connections=recorder.counters.open,
        published=recorder.counters.published,
        delivered=recorder.counters.delivered,
        delivery=recorder.windows.merged("delivery"),
        send_lag=recorder.windows.merged("send_lag"),
        loop_lag=loop_lag,
        errors={kind: entry.count for kind, entry in errors.kinds.items()},
    )


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """All of them together: histograms merge exactly."""
    connections = published = delivered = 0
    delivery, send_lag, loop_lag = Histogram(), Histogram(), Histogram()
    errors: dict[str, int] = {}
    for tally in tallies:
        connections += tally.connections
        published += tally.published
        delivered += tally.delivered
        delivery.merge(tally.delivery)
        send_lag.merge(tally.send_lag)
        loop_lag.merge(tally.loop_lag)
        for kind, count in tally.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return Tally(connections, published, delivered, delivery, send_lag, loop_lag, errors)
