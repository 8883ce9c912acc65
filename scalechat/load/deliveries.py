"""Deliveries, collected on the hot path and turned into latencies a batch at a time.

Theory of operation. On the hot path nothing is done for each delivery: members that received the same messages at once
share a `Reception`, to which each adds its number and the time; only what no other member received like that goes
through `add`. `flush_some`, several times a second, turns them into bucket counts with numpy, those of receptions
mostly without computing each latency (`spread`): some ns a delivery, and a bounded number of them at a time, because a
pause here would be measured as the server's.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scalechat.load.broadcasts import Broadcasts
from scalechat.load.client_latencies import ClientLatencies
from scalechat.load.counters import Counters
from scalechat.load.histogram import Histogram, Ints
from scalechat.load.plan import Plan
from scalechat.load.spread import Members, spread
from scalechat.load.windows import Windows

_DELIVERIES_PER_TURN: Final = 32 * 1024
"""Half a ms of numpy, and what it works on stays in the second-level cache."""
_RECEPTION_COST: Final = 128
"""What comes with each of them, in deliveries."""


@dataclass(slots=True)
class _Chunks:
    """Deliveries not yet looked at: `rows` is as long as `lengths` adds up to."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    clients: array[int] = field(default_factory=lambda: array("q"))


class Reception:
    """Messages that members of a room received together, each member at its own time; times never decrease."""

    __slots__ = ("clients", "closed", "home", "rows", "times")

    def __init__(self, rows: array[int], home: dict[tuple[int, int], Reception]) -> None:
        self.rows = rows
        self.home = home
        self.times = array("q")
        self.clients = array("q")
        self.closed = False
        """It is being counted: nothing may be added any more."""


