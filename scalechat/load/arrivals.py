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


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When a message, or each of several messages, reached some of its recipients."""

    times: Ints
    """Ascending."""
    sum_ns: int

    @classmethod
    def of(cls, times: Ints) -> Arrivals:
        """Of ascending times."""
        return cls(times, _sum_ns(times))


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
    for row, start, end, total in zip(
        rows[starts].tolist(), starts.tolist(), ends.tolist(), sums.tolist(), strict=True
    ):
        yield row, Arrivals(arrived[start:end], total + (end - start) * earliest)


def latencies(
    arrivals: Sequence[Arrivals], intended_ns: int
) -> tuple[int, int, int, int] | tuple[None, None, int, None]:
    """First, last, sum and median of a message's latencies; none is below 0."""
    if not arrivals:
        return None, None, 0, None
    times = arrivals[0].times if len(arrivals) == 1 else np.sort(np.concatenate([part.times for part in arrivals]))
    if times[0] < intended_ns:  # Only clocks of two machines make a message come before it was meant to be sent.
        times = np.maximum(times, intended_ns)
        total = _sum_ns(times)
    else:
        total = sum(part.sum_ns for part in arrivals)
    first, last, median = int(times[0]), int(times[-1]), int(times[(len(times) - 1) // 2])
    return first - intended_ns, last - intended_ns, total - len(times) * intended_ns, median - intended_ns


def _sum_ns(times: Ints) -> int:
    """The sum, which of ten thousand times of a machine that is up for eleven days exceeds 64 bits."""
    first = int(times[0])
    return int((times - first).sum()) + len(times) * first
