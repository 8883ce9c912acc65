"""Every published message from its sending until its last delivery: the rows of ``broadcasts.csv``.

Messages under way are columns of plain arrays, row after row. Of deliveries the times of arrival are kept, in arrays
that messages which came together share, and looked at once, when the message leaves: so it costs the same whether ten
or ten thousand members receive it. A message that is complete leaves the table after a moment's grace for duplicates.
One that is not complete within `WINDOW_NS` becomes a *straggler*: kept, with its sums, until it is complete or the run
ends, so that memory grows with what is lost, not with the length of the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from scalechat.load.arrivals import MAX_ROWS, Arrivals, by_message
from scalechat.load.broadcast import Broadcast
from scalechat.load.columns import REFUSED, Columns, view
from scalechat.load.histogram import Ints
from scalechat.load.spread import Members
from scalechat.load.stragglers import Stragglers

WINDOW_NS: Final = 10_000_000_000
"""Deliveries later than this still count in full; only the median of their message no longer moves."""
GRACE_NS: Final = 1_000_000_000
"""A complete message stays so long after it was intended, so that its duplicates and its ack find it."""
_NOT_OURS: Final = -2  # stands in the column of ack times, as `REFUSED`: the ack goes to another process


class Broadcasts:
    """The messages under way in this process. A row number is valid for ever and never used twice."""

    def __init__(self, *, acknowledged: bool) -> None:
        """`acknowledged`: the server acknowledges, and a message without its ack is not complete."""
        self._acknowledged = acknowledged
        self._base = 0
        """Row number of the first entry of the columns."""
        self._columns = Columns()
        self._rows: dict[tuple[int, int], int] = {}
        self._stragglers = Stragglers()
        self.refused_delivered = 0
        """First deliveries of messages that the server refused."""
        self._newly_owed = 0
        self._arrivals: defaultdict[int, list[Arrivals]] = defaultdict(list)
        """Row → when the message reached somebody, for the messages in the columns."""

    def __len__(self) -> int:
        return len(self._columns) + len(self._stragglers)

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
        columns = self._columns
        self._rows[publisher, number] = self._base + len(columns)
        columns.publisher.append(publisher)
        columns.number.append(number)
        columns.room.append(room)
        columns.phase.append(phase)
        columns.size.append(size_bytes)
        columns.expected.append(expected)
        columns.expected_apart.append(expected_apart)
        columns.delivered.append(0)
        columns.delivered_apart.append(0)
        columns.duplicated.append(0)
        columns.intended.append(intended_ns)
        columns.sent.append(sent_ns)
        columns.acked.append(0 if ours else _NOT_OURS)
        columns.room_seq.append(0)

    def row_of(self, publisher: int, number: int) -> int | None:
        """The row of a message; None when it is complete and gone, or never was."""
        return self._rows.get((publisher, number))

    def acknowledge(self, publisher: int, number: int, *, at_ns: int, room_seq: int | None) -> tuple[int, int] | None:
        """The server has taken the message: (when it was sent, its phase). None for one that waits for no ack."""
        row = self._rows.get((publisher, number))
        if row is None:
            return None
        if row < self._base:
            return self._stragglers.acknowledge(row, at_ns=at_ns, room_seq=room_seq)
        columns, at = self._columns, row - self._base
        if columns.acked[at]:
            return None
        columns.acked[at] = at_ns
        columns.room_seq[at] = room_seq or 0
        return columns.sent[at], columns.phase[at]

    def reject(self, publisher: int, number: int) -> int | None:
        """The server refused the message: who got it by now, or gets it all the same, was to get it, and nobody else.

        Returns how many deliveries are expected no more; None for a message that waits for no answer."""
        row = self._rows.get((publisher, number))
        if row is None:
            return None
        if row < self._base:
            message = self._stragglers.reject(row)
            if message is None:
                return None
            excused, message.expected = message.expected - message.delivered, message.delivered
            message.expected_apart = message.delivered_apart
            self.refused_delivered += message.delivered
            return excused
        columns, at = self._columns, row - self._base
        if columns.acked[at]:
            return None
        expected, columns.expected[at] = columns.expected[at], columns.delivered[at]
        columns.expected_apart[at] = columns.delivered_apart[at]
        columns.acked[at] = REFUSED
        self.refused_delivered += columns.delivered[at]
        return expected - columns.delivered[at]

    def newly_owed(self) -> int:
        """Deliveries of refused messages since this was asked last: each was expected by who got it."""
        owed, self._newly_owed = self._newly_owed, 0
        return owed

    def excuse(self, room: int, until: Sequence[int], *, rooms: int, apart: bool, after_ns: int = 0) -> int:
        """A member will not get the room's messages above `until` (a number for each slot) that were sent from
        `after_ns` on, and needs not.

        Slots are publishers divided by `rooms`. Returns how many messages were excused.
        """
        columns = self._columns
        excused = self._stragglers.excuse(room, until, rooms=rooms, apart=apart, after_ns=after_ns)
        if columns.intended:
            limits = np.array(until or [0], dtype=np.int64)
            chosen = (view(columns.room) == room) & (view(columns.expected) > 0) & (view(columns.acked) != REFUSED)
            chosen &= view(columns.sent) >= after_ns
            chosen[chosen] = view(columns.number)[chosen] > limits[view(columns.publisher)[chosen] // rooms]
            view(columns.expected)[chosen] -= 1
            view(columns.expected_apart)[chosen] -= apart
            excused += int(chosen.sum())
        return excused

    def count_apart(self, rows: Ints) -> None:
        """First deliveries to members whose latencies are not in the figures here."""
        fresh = rows >= self._base
        for row in rows[~fresh].tolist():
            self._owe(self._stragglers.late_apart(row))
        at = rows[fresh] - self._base
        if len(at):
            np.add.at(view(self._columns.delivered), at, 1)
            np.add.at(view(self._columns.delivered_apart), at, 1)
            refused = at[view(self._columns.acked)[at] == REFUSED]
            np.add.at(view(self._columns.expected), refused, 1)
            np.add.at(view(self._columns.expected_apart), refused, 1)
            self._owe(len(refused))

    def unacknowledged(self) -> list[tuple[int, int, int]]:
        """(publisher, number, when it was sent) of each message of ours that waits for its acknowledgement."""
        columns, found = self._columns, self._stragglers.unacknowledged()
        for at in np.flatnonzero(view(columns.acked) == 0).tolist() if len(columns) else ():
            found.append((columns.publisher[at], columns.number[at], columns.sent[at]))
        return found

    def duplicate(self, publisher: int, number: int) -> None:
        """Somebody got the message again. Duplicates of messages long complete are counted in the ledger alone."""
        row = self._rows.get((publisher, number))
        if row is None:
            return
        if row >= self._base:
            self._columns.duplicated[row - self._base] += 1
        else:
            self._stragglers[row].duplicated += 1

    def knows(self, rows: Ints) -> npt.NDArray[np.bool_]:
        """Which of the rows are still under account."""
        known = rows >= self._base
        for at in np.flatnonzero(~known).tolist():
            known[at] = int(rows[at]) in self._stragglers
        return known

    def sent_ns(self, row: int) -> int | None:
        """When the message was sent; None when its account is closed."""
        if row >= self._base:
            return self._columns.sent[row - self._base]
        return self._stragglers[row].sent_ns if row in self._stragglers else None

    def times_of(self, rows: Ints) -> tuple[Ints, Ints, Ints]:
        """(intended, sent, phase) of each row."""
        if len(rows) and int(rows.min()) < self._base:
            intended, sent, phase = np.array([self._straggler_or_column(row) for row in rows.tolist()], np.int64).T
            return intended, sent, phase
        columns, at = self._columns, rows - self._base
        return view(columns.intended)[at], view(columns.sent)[at], view(columns.phase)[at]

    def settle_all(self, rows: Ints, receptions: Ints, members: Members) -> None:
        """First deliveries: each of the messages to all members of its reception."""
        begins, ends = members.begins[:-1], members.begins[1:]
        bounds = (begins, ends, members.times[begins], members.times[ends - 1])
        arrivals = [
            Arrivals(members.times[begin:end], first_ns, last_ns, sum_ns)
            for begin, end, first_ns, last_ns, sum_ns in zip(
                *(bound.tolist() for bound in bounds), members.sums, strict=True
            )
        ]
        fresh = rows >= self._base
        if not fresh.all():
            for row, reception in zip(rows[~fresh].tolist(), receptions[~fresh].tolist(), strict=True):
                self._owe(self._stragglers.late(row, arrivals[reception].times))
            rows, receptions = rows[fresh], receptions[fresh]
        at, counts = rows - self._base, members.sizes[receptions]
        np.add.at(view(self._columns.delivered), at, counts)
        refused = view(self._columns.acked)[at] == REFUSED
        np.add.at(view(self._columns.expected), at[refused], counts[refused])
        self._owe(int(counts[refused].sum()))
        for row, reception in zip(rows.tolist(), receptions.tolist(), strict=True):
            self._arrivals[row].append(arrivals[reception])

    def settle(self, rows: Ints, arrived: Ints) -> None:
        """First deliveries, one of a message at a time each, in any order."""
        if not len(rows):
            return
        for row, arrivals in by_message(rows, arrived):
            if row < self._base:
                self._owe(self._stragglers.late(row, arrivals.times))
            else:
                at, count = row - self._base, len(arrivals.times)
                self._columns.delivered[at] += count
                if self._columns.acked[at] == REFUSED:
                    self._columns.expected[at] += count
                    self._owe(count)
                self._arrivals[row].append(arrivals)

    def retire(self, now_ns: int, limit: int) -> list[Broadcast]:
        """Up to `limit` messages whose account is closed, oldest first; they leave. Fewer mean that these were all."""
        columns = self._columns
        closed: list[Broadcast] = []
        gone = 0
        count = len(columns)
        crowded = count - MAX_ROWS // 2  # the oldest of a crowd go early, see `arrivals.by_message`
        for at in range(count):
            age_ns = now_ns - columns.intended[at]
            complete = columns.delivered[at] >= columns.expected[at] and (columns.acked[at] or not self._acknowledged)
            if len(closed) >= limit or (age_ns < (GRACE_NS if complete else WINDOW_NS) and at >= crowded):
                break
            gone += 1
            message = self._take(at)
            if complete and not message.refused:  # who refuses may broadcast all the same
                del self._rows[message.publisher, message.number]
                closed.append(message)
            else:
                self._stragglers.add(self._base + at, message)
        self._drop(gone)
        for message in self._stragglers.retire(limit - len(closed)):
            del self._rows[message.publisher, message.number]
            closed.append(message)
        return closed

    def finish(self) -> list[Broadcast]:
        """Everything that is left, at the end of the run."""
        columns = self._columns
        left = [*self._stragglers.finish(), *(self._take(at) for at in range(len(columns)))]
        self._drop(len(columns))
        self._rows.clear()
        return left

    def _owe(self, count: int) -> None:
        self.refused_delivered += count
        self._newly_owed += count

    def _straggler_or_column(self, row: int) -> tuple[int, int, int]:
        if row < self._base:
            message = self._stragglers[row]
            return message.intended_ns, message.sent_ns, message.phase
        columns, at = self._columns, row - self._base
        return columns.intended[at], columns.sent[at], columns.phase[at]

    def _take(self, at: int) -> Broadcast:
        arrivals = self._arrivals.pop(self._base + at, ())
        return self._columns.take(at, arrivals, acknowledged=self._acknowledged)

    def _drop(self, count: int) -> None:
        """Remove the first `count` entries of the columns, which were taken."""
        if count:
            self._columns.drop(count)
            self._base += count
