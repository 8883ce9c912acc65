"""When messages reached their recipients: arrays of times that messages which came together share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scalechat.load.histogram import Ints

MAX_ROWS: Final = 1 << 20
"""Messages that `by_message` sorts at its best."""
_SPREAD_BITS: Final = 42
_MAX_SPREAD: Final = (1 << _SPREAD_BITS) - 1  # 73 minutes, in ns: 21 bits are left for rows, see `by_message`.


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """When a message, or each of several messages, reached some of its recipients. Equal to itself alone."""

    times: Ints
    """Ascending."""
    first_ns: int
    last_ns: int
    sum_ns: int

    @classmethod
    def of(cls, times: Ints) -> Arrivals:
        """Of ascending times."""
        return cls(times, int(times[0]), int(times[-1]), _sum_ns(times))


def by_message(rows: Ints, arrived: Ints) -> Iterator[tuple[int, Arrivals]]:
    """Deliveries in any order, one of a message at a time each → each message's row, ascending, and its arrivals."""
    # One integer sorts by message and then by time; sorting int64 is vectorised, sorting by two keys is not.
    low, earliest = int(rows.min()), int(arrived.min())
    if (int(rows.max()) - low) < MAX_ROWS and int(arrived.max()) - earliest <= _MAX_SPREAD:
        keys = ((rows - low) << _SPREAD_BITS) | (arrived - earliest)
        keys.sort()
        rows, arrived = (keys >> _SPREAD_BITS) + low, (keys & _MAX_SPREAD) + earliest
    else:
        order = np.lexsort((arrived, rows))
        rows, arrived = rows[order], arrived[order]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(rows)) + 1))
    ends = np.concatenate((starts[1:], [len(rows)]))
    sums = np.add.reduceat(arrived - earliest, starts)
    columns = (rows[starts], starts, ends, arrived[starts], arrived[ends - 1], sums)
    for row, start, end, first_ns, last_ns, total in zip(*(column.tolist() for column in columns), strict=True):
        yield row, Arrivals(arrived[start:end], first_ns, last_ns, total + (end - start) * earliest)


class Latencies:
    """First, last, sum and median of messages' latencies, one message after the other."""

    __slots__ = ("_parts", "_whole")

    def __init__(self) -> None:
        self._parts: list[Arrivals] = []
        self._whole = (0, 0, 0, 0, 0)

    def of(
        self, parts: Sequence[Arrivals], intended_ns: int
    ) -> tuple[int, int, int, int] | tuple[None, None, int, None]:
        """Of one message by its arrivals; none is below 0."""
        if not parts:
            return None, None, 0, None
        # Neighbours mostly came together, with the very same arrivals.
        if parts != self._parts:
            self._parts, self._whole = [*parts], _whole(parts)
        first, last, total, count, median = self._whole
        if first < intended_ns:  # Only clocks of two machines make a message come before it was meant to be sent.
            first, last, median = (max(at_ns, intended_ns) for at_ns in (first, last, median))
            total = sum(_sum_ns(np.maximum(part.times, intended_ns)) for part in parts)
        return first - intended_ns, last - intended_ns, total - count * intended_ns, median - intended_ns


def _whole(parts: Sequence[Arrivals]) -> tuple[int, int, int, int, int]:
    """First, last, sum, count and median of all the times."""
    return (
        min(part.first_ns for part in parts),
        max(part.last_ns for part in parts),
        sum(part.sum_ns for part in parts),
        sum(len(part.times) for part in parts),
        _median_ns(parts),
    )


def _median_ns(parts: Sequence[Arrivals]) -> int:
    if len(parts) == 1:
        times = parts[0].times
        return int(times[(len(times) - 1) // 2])
    times = np.concatenate([part.times for part in parts])
    middle = (len(times) - 1) // 2
    return int(np.partition(times, middle)[middle])


def _sum_ns(times: Ints) -> int:
    """The sum, which of ten thousand times of a machine that is up for eleven days exceeds 64 bits."""
    first = int(times[0])
    return int((times - first).sum()) + len(times) * first
