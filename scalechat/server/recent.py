"""The last fifteen minutes of a process, a sample a second: what the dashboard draws where there is no Prometheus."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
from prometheus_client import Histogram

from scalechat.server.figures import Rates

SAMPLES = 900
"""Fifteen minutes: enough to see what led to the present, and about 300 kB. What is older is Prometheus' business."""


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One second of a process, or of all workers together; None where nothing was published in it."""

    unix_s: int
    connections: int
    publications_per_s: float
    deliveries_per_s: float
    fanout_p50_ms: float | None
    fanout_p99_ms: float | None
    queue_bytes: int
    queue_age_s: float
    loop_lag_ms: float
    """The worst of the second."""
    cpu_ratio: float
    rss_bytes: int


Buckets = list[tuple[float, float]]
"""Upper bound and how many are at or below it, as a histogram of Prometheus tells it."""


class Recent:
    """The ring. `note` adds the second that has just ended; what the counters do not know is asked of the others."""

    def __init__(
        self,
        fanout_duration_s: Histogram,
        *,
        connections: Callable[[], int],
        queue_bytes: Callable[[], int],
        queue_age_s: Callable[[], float],
        worst_lag_s: Callable[[], float],
    ) -> None:
        self._fanout_duration_s = fanout_duration_s
        self._connections = connections
        self._queue_bytes = queue_bytes
        self._queue_age_s = queue_age_s
        self._worst_lag_s = worst_lag_s
        self._fanned_out = _buckets(fanout_duration_s)
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def note(self, rates: Rates) -> None:
        """The second is over, and these are its rates."""
        before, self._fanned_out = self._fanned_out, _buckets(self._fanout_duration_s)
        lately = [(bound, now - then) for (bound, now), (_, then) in zip(self._fanned_out, before, strict=True)]
        self._samples.append(
            Sample(
                unix_s=int(time.time()),
                connections=self._connections(),
                publications_per_s=round(rates.publications_per_s, 1),
                deliveries_per_s=round(rates.deliveries_per_s, 1),
                fanout_p50_ms=_ms(quantile(lately, 0.5)),
                fanout_p99_ms=_ms(quantile(lately, 0.99)),
                queue_bytes=self._queue_bytes(),
                queue_age_s=round(self._queue_age_s(), 3),
                loop_lag_ms=round(self._worst_lag_s() * 1000, 2),
                cpu_ratio=round(rates.cpu_ratio, 4),
                rss_bytes=rates.rss_bytes,
            )
        )

    def since(self, unix_s: int) -> list[Sample]:
        """The samples after that second, oldest first."""
        return [sample for sample in self._samples if sample.unix_s > unix_s]


def quantile(buckets: Buckets, q: float) -> float | None:
    """The `q`-quantile as Prometheus' ``histogram_quantile`` has it: linear within its bucket; None of nothing.

    What lies beyond the last finite bound counts as that bound.
    """
    total = buckets[-1][1]
    if total <= 0:
        return None
    rank = q * total
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *buckets[:-1]]):
        if upto >= rank:
            return low + (high - low) * (rank - below) / (upto - below)
    return buckets[-2][0]


def together(parts: Sequence[Sequence[Sample]]) -> list[Sample]:
    """Several processes' samples as those of one: sums, and of lateness and age the worst.

    Processes take their samples at different moments: one that has none for a second counts with that of the second
    before, so that no sum dips where a process was a little late.
    """
    by_second = [{sample.unix_s: sample for sample in part} for part in parts]
    seconds = sorted({second for part in by_second for second in part})
    found = ([part.get(second) or part.get(second - 1) for part in by_second] for second in seconds)
    return [_one([s for s in those if s is not None], second) for second, those in zip(seconds, found, strict=True)]


def _one(samples: list[Sample], unix_s: int) -> Sample:
    return Sample(
        unix_s=unix_s,
        connections=sum(s.connections for s in samples),
        publications_per_s=round(sum(s.publications_per_s for s in samples), 1),
        deliveries_per_s=round(sum(s.deliveries_per_s for s in samples), 1),
        fanout_p50_ms=max((s.fanout_p50_ms for s in samples if s.fanout_p50_ms is not None), default=None),
        fanout_p99_ms=max((s.fanout_p99_ms for s in samples if s.fanout_p99_ms is not None), default=None),
        queue_bytes=sum(s.queue_bytes for s in samples),
        queue_age_s=max(s.queue_age_s for s in samples),
        loop_lag_ms=max(s.loop_lag_ms for s in samples),
        cpu_ratio=round(sum(s.cpu_ratio for s in samples), 4),
        rss_bytes=sum(s.rss_bytes for s in samples),
    )


def _buckets(histogram: Histogram) -> Buckets:
    (family,) = histogram.collect()
    return [(float(s.labels["le"]), s.value) for s in family.samples if s.name.endswith("_bucket")]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
