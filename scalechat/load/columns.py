"""The messages under way as plain arrays, one for each thing that is known of a message: 112 bytes each, no objects."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np

from scalechat.load.arrivals import Arrivals, Latencies
from scalechat.load.broadcast import Broadcast
from scalechat.load.histogram import Ints

REFUSED: Final = -1
"""Stands in the column of ack times."""


class Columns:
    """All as long as each other; whoever appends to one appends to all. For what is what see `broadcast.Broadcast`."""

    __slots__ = (
        "_all",
        "_latencies",
        "acked",
        "delivered",
        "delivered_apart",
        "duplicated",
        "expected",
        "expected_apart",
        "intended",
        "number",
        "phase",
        "publisher",
        "room",
        "room_seq",
        "sent",
        "size",
    )

    def __init__(self) -> None:
        self.publisher, self.number, self.room, self.phase = array("q"), array("q"), array("q"), array("q")
        self.size, self.expected, self.delivered, self.duplicated = array("q"), array("q"), array("q"), array("q")
        self.intended, self.sent, self.room_seq = array("q"), array("q"), array("q")
        self.acked = array("q")
        """0 while the acknowledgement is waited for, negative where there will be none."""
        self.expected_apart, self.delivered_apart = array("q"), array("q")
        self._latencies = Latencies()
        self._all = (
            *(self.publisher, self.number, self.room, self.phase),
            *(self.size, self.expected, self.delivered, self.duplicated),
            *(self.intended, self.sent, self.room_seq, self.acked),
            *(self.expected_apart, self.delivered_apart),
        )

    def __len__(self) -> int:
        return len(self.intended)

    def take(self, at: int, arrivals: Sequence[Arrivals], *, acknowledged: bool) -> Broadcast:
        """The message at this place; `acknowledged`: the server acknowledges."""
        intended_ns, acked_ns = self.intended[at], self.acked[at]
        first_ns, last_ns, sum_ns, p50_ns = self._latencies.of(arrivals, intended_ns)
        return Broadcast(
            publisher=self.publisher[at],
            number=self.number[at],
            room=self.room[at],
            phase=self.phase[at],
            size_bytes=self.size[at],
            expected=self.expected[at],
            expected_apart=self.expected_apart[at],
            delivered_apart=self.delivered_apart[at],
            intended_ns=intended_ns,
            sent_ns=self.sent[at],
            acked_ns=acked_ns if acked_ns > 0 else None,
            room_seq=self.room_seq[at] or None,
            unacked=acknowledged and not acked_ns,
            refused=acked_ns == REFUSED,
            delivered=self.delivered[at],
            duplicated=self.duplicated[at],
            first_ns=first_ns,
            last_ns=last_ns,
            sum_ns=sum_ns,
            p50_ns=p50_ns,
        )

    def drop(self, count: int) -> None:
        """Remove the first `count` messages."""
        for column in self._all:
            del column[:count]


def view(column: array[int]) -> Ints:
    """The column as numpy sees it: no copy, and the column cannot grow while the view lives."""
    return np.frombuffer(column, dtype=np.int64)
