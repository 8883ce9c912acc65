"""One published message, from when its account leaves the columns of `broadcasts`: a row of ``broadcasts.csv``."""

from __future__ import annotations

import msgspec


class Broadcast(msgspec.Struct, gc=False):
    """One published message and what became of it. Latencies count from the intended time; times are of the clock."""

    publisher: int
    number: int
    room: int
    phase: int
    size_bytes: int
    expected: int
    expected_apart: int
    """Those of `expected` whose latencies are not in the figures here."""
    delivered_apart: int
    intended_ns: int
    sent_ns: int
    acked_ns: int | None
    room_seq: int | None
    unacked: bool = False
    """Its acknowledgement is still waited for."""
    refused: bool = False
    """The server refused it: it is expected by exactly those who get it all the same."""
    delivered: int = 0
    duplicated: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    sum_ns: int = 0
    p50_ns: int | None = None

    @property
    def missing(self) -> int:
        """Members it has not reached."""
        return max(0, self.expected - self.delivered)

    @property
    def missing_here(self) -> int:
        """Those of them whose latencies count here."""
        return max(0, self.expected - self.expected_apart - self.delivered + self.delivered_apart)

    def late(self, latency_ns: int) -> None:
        """One more delivery, after the window."""
        self.delivered += 1
        self.sum_ns += latency_ns
        self.first_ns = latency_ns if self.first_ns is None else min(self.first_ns, latency_ns)
        self.last_ns = latency_ns if self.last_ns is None else max(self.last_ns, latency_ns)
