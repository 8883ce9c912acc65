"""Every published message from its sending until its last delivery: the rows of ``broadcasts.csv``.

Messages under way are columns of plain arrays, row after row. Of deliveries the times of arrival are kept, in arrays
that messages which came together share, and looked at once, when the message leaves: so it costs the same whether ten
or ten thousand members receive it. A message that is
complete leaves the table after a moment's grace for duplicates. One that is not complete within `WINDOW_NS` becomes a
*straggler*: kept, with its sums, until it is complete or the run ends, so that memory grows with what is lost, not
with the length of the run.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scalechat.load.histogram import Ints

WINDOW_NS: Final = 10_000_000_000
"""Deliveries later than this still count in full; only the median of their message no longer moves."""
GRACE_NS: Final = 1_000_000_000
"""A complete message stays so long after it was intended, so that its duplicates and its ack find it."""
_SPREAD_BITS: Final = 42
_MAX_SPREAD: Final = (1 << _SPREAD_BITS) - 1  # 73 minutes, in ns: 21 bits are left for rows, see `settle`.
_MAX_ROWS: Final = 1 << 20
_REJECTED: Final = -1  # stands in the column of ack times
_NOT_OURS: Final = -2  # as well: the ack goes to another process


@dataclass(slots=True)
class Broadcast:
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


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """When a message, or each of several messages, reached some of its recipients."""

    times: Ints
    """Ascending."""
    sum_ns: int


class Broadcasts:
    """The messages under way in this process. A row number is valid for ever and never used twice."""

    __slots__ = (
        "_acked",
        "_acknowledged",
        "_arrivals",
        "_base",
        "_columns",
        "_completed",
        "_delivered",
        "_delivered_apart",
        "_duplicated",
        "_expected",
        "_expected_apart",
        "_intended",
        "_number",
        "_phase",
        "_publisher",
        "_room",
        "_room_seq",
        "_rows",
        "_sent",
        "_size",
        "_stragglers",
    )

    def __init__(self, *, acknowledged: bool) -> None:
        """`acknowledged`: the server acknowledges, and a message without its ack is not complete."""
        self._acknowledged = acknowledged
        self._base = 0
        """Row number of the first entry of the columns."""
        self._publisher, self._number, self._room, self._phase = array("q"), array("q"), array("q"), array("q")
        self._size, self._expected, self._delivered, self._duplicated = array("q"), array("q"), array("q"), array("q")
        self._intended, self._sent, self._acked, self._room_seq = array("q"), array("q"), array("q"), array("q")
        self._expected_apart, self._delivered_apart = array("q"), array("q")
        self._columns = (
            *(self._expected_apart, self._delivered_apart),
            *(self._publisher, self._number, self._room, self._phase),
            *(self._size, self._expected, self._delivered, self._duplicated),
            *(self._intended, self._sent, self._acked, self._room_seq),
        )
        self._rows: dict[tuple[int, int], int] = {}
        self._stragglers: dict[int, Broadcast] = {}
        self._completed: list[int] = []
        """Rows of stragglers that have become complete."""
        self._arrivals: dict[int, list[_Arrivals]] = {}
        """Row → when the message reached somebody, for the messages in the columns."""

    def __len__(self) -> int:
        return len(self._intended) + len(self._stragglers)

    def publish(
        self,
        publisher: int,
        number: int,
        *,
        room: int,
        phase: int,
        size_bytes: int,
        expected: int,
        expected_apart: int = 0,
        intended_ns: int,
        sent_ns: int,
        ours: bool = True,
    ) -> None:
        """A message is on its way; `ours` was published by this process, which gets its ack."""
        self._rows[publisher, number] = self._base + len(self._intended)
        self._publisher.append(publisher)
        self._number.append(number)
        self._room.append(room)
        self._phase.append(phase)
        self._size.append(size_bytes)
        self._expected.append(expected)
        self._expected_apart.append(expected_apart)
        self._delivered_apart.append(0)
        self._delivered.append(0)
        self._duplicated.append(0)
        self._intended.append(intended_ns)
        self._sent.append(sent_ns)
        self._acked.append(0 if ours else _NOT_OURS)
        self._room_seq.append(0)

    def row_of(self, publisher: int, number: int) -> int | None:
        """The row of a message; None when it is complete and gone, or never was."""
        return self._rows.get((publisher, number))

    def acknowledge(self, publisher: int, number: int, *, at_ns: int, room_seq: int | None) -> tuple[int, int] | None:
        """The server has taken the message: (when it was sent, its phase). None for one that waits for no ack."""
        row = self._rows.get((publisher, number))
        if row is None:
            return None
        if row < self._base:
            message = self._stragglers[row]
            if not message.unacked:
                return None
            message.acked_ns, message.room_seq, message.unacked = at_ns, room_seq, False
            return message.sent_ns, message.phase
        at = row - self._base
        if self._acked[at]:
            return None
        self._acked[at] = at_ns
        self._room_seq[at] = room_seq or 0
        return self._sent[at], self._phase[at]

    def reject(self, publisher: int, number: int) -> int | None:
        """The server refused the message: nobody will get it. Returns how many deliveries are expected no more; None
        for a message that waits for no answer."""
        row = self._rows.get((publisher, number))
        if row is None:
            return None
        if row < self._base:
            message = self._stragglers[row]
            if not message.unacked:
                return None
            expected, message.expected, message.unacked = message.expected, 0, False
            self._completed.append(row)
            return expected
        at = row - self._base
        if self._acked[at]:
            return None
        expected, self._expected[at] = self._expected[at], 0
        self._acked[at] = _REJECTED
        return expected

    def excuse(self, room: int, beyond: Sequence[int], *, rooms: int, apart: bool) -> tuple[int, int]:
        """A member will not get the room's messages above `beyond` (a number for each slot), and needs not.

        Slots are publishers divided by `rooms`. Returns how many messages of this process and of others were excused.
        """
        ours = theirs = 0
        for row, message in self._stragglers.items():
            if message.room == room and message.expected and message.number > beyond[message.publisher // rooms]:
                message.expected -= 1
                message.expected_apart -= apart
                ours += 1
                if not message.missing:
                    self._completed.append(row)
        if self._intended:
            limits = np.array(beyond or [0], dtype=np.int64)
            chosen = (_view(self._room) == room) & (_view(self._expected) > 0)
            chosen[chosen] = _view(self._number)[chosen] > limits[_view(self._publisher)[chosen] // rooms]
            _view(self._expected)[chosen] -= 1
            _view(self._expected_apart)[chosen] -= apart
            theirs = int((_view(self._acked)[chosen] == _NOT_OURS).sum())
            ours += int(chosen.sum()) - theirs
        return ours, theirs

    def count_apart(self, rows: Ints) -> None:
        """First deliveries to members whose latencies are not in the figures here."""
        fresh = rows >= self._base
        for row in rows[~fresh].tolist():
            message = self._stragglers[row]
            message.delivered += 1
            message.delivered_apart += 1
            if not message.missing:
                self._completed.append(row)
        at = rows[fresh] - self._base
        if len(at):
            np.add.at(_view(self._delivered), at, 1)
            np.add.at(_view(self._delivered_apart), at, 1)

    def unacknowledged(self) -> list[tuple[int, int]]:
        """(publisher, number) of each message of ours that waits for its acknowledgement."""
        waiting = [at for at, acked in enumerate(self._acked) if not acked]
        late = [(message.publisher, message.number) for message in self._stragglers.values() if message.unacked]
        return late + [(self._publisher[at], self._number[at]) for at in waiting]

    def duplicate(self, publisher: int, number: int) -> None:
        """Somebody got the message again. Duplicates of messages long complete are counted in the ledger alone."""
        row = self._rows.get((publisher, number))
        if row is None:
            return
        if row >= self._base:
            self._duplicated[row - self._base] += 1
        else:
            self._stragglers[row].duplicated += 1

    def knows(self, rows: Ints) -> npt.NDArray[np.bool_]:
        """Which of the rows are still under account."""
        known = rows >= self._base
        for at in np.flatnonzero(~known).tolist():
            known[at] = int(rows[at]) in self._stragglers
        return known

    def times_of(self, rows: Ints) -> tuple[Ints, Ints, Ints]:
        """(intended, sent, phase) of each row."""
        if len(rows) and int(rows.min()) < self._base:
            intended, sent, phase = np.array([self._straggler_or_column(row) for row in rows.tolist()], np.int64).T
            return intended, sent, phase
        at = rows - self._base
        return _view(self._intended)[at], _view(self._sent)[at], _view(self._phase)[at]

    def settle_all(self, rows: Ints, arrived: Ints) -> None:
        """First deliveries: each of the messages, all different, at each of these times, ascending."""
        if not len(rows) or not len(arrived):
            return
        arrivals = _Arrivals(arrived, _sum_ns(arrived))
        fresh = rows >= self._base
        if not fresh.all():
            for row in rows[~fresh].tolist():
                self._late(row, arrived)
            rows = rows[fresh]
        _view(self._delivered)[rows - self._base] += len(arrived)
        for row in rows.tolist():
            self._arrivals.setdefault(row, []).append(arrivals)

    def settle(self, rows: Ints, arrived: Ints) -> None:
        """First deliveries, one of a message at a time each, in any order."""
        if not len(rows):
            return
        # One integer sorts by message and then by time; sorting int64 is vectorised, sorting by two keys is not.
        low, earliest = int(rows.min()), int(arrived.min())
        if (int(rows.max()) - low) < _MAX_ROWS and int(arrived.max()) - earliest <= _MAX_SPREAD:
            keys = ((rows - low) << _SPREAD_BITS) | (arrived - earliest)
            keys.sort()
            rows, arrived = (keys >> _SPREAD_BITS) + low, (keys & _MAX_SPREAD) + earliest
        else:
            order = np.lexsort((arrived, rows))
            rows, arrived = rows[order], arrived[order]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(rows)) + 1))
        ends = np.concatenate((starts[1:], [len(rows)]))
        sums = np.add.reduceat(arrived - earliest, starts)
        messages = rows[starts]
        fresh = messages >= self._base
        _view(self._delivered)[messages[fresh] - self._base] += (ends - starts)[fresh]
        for row, start, end, total in zip(
            messages.tolist(), starts.tolist(), ends.tolist(), sums.tolist(), strict=True
        ):
            if row < self._base:
                self._late(row, arrived[start:end])
            else:
                self._arrivals.setdefault(row, []).append(
                    _Arrivals(arrived[start:end], total + (end - start) * earliest)
                )

    def _late(self, row: int, arrived: Ints) -> None:
        """Deliveries of a straggler."""
        message = self._stragglers[row]
        for at_ns in arrived.tolist():
            message.late(max(0, at_ns - message.intended_ns))
        if not message.missing:
            self._completed.append(row)

    def retire(self, now_ns: int, limit: int) -> list[Broadcast]:
        """Up to `limit` messages whose account is closed, oldest first; they leave. Fewer mean that these were all."""
        closed: list[Broadcast] = []
        gone = 0
        count = len(self._intended)
        crowded = count - _MAX_ROWS // 2  # the oldest of a crowd go early, see `settle`
        for at in range(count):
            age_ns = now_ns - self._intended[at]
            complete = self._delivered[at] >= self._expected[at] and (self._acked[at] or not self._acknowledged)
            if len(closed) >= limit or (age_ns < (GRACE_NS if complete else WINDOW_NS) and at >= crowded):
                break
            gone += 1
            message = self._take(at)
            if complete:
                del self._rows[message.publisher, message.number]
                closed.append(message)
            else:
                self._stragglers[self._base + at] = message
                if not message.missing:  # only its ack did not come
                    self._completed.append(self._base + at)
        self._drop(gone)
        while self._completed and len(closed) < limit:
            message = self._stragglers.pop(self._completed.pop())
            del self._rows[message.publisher, message.number]
            closed.append(message)
        return closed

    def finish(self) -> list[Broadcast]:
        """Everything that is left, at the end of the run."""
        left = [*self._stragglers.values(), *(self._take(at) for at in range(len(self._intended)))]
        self._drop(len(self._intended))
        self._stragglers.clear()
        self._completed.clear()
        self._rows.clear()
        return left

    def _straggler_or_column(self, row: int) -> tuple[int, int, int]:
        if row < self._base:
            message = self._stragglers[row]
            return message.intended_ns, message.sent_ns, message.phase
        at = row - self._base
        return self._intended[at], self._sent[at], self._phase[at]

    def _take(self, at: int) -> Broadcast:
        intended_ns = self._intended[at]
        first, last, total, median = _latencies(self._arrivals.get(self._base + at, ()), intended_ns)
        return Broadcast(
            publisher=self._publisher[at],
            number=self._number[at],
            room=self._room[at],
            phase=self._phase[at],
            size_bytes=self._size[at],
            expected=self._expected[at],
            expected_apart=self._expected_apart[at],
            delivered_apart=self._delivered_apart[at],
            intended_ns=intended_ns,
            sent_ns=self._sent[at],
            acked_ns=self._acked[at] if self._acked[at] > 0 else None,
            room_seq=self._room_seq[at] or None,
            unacked=self._acknowledged and not self._acked[at],
            delivered=self._delivered[at],
            duplicated=self._duplicated[at],
            first_ns=first,
            last_ns=last,
            sum_ns=total,
            p50_ns=median,
        )

    def _drop(self, count: int) -> None:
        """Remove the first `count` entries of the columns."""
        if not count:
            return
        for row in range(self._base, self._base + count):
            self._arrivals.pop(row, None)
        for column in self._columns:
            del column[:count]
        self._base += count


def _latencies(
    arrivals: Sequence[_Arrivals], intended_ns: int
) -> tuple[int, int, int, int] | tuple[None, None, int, None]:
    """First, last, sum and median of a message's latencies."""
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


def _view(column: array[int]) -> Ints:
    """The column as numpy sees it: no copy, and the column cannot grow while the view lives."""
    return np.frombuffer(column, dtype=np.int64)