class Deliveries:
    """See the module's docstring. Rows are those of `broadcasts`, times of the run's clock, in ns."""

    def __init__(self, plan: Plan, broadcasts: Broadcasts, windows: Windows, counters: Counters) -> None:
        self._broadcasts = broadcasts
        self._windows = windows
        self._counters = counters
        self._metrics, self._metric_of = plan.crowd.metrics, plan.crowd.metric_indices()
        self._chunks = _Chunks()
        self._full: deque[_Chunks] = deque()
        """Chunks that were as many as are looked at in one turn."""
        self._receptions: deque[Reception] = deque()
        self.by_client = ClientLatencies(plan.clients)

    def add(self, client: int, rows: array[int], now_ns: int) -> None:
        """The client got the messages of these rows for the first time, together, now."""
        chunks = self._chunks
        if len(chunks.rows) >= _DELIVERIES_PER_TURN:
            self._full.append(chunks)
            chunks = self._chunks = _Chunks()
        chunks.rows.extend(rows)
        chunks.lengths.append(len(rows))
        chunks.times.append(now_ns)
        chunks.clients.append(client)
        self._counters.delivered += len(rows)

    def reception(self, rows: array[int], home: dict[tuple[int, int], Reception]) -> Reception:
        """A new one of the messages of these rows. `home`, where its maker finds it, is emptied when it is closed.

        Whoever adds to it counts `Counters.delivered` as well.
        """
        reception = Reception(rows, home)
        self._receptions.append(reception)
        return reception

    def flush(self) -> None:
        """Turn all that was collected into counts."""
        while self.flush_some():
            pass

    def flush_some(self) -> bool:
        """Turn some of it into counts, which takes below 1 ms; True when more is left."""
        if self._full:
            self._flush_chunks(self._full.popleft())
        elif self._receptions:
            self._flush_receptions()
        else:
            chunks, self._chunks = self._chunks, _Chunks()
            self._flush_chunks(chunks)
        return bool(self._full or self._receptions or self._chunks.rows)

    def _flush_receptions(self) -> None:
        receptions, done = [], 0
        while self._receptions and done < _DELIVERIES_PER_TURN:
            reception = self._receptions.popleft()
            reception.home.clear()
            reception.closed = True
            if reception.times:
                receptions.append(reception)
                done += len(reception.times) * len(reception.rows) + _RECEPTION_COST
        if not receptions:
            return
        members = Members.of(receptions)
        rows = np.concatenate([np.array(reception.rows, dtype=np.int64) for reception in receptions])
        of = np.repeat(np.arange(len(receptions)), [len(reception.rows) for reception in receptions])
        known = self._broadcasts.knows(rows)
        rows, of = rows[known], of[known]
        if self._metric_of is not None:
            places = members.places(of)
            rows = np.repeat(rows, members.sizes[of])
            self._count(rows, members.times[places], members.clients[places])
            return
        self._broadcasts.settle_all(rows, of, members)
        intended, sent, phases = self._broadcasts.times_of(rows)
        for phase in set(phases.tolist()):
            chosen = phases == phase
            self._count_together(phase, intended[chosen], sent[chosen], of[chosen], members)

    def _count_together(self, phase: int, intended: Ints, sent: Ints, of: Ints, members: Members) -> None:
        """Each of the messages reached all members of its reception."""
        counted = Histogram()
        found = spread(intended, of, members)
        if found is not None:
            counted.add_spread(found)
            self.by_client.add_spread(members, found)
        else:
            places = members.places(of)
            buckets = counted.add(members.times[places] - np.repeat(intended, members.sizes[of]))
            self.by_client.add_buckets(members.clients[places], buckets)
        self._windows.of(phase, "delivery").merge(counted)
        from_send = self._windows.of(phase, "delivery_from_send")
        if np.array_equal(sent, intended):  # as in a closed loop
            from_send.merge(counted)
        elif (found := spread(sent, of, members)) is not None:
            from_send.add_spread(found)
        else:
            from_send.add(members.times[members.places(of)] - np.repeat(sent, members.sizes[of]))

    def _flush_chunks(self, chunks: _Chunks) -> None:
        if not chunks.rows:
            return
        rows = np.array(chunks.rows, dtype=np.int64)
        lengths = np.array(chunks.lengths, dtype=np.int64)
        arrived = np.repeat(np.array(chunks.times, dtype=np.int64), lengths)
        clients = np.repeat(np.array(chunks.clients, dtype=np.int64), lengths)
        known = self._broadcasts.knows(rows)
        if not known.all():
            # Only a server that broadcasts what it refused gets here: the account of that message was closed.
            rows, arrived, clients = rows[known], arrived[known], clients[known]
        self._count(rows, arrived, clients)

    def _count(self, rows: Ints, arrived: Ints, clients: Ints) -> None:
        """A delivery each."""
        if self._metric_of is not None:
            metrics = self._metric_of[clients]
            for index in np.unique(metrics[metrics > 0]).tolist():
                of_kind = metrics == index
                self._count_apart(index, rows[of_kind], arrived[of_kind], clients[of_kind])
            rows, arrived, clients = rows[metrics == 0], arrived[metrics == 0], clients[metrics == 0]
        intended, sent, phases = self._broadcasts.times_of(rows)
        latencies = arrived - intended
        for phase in np.unique(phases).tolist():
            chosen = phases == phase
            buckets = self._windows.of(phase, "delivery").add(latencies[chosen])
            self.by_client.add_buckets(clients[chosen], buckets)
            self._windows.of(phase, "delivery_from_send").add((arrived - sent)[chosen])
        self._broadcasts.settle(rows, arrived)

    def _count_apart(self, index: int, rows: Ints, arrived: Ints, clients: Ints) -> None:
        """What clients of a kind got whose deliveries are in the `index`-th metric."""
        intended, _sent, phases = self._broadcasts.times_of(rows)
        for phase in np.unique(phases).tolist():
            chosen = phases == phase
            buckets = self._windows.of(phase, self._metrics[index]).add((arrived - intended)[chosen])
            self.by_client.add_buckets(clients[chosen], buckets)
        self._broadcasts.count_apart(rows)
