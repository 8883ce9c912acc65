"""Deliveries, collected on the hot path and turned into latencies a batch at a time.

Theory of operation. On the hot path nothing is done for each delivery: members that received the same messages at once
share a `Reception`, to which each adds its number and the time; only what no other member received like that goes
through `add`. `flush_some`, several times a second, turns them into latencies and bucket counts with numpy, for a
reception as the matrix of its messages and members, or without one (`spread`): 4 to 20 ns a delivery, and a bounded
number of them at a time, because a pause here would be measured as the server's.
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
from scalechat.load.histogram import Ints
from scalechat.load.plan import Plan
from scalechat.load.spread import spread
from scalechat.load.windows import Windows

_DELIVERIES_PER_TURN: Final = 32 * 1024
"""Half a ms of numpy, and what it works on stays in the second-level cache."""
_WORTH_A_MATRIX: Final = 512
"""A matrix costs some 50 µs to begin with; receptions with fewer deliveries are put together first."""
_RECEPTION_COST: Final = 128
"""What putting together one of them takes, in deliveries."""


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
            return True
        chunks = self._chunks
        done = 0
        while self._receptions and done < _DELIVERIES_PER_TURN:
            reception = self._receptions.popleft()
            reception.home.clear()
            reception.closed = True
            members, messages = len(reception.times), len(reception.rows)
            if members * messages >= _WORTH_A_MATRIX:
                self._flush_reception(reception)
                done += members * messages
            else:
                chunks.rows.extend(reception.rows * members)
                chunks.lengths.extend([messages] * members)
                chunks.times.extend(reception.times)
                chunks.clients.extend(reception.clients)
                done += _RECEPTION_COST
        if len(chunks.rows) >= _DELIVERIES_PER_TURN or not self._receptions:
            self._chunks = _Chunks()
            self._flush_chunks(chunks)
        return bool(self._receptions)

    def _flush_reception(self, reception: Reception) -> None:
        rows = np.array(reception.rows, dtype=np.int64)
        arrived = np.array(reception.times, dtype=np.int64)
        clients = np.array(reception.clients, dtype=np.int64)
        rows = rows[self._broadcasts.knows(rows)]
        if self._metric_of is not None:
            metrics = self._metric_of[clients]
            for index in np.unique(metrics[metrics > 0]).tolist():
                times = arrived[metrics == index]
                self._count_apart(
                    index,
                    np.repeat(rows, len(times)),
                    np.tile(times, len(rows)),
                    np.tile(clients[metrics == index], len(rows)),
                )
            arrived, clients = arrived[metrics == 0], clients[metrics == 0]
            if not len(arrived):
                return
        self._broadcasts.settle_all(rows, arrived)
        intended, sent, phases = self._broadcasts.times_of(rows)
        per_turn = max(1, _DELIVERIES_PER_TURN // len(arrived))
        for at in range(0, len(rows), per_turn):
            part = slice(at, at + per_turn)
            for phase in set(phases[part].tolist()):
                chosen = phases[part] == phase
                self._count_together(phase, clients, intended[part][chosen], sent[part][chosen], arrived)

    def _count_together(self, phase: int, clients: Ints, intended: Ints, sent: Ints, arrived: Ints) -> None:
        """Each of the messages reached all these clients, each at its time."""
        whole, from_send = self._windows.of(phase, "delivery"), self._windows.of(phase, "delivery_from_send")
        found = spread(intended, arrived)
        if found is not None:
            whole.add_spread(found)
            self.by_client.add_spread(clients, found)
        else:
            latencies = arrived - intended[:, None]
            self.by_client.add_buckets(np.tile(clients, len(latencies)), whole.add(latencies.ravel()))
        found = spread(sent, arrived)
        if found is not None:
            from_send.add_spread(found)
        else:
            from_send.add((arrived - sent[:, None]).ravel())

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
