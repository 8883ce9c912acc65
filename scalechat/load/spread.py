"""The latencies of messages that several members received together, counted without being computed.

Several messages that many members received at once have a latency for each pair of them: the difference of one of the
times of arrival, which ascend, and one of the times of sending. So those in one bucket of a histogram belong, for each
message, to neighbours among the arrivals: it is enough to find where the arrivals cross the edges of buckets, some
dozens a message, instead of looking at a thousand latencies. What is counted is the same, to the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from scalechat.load.histogram import BUCKET_LOWS_NS, MAX_NS, Ints, bucket_indices

_EDGE_COST: Final = 6
"""To find an edge costs as much as to count so many latencies one by one."""
_LEAST_MESSAGES: Final = 8
"""With fewer, the beginning costs more than is saved."""


@dataclass(frozen=True, slots=True)
class Spread:
    """For each message and each bucket its latencies are in: the members from `begin` to before `end`, by arrival."""

    messages: int
    buckets: Ints
    begin: Ints
    end: Ints
    sum_ns: int
    min_ns: int
    max_ns: int

    @property
    def counts(self) -> Ints:
        """How many latencies of the message are in the bucket."""
        return self.end - self.begin


def spread(starts: Ints, arrived: Ints) -> Spread | None:
    """The latencies from each of `starts` to each of `arrived`, which ascend; none may be empty.

    None when it is cheaper to count them one by one, or when some are negative or beyond the last bucket.
    """
    if len(starts) < _LEAST_MESSAGES:
        return None
    first, last = int(arrived[0]), int(arrived[-1])
    shortest, longest = first - int(starts.max()), last - int(starts.min())
    if shortest < 0 or longest > MAX_NS:
        return None
    lows = bucket_indices(first - starts)
    widths = bucket_indices(last - starts)
    widths -= lows
    widths += 1
    ends = np.cumsum(widths)
    total = int(ends[-1])
    if total * _EDGE_COST > len(starts) * len(arrived):
        return None
    buckets = np.arange(total)
    buckets += np.repeat(lows - ends + widths, widths)
    begin = np.searchsorted(arrived, BUCKET_LOWS_NS[buckets] + np.repeat(starts, widths))
    end = np.empty_like(begin)
    end[:-1] = begin[1:]
    end[ends - 1] = len(arrived)
    offset = arrived - first
    return Spread(
        messages=len(starts),
        buckets=buckets,
        begin=begin,
        end=end,
        sum_ns=len(starts) * (int(offset.sum()) + len(arrived) * first) - len(arrived) * sum(starts.tolist()),
        min_ns=shortest,
        max_ns=longest,
    )
