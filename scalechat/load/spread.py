"""The latencies of messages that several members received together, counted without being computed.

Messages that many members received at once have a latency for each pair of them: the difference of one of the times of
arrival, which ascend, and one of the times of sending. So those in one bucket of a histogram belong, for each message,
to neighbours among the arrivals: it is enough to find where the arrivals cross the edges of buckets, some dozens a
message, instead of looking at a thousand latencies. What is counted is the same, to the last one. Many such receptions
are looked at with the same few calls of numpy.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from scalechat.load.histogram import BUCKET_LOWS_NS, MAX_NS, Ints, bucket_indices

_EDGE_COST: Final = 2
"""To find an edge costs as much as to count so many latencies one by one: 12 ns each way, beyond the second-level cache
20 ns a latency."""
_LIFT_NS: Final = 1 << 46
"""Between the times of one reception and of the next, when all are looked up in one array: beyond any latency."""


class Reception(Protocol):
    """Who received the same messages together."""

    @property
    def times(self) -> array[int]:
        """When, ascending; one at least."""
        ...

    @property
    def clients(self) -> array[int]:
        """Who, in the same order, each once."""
        ...


@dataclass(frozen=True)
class Members:
    """The members of several receptions, one reception's after the other's, by time."""

    times: Ints
    clients: Ints
    begins: Ints
    """Where each reception's begin, and where the last one's end."""

    @classmethod
    def of(cls, receptions: Sequence[Reception]) -> Members:
        """All members of these."""
        begins = np.cumsum([0, *(len(reception.times) for reception in receptions)])
        times, clients = array("q"), array("q")
        for reception in receptions:
            times += reception.times
            clients += reception.clients
        return cls(np.array(times, dtype=np.int64), np.array(clients, dtype=np.int64), begins)

    @cached_property
    def sizes(self) -> Ints:
        """How many members each reception has."""
        return np.diff(self.begins)

    @cached_property
    def offset_sums(self) -> Ints:
        """Of each reception's times, each less the very first one."""
        return np.add.reduceat(self.times - self.times[0], self.begins[:-1])

    @cached_property
    def sums(self) -> list[int]:
        """Of each reception's times. Of ten thousand on a machine that is up for eleven days it exceeds 64 bits."""
        offset, sums = int(self.times[0]), self.offset_sums.tolist()
        return [total + size * offset for total, size in zip(sums, self.sizes.tolist(), strict=True)]

    @cached_property
    def lifted(self) -> Ints:
        """The times, ascending throughout: `_LIFT_NS` more for each reception before."""
        return self.times + np.repeat(np.arange(len(self.sizes)) * _LIFT_NS, self.sizes)

    def places(self, receptions: Ints) -> Ints:
        """Where the members of these receptions are, one reception's after the other's; they may repeat."""
        return runs(self.begins[receptions], self.sizes[receptions])


@dataclass(frozen=True, slots=True)
class Spread:
    """For each message and each bucket its latencies are in: the places from `begin` to before `end` of `Members`."""

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


def runs(begins: Ints, lengths: Ints) -> Ints:
    """The integers from each of `begins` on, so many, one run after the other."""
    ends = np.cumsum(lengths)
    found = np.arange(ends[-1] if len(ends) else 0)
    found += np.repeat(begins - ends + lengths, lengths)
    return found


def spread(starts: Ints, receptions: Ints, members: Members) -> Spread | None:
    """The latencies of messages from `starts`, each to all members of its reception; there is one message at least.

    None when it is cheaper to count them one by one, or when some are negative or beyond the last bucket.
    """
    begins, ends = members.begins[receptions], members.begins[receptions + 1]
    first, last = members.times[begins] - starts, members.times[ends - 1] - starts
    if int(first.min()) < 0 or int(last.max()) > MAX_NS or np.ptp(members.times) >= _LIFT_NS - MAX_NS:
        return None
    lows = bucket_indices(first)
    widths = bucket_indices(last) - lows + 1
    if int(widths.sum()) * _EDGE_COST > int((ends - begins).sum()):
        return None
    buckets = runs(lows, widths)
    edges = BUCKET_LOWS_NS[buckets] + np.repeat(starts + receptions * _LIFT_NS, widths)
    begin = np.searchsorted(members.lifted, edges)
    end = np.empty_like(begin)
    end[:-1] = begin[1:]
    end[np.cumsum(widths) - 1] = ends
    return Spread(
        buckets=buckets,
        begin=begin,
        end=end,
        sum_ns=int((members.offset_sums[receptions] - (ends - begins) * (starts - members.times[0])).sum()),
        min_ns=int(first.min()),
        max_ns=int(last.max()),
    )
