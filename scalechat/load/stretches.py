"""What the measured phase counted, stretch by stretch of time: for how sure a percentile is, see `scalechat.intervals`.

A stretch is a second, and holds whole broadcasts but for those under way at its end; in a long run it is 2, 4, 8…
seconds, so that at most `MOST` are kept, whatever the run. What never came stands in the stretch in which it was given
up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from scalechat.intervals import Estimate, of_quantiles
from scalechat.load.histogram import BUCKET_LOWS_NS, Histogram

MOST: Final = 512
"""Resampling so many takes a fifth of a second."""
METRICS: Final = ("delivery", "ack_rtt", "send_lag")
"""Those whose percentiles have intervals: what is measured all along."""


@dataclass(slots=True)
class Stretches:
    """Counts by metric, stretch and bucket."""

    length_s: int = 1
    counts: dict[str, dict[int, dict[int, int]]] = field(default_factory=dict)

    def add(self, metric: str, at_s: float, histogram: Histogram) -> None:
        """What was counted in the second that ends then. Negative values count as 0 here."""
        _count, _sum, _least, _most, hits, mirrored = histogram.dump()
        self._add(metric, max(0, round(at_s) - 1) // self.length_s, [*hits, *((0, count) for _, count in mirrored)])
        if len(self.counts[metric]) > MOST:
            self._widen()

    def merge(self, other: Stretches) -> None:
        """Add what another process counted at the same times."""
        while self.length_s < other.length_s:
            self._widen()
        for metric, stretches in other.counts.items():
            for number, buckets in stretches.items():
                self._add(metric, number * other.length_s // self.length_s, buckets.items())

    def estimates(self, metric: str, whole: Histogram, ranks: Sequence[float]) -> list[Estimate]:
        """Quantiles with their errors. What `whole` counted and no stretch did is one more, at the end."""
        columns: dict[int, int] = {}
        rows = [buckets for _number, buckets in sorted(self.counts.get(metric, {}).items())]
        rest = dict(whole.dump()[4])
        for buckets in rows:
            for bucket, count in buckets.items():
                rest[bucket] = rest.get(bucket, 0) - count
        last = {bucket: count for bucket, count in rest.items() if count > 0}
        rows += [last] if last else []
        columns = {bucket: at for at, bucket in enumerate(sorted({bucket for row in rows for bucket in row}))}
        counts: npt.NDArray[np.float64] = np.zeros((len(rows), len(columns)))
        for row, buckets in zip(counts, rows, strict=True):
            row[[columns[bucket] for bucket in buckets]] = list(buckets.values())
        edges = BUCKET_LOWS_NS.astype(np.float64)
        hit = np.array(list(columns), dtype=np.int64)
        return of_quantiles(counts, edges[hit], edges[hit + 1], ranks)

    def _add(self, metric: str, number: int, hits: Iterable[tuple[int, int]]) -> None:
        buckets = self.counts.setdefault(metric, {}).setdefault(number, {})
        for bucket, count in hits:
            buckets[bucket] = buckets.get(bucket, 0) + count

    def _widen(self) -> None:
        """Make one of two neighbours."""
        old, self.counts = self.counts, {}
        self.length_s *= 2
        for metric, stretches in old.items():
            for number, buckets in stretches.items():
                self._add(metric, number // 2, buckets.items())
