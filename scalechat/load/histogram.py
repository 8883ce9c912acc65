"""Log-linear histograms of nanoseconds: 64 buckets to each power of two, so a bucket is at most 1.6 % wide.

Counting is vectorised: raw values are collected elsewhere and come here in arrays. Buckets are the same everywhere, so
merging two histograms is adding their counts, exact across windows, workers and runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_SUB_BITS: Final = 6
_SUB: Final = 1 << _SUB_BITS
_TOP_BITS: Final = 43
MAX_NS: Final = (1 << _TOP_BITS) - 1
"""2.4 hours. What takes longer is counted in the last bucket."""
BUCKETS: Final = (_TOP_BITS - _SUB_BITS + 1) * _SUB
MIN_BEYOND = 10
"""A percentile is stated when so many samples lie beyond it (1,000 samples for p99). With ten, its rank is uncertain
by a third; with fewer it says more about luck than about the server."""


# 64 = 2^6 is the first value of bucket 64; 1023 is the exponent's bias.
_FLOAT_OFFSET: Final = ((1023 + _SUB_BITS) << _SUB_BITS) - _SUB


def bucket_indices(values: Ints) -> Ints:
    """The bucket of each value from 0 to `MAX_NS`."""
    # The upper bits of a float64 are the exponent and then the leading bits after the first one: read as an integer, a
    # log-linear bucket's number. Exact, as integers below 2^53 are.
    indices = values.astype(np.float64).view(np.int64)
    indices >>= 52 - _SUB_BITS
    indices -= _FLOAT_OFFSET
    if len(values) and int(indices.min()) < _SUB:
        return np.where(values < _SUB, values, indices)  # Each of these has a bucket of its own.
    return indices


def bucket_low_ns(index: int) -> int:
    """The lowest value of a bucket; its upper edge is the next one's."""
    shift = max(index // _SUB - 1, 0)
    return (index - shift * _SUB) << shift


BUCKET_LOWS_NS: Final = np.array([bucket_low_ns(index) for index in range(BUCKETS + 1)], dtype=np.int64)
"""`bucket_low_ns` of all, and where the last one ends."""

HistogramDump = tuple[int, int, int | None, int | None, list[tuple[int, int]], list[tuple[int, int]]]
"""Count, sum, least, greatest; (bucket, count) of each bucket that was hit, and of each mirrored one."""


class Spread(Protocol):
    """Values that were counted elsewhere, see `spread`."""

    @property
    def buckets(self) -> Ints:
        """A bucket may be there more than once."""
        ...

    @property
    def counts(self) -> Ints:
        """Of each."""
        ...

    @property
    def sum_ns(self) -> int: ...

    @property
    def min_ns(self) -> int: ...

    @property
    def max_ns(self) -> int: ...


class Histogram:
    """Counts per bucket, and count, sum and extremes of what was added. Negative values are kept, mirrored."""

    __slots__ = ("_counts", "_negative", "count", "max_ns", "min_ns", "sum_ns")

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, dtype=np.int64)
        self._negative: Ints | None = None  # None until a clock error makes one; index i holds (-high, -low].
        self.count = 0
        self.sum_ns = 0
        self.min_ns: int | None = None
        self.max_ns: int | None = None

    def add(self, values: Ints) -> Ints:
        """Count an array of values; returns the buckets they are in, negative ones as if they were 0."""
        if not len(values):
            return values
        lowest = int(values.min())
        self._note(len(values), int(values.sum()), lowest, int(values.max()))
        if lowest < 0:
            below = np.minimum(-values[values < 0], MAX_NS)
            self._mirrored()[:] += np.bincount(bucket_indices(below), minlength=BUCKETS)
            buckets = bucket_indices(np.clip(values, 0, MAX_NS))
            self._counts += np.bincount(buckets[values >= 0], minlength=BUCKETS)
            return buckets
        if self.max_ns is not None and self.max_ns > MAX_NS:
            values = np.minimum(values, MAX_NS)
        buckets = bucket_indices(values)
        self._counts += np.bincount(buckets, minlength=BUCKETS)
        return buckets

    def add_many(self, value_ns: int, count: int) -> None:
        """Count one value `count` times."""
        if count > 0:
            self._note(count, value_ns * count, value_ns, value_ns)
            index = int(bucket_indices(np.array([min(abs(value_ns), MAX_NS)], dtype=np.int64))[0])
            (self._mirrored() if value_ns < 0 else self._counts)[index] += count

    def add_spread(self, values: Spread) -> None:
        """Count what was counted already; none of it is negative or above `MAX_NS`."""
        counts = values.counts
        self._note(int(counts.sum()), values.sum_ns, values.min_ns, values.max_ns)
        np.add.at(self._counts, values.buckets, counts)

    def merge(self, other: Histogram) -> None:
        """Add everything that `other` counted."""
        if other.count and other.min_ns is not None and other.max_ns is not None:
            self._note(other.count, other.sum_ns, other.min_ns, other.max_ns)
            self._counts += other._counts
            if other._negative is not None:
                self._mirrored()[:] += other._negative

    def dump(self) -> HistogramDump:
        """All of it, as plain values that `load` understands."""
        negative = [] if self._negative is None else _hits(self._negative)
        return self.count, self.sum_ns, self.min_ns, self.max_ns, _hits(self._counts), negative

    @classmethod
    def load(cls, dump: HistogramDump) -> Histogram:
        """What was dumped. Raises `IndexError` for a bucket that does not exist."""
        histogram = cls()
        histogram.count, histogram.sum_ns, histogram.min_ns, histogram.max_ns, counts, negative = dump
        for index, count in counts:
            histogram._counts[index] = count
        for index, count in negative:
            histogram._mirrored()[index] = count
        return histogram

    def clear(self) -> None:
        """Forget everything."""
        self._counts[:] = 0
        self._negative = None
        self.count = self.sum_ns = 0
        self.min_ns = self.max_ns = None

    def buckets(self) -> Iterator[tuple[int, int, int]]:
        """(low, high, count) of each bucket that was hit, ascending: ``low <= value < high``."""
        if self._negative is not None:
            for index in np.flatnonzero(self._negative)[::-1].tolist():
                yield 1 - int(BUCKET_LOWS_NS[index + 1]), 1 - int(BUCKET_LOWS_NS[index]), int(self._negative[index])
        for index in np.flatnonzero(self._counts).tolist():
            yield int(BUCKET_LOWS_NS[index]), int(BUCKET_LOWS_NS[index + 1]), int(self._counts[index])

    def quantile_ns(self, q: float, *, min_beyond: int = MIN_BEYOND) -> int | None:
        """The value below which the part `q` lies, at most 1.6 % too high; None with too few samples to say."""
        if not self.count or (q < 1 and self.count * (1 - q) < min_beyond - 1e-9):
            return None
        rank = max(1, math.ceil(q * self.count - 1e-9))
        seen = 0
        for _low, high, count in self.buckets():
            seen += count
            if seen >= rank:
                return high - 1 if self.max_ns is None else min(high - 1, self.max_ns)
        return self.max_ns

    @property
    def mean_ns(self) -> float | None:
        """The exact mean."""
        return self.sum_ns / self.count if self.count else None

    def count_up_to(self, value_ns: int) -> int:
        """How many values lie in buckets that end at or below `value_ns`: for cumulative buckets of Prometheus."""
        last = int(np.searchsorted(BUCKET_LOWS_NS, value_ns, side="right")) - 1
        negative = 0 if self._negative is None else int(self._negative.sum())
        return negative + int(self._counts[: max(last, 0)].sum())

    def _mirrored(self) -> Ints:
        if self._negative is None:
            self._negative = np.zeros(BUCKETS, dtype=np.int64)
        return self._negative

    def _note(self, count: int, sum_ns: int, low_ns: int, high_ns: int) -> None:
        self.count += count
        self.sum_ns += sum_ns
        self.min_ns = low_ns if self.min_ns is None else min(self.min_ns, low_ns)
        self.max_ns = high_ns if self.max_ns is None else max(self.max_ns, high_ns)


def _hits(counts: Ints) -> list[tuple[int, int]]:
    hit = np.flatnonzero(counts)
    return list(zip(hit.tolist(), counts[hit].tolist(), strict=True))
