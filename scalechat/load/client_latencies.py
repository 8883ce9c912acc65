"""A small histogram for each connection: which of a thousand clients was served worse than the rest?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from scalechat.load.histogram import BUCKETS, Ints, bucket_low_ns
from scalechat.load.spread import Members, Spread, runs

_COARSE_BITS: Final = 3
"""Eight buckets of `histogram` become one: 12.5 % wide, and 1.2 kB a connection instead of 10."""


_COARSE: Final = BUCKETS >> _COARSE_BITS


class ClientLatencies:
    """Delivery latencies by client number."""

    __slots__ = ("_counts",)

    def __init__(self, clients: int) -> None:
        self._counts = np.zeros((clients, _COARSE), dtype=np.uint32)

    @property
    def counts(self) -> npt.NDArray[np.uint32]:
        """A row for each client, a column for each bucket."""
        return self._counts

    def add_buckets(self, clients: Ints, buckets: Ints) -> None:
        """One latency of each of these clients, which may repeat, by its bucket in a `Histogram`."""
        if not len(clients):
            return
        self._add(clients * _COARSE + (buckets >> _COARSE_BITS), np.uint32(1))

    def add_spread(self, members: Members, latencies: Spread) -> None:
        """Those of messages that these members received together."""
        cells, counts = latencies.buckets >> _COARSE_BITS, latencies.counts
        low, places = int(cells.min()), len(members.times)
        width = int(cells.max()) + 1 - low
        if width * places > int(counts.sum()):  # few messages: by members and cells it would be more than one by one
            at = runs(latencies.begin, counts)
            self._add(members.clients[at] * _COARSE + np.repeat(cells, counts), np.uint32(1))
            return
        cells -= low
        # One more for each message of a cell from the member where it begins on, one less from where it ends on.
        cells *= places + 1
        size = width * (places + 1)
        changes = np.bincount(cells + latencies.begin, minlength=size) - np.bincount(
            cells + latencies.end, minlength=size
        )
        found = np.cumsum(changes.reshape(width, places + 1), axis=1)[:, :-1]
        self._add(members.clients * _COARSE + np.arange(low, low + width)[:, None], found.astype(np.uint32))

    def _add(self, cells: Ints, counts: npt.NDArray[np.uint32] | np.uint32) -> None:
        # Of the counts' own type: with a Python int numpy takes forty times as long.
        np.add.at(self._counts.reshape(-1), cells, counts)

    def quantiles_ns(self, client: int, qs: Iterable[float]) -> list[int | None]:
        """Quantiles of one client's latencies, within 7 %; None where no sample lies beyond."""
        counts = self._counts[client]
        total = int(counts.sum())
        cumulated = np.cumsum(counts)
        found: list[int | None] = []
        for q in qs:
            if total * (1 - q) < 1:
                found.append(None)
                continue
            index = int(np.searchsorted(cumulated, max(1.0, q * total)))
            low, high = bucket_low_ns(index << _COARSE_BITS), bucket_low_ns((index + 1) << _COARSE_BITS)
            found.append((low + high) // 2)
        return found
