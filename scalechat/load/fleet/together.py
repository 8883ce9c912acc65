"""What a person sees of several processes: one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalechat.load.histogram import Histogram
from scalechat.load.live import Snapshot


def together(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The newest snapshot of each worker as one: loads add up, percentiles are of all deliveries, and of what a
    generator may suffer the worst is shown."""
    delivery = _merged([snapshot.delivery for snapshot in snapshots])
    latest = max(snapshots, key=lambda snapshot: snapshot.elapsed_s)
    return replace(
        latest,
        clients=sum(one.clients for one in snapshots),
        target_clients=sum(one.target_clients for one in snapshots),
        published_per_s=sum(one.published_per_s for one in snapshots),
        delivered_per_s=sum(one.delivered_per_s for one in snapshots),
        p50_ms=_ms(delivery.quantile_ns(0.5)),
        p99_ms=_ms(delivery.quantile_ns(0.99)),
        p99_9_ms=_ms(delivery.quantile_ns(0.999)),
        missing=sum(one.missing for one in snapshots),
        duplicated=sum(one.duplicated for one in snapshots),
        reordered=sum(one.reordered for one in snapshots),
        corrupted=sum(one.corrupted for one in snapshots),
        errors=sum(one.errors for one in snapshots),
        cpu_ratio=max(one.cpu_ratio for one in snapshots),
        loop_lag_p99_ms=_worst([one.loop_lag_p99_ms for one in snapshots]),
        send_lag_p50_ms=_worst([one.send_lag_p50_ms for one in snapshots]),
        rss_bytes=sum(one.rss_bytes or 0 for one in snapshots) or None,
        delivery=delivery,
        delivered=sum(one.delivered for one in snapshots),
        expected=sum(one.expected for one in snapshots),
        measured={metric: _merged([one.measured[metric] for one in snapshots]) for metric in latest.measured},
        counted={name: _sum([one.counted[name] for one in snapshots]) for name in latest.counted},
        server=next((one.server for one in snapshots if one.server is not None), None),
    )


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6
