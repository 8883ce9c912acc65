"""Everything one process measured: counters, histograms, the ledger, and what became of each message.

Theory of operation. On the hot path nothing is done for each delivery: members that received the same messages at once
share a `Reception`, to which each adds its number and the time; only what no other member received like that goes
through `deliver`. `flush_some`, several times a second, turns them into latencies and bucket counts with numpy, for a
reception as the matrix of its messages and members: some 20 ns a delivery, and a bounded number of them at a time,
because a pause here would be measured as the server's. `end_window`, once a second, hands out what
was counted since the last one. A histogram belongs to the phase in which its message was *intended*: warm-up messages
that arrive late do not leak into what is measured.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scalechat.load.broadcasts import Broadcast, Broadcasts
from scalechat.load.client_latencies import ClientLatencies
from scalechat.load.counters import Counters
from scalechat.load.elsewhere import Elsewhere
from scalechat.load.histogram import Histogram, Ints
from scalechat.load.ledger import Outcome, RecipientLedger
from scalechat.load.plan import Plan
from scalechat.load.timeline import PhaseNumber

_DELIVERIES_PER_TURN: Final = 32 * 1024
"""Half a ms of numpy, and what it works on stays in the second-level cache."""
_WORTH_A_MATRIX: Final = 512
"""A matrix costs some 50 µs to begin with; receptions with fewer deliveries are put together first."""
_RECEPTION_COST: Final = 128
"""What putting together one of them takes, in deliveries."""

Key = tuple[int, str]
"""(number of the phase, metric)."""


@dataclass(slots=True)
class _Chunks:
    """Deliveries not yet looked at: `rows` is as long as `lengths` adds up to."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    clients: array[int] = field(default_factory=lambda: array("q"))


class Reception:
    """Messages that members of a room received together, each member at its own time; times never decrease."""

    __slots__ = ("clients", "home", "rows", "times")

    def __init__(self, rows: array[int], home: dict[tuple[int, int], Reception]) -> None:
        self.rows = rows
        self.home = home
        self.times = array("q")
        self.clients = array("q")


class Recorder:
    """See the module's docstring. All times are of the run's clock, in ns."""

    def __init__(self, plan: Plan, *, acknowledged: bool) -> None:
        """`acknowledged`: the server acknowledges messages."""
        self.plan = plan
        self.acknowledged = acknowledged
        self.counters = Counters()
        self.broadcasts = Broadcasts(acknowledged=acknowledged)
        self.phase = PhaseNumber.RAMP
        """The current phase: of what is counted here and is not a message."""
        self.steady_from_ns = 0
        """Messages intended before are warm-up."""
        self.steady_until_ns = 0
        self.in_time = 0
        """Messages of the measured time that were published before it ended."""
        self.published_by: list[list[int]] = [[0] * plan.publishers_in(room) for room in range(plan.rooms)]
        """Room → slot → how many messages it has published."""
        self.members: list[int] = [0] * plan.rooms
        """Room → members that have joined and not left."""
        self.elsewhere = Elsewhere(plan)
        self.in_gaps = 0
        """Numbers that were leapt over and have not come, of all ledgers together."""
        self._ledgers: dict[RecipientLedger, int] = {}
        """Ledger → room of everybody that has joined, but for those that are gone for good where nobody needs them."""
        self._members_apart: list[int] = [0] * plan.rooms
        """Those of `members` that stay out of the headline."""
        self._metrics, self._metric_of = plan.crowd.metrics, plan.crowd.metric_indices()
        self._members_settled: list[int] = []
        """`members` when everything was known about what other processes published."""
        self._published_at_leave: dict[int, tuple[int, ...]] = {}
        """Room → `published_by` when last somebody left it."""
        self._rejected: list[int] = [0] * plan.rooms
        self._gone: list[list[RecipientLedger]] = [[] for _ in range(plan.rooms)]
        """Room → those of `_ledgers` that were lost, for what they were promised before and is refused after."""
        self.refusals: list[tuple[int, int]] = []
        """(publisher, number) of each message of ours that the server refused; kept for other processes."""
        self._chunks = _Chunks()
        self._full: deque[_Chunks] = deque()
        """Chunks that were as many as are looked at in one turn."""
        self._receptions: deque[Reception] = deque()
        self._raw: dict[Key, array[int]] = {}
        self._windows: dict[Key, Histogram] = {}
        self._totals: dict[Key, Histogram] = {}
        self.has_ended = False
        """Every account is closed."""
        self.by_client = ClientLatencies(plan.clients)

    # --- hot path ----------------------------------------------------------------------------------------------------

    def deliver(self, client: int, rows: array[int], now_ns: int) -> None:
        """The client got the messages of these rows for the first time, together, now."""
        chunks = self._chunks
        if len(chunks.rows) >= _DELIVERIES_PER_TURN:
            self._full.append(chunks)
            chunks = self._chunks = _Chunks()
        chunks.rows.extend(rows)
        chunks.lengths.append(len(rows))
        chunks.times.append(now_ns)
        chunks.clients.append(client)
        self.counters.delivered += len(rows)

    def reception(self, rows: array[int], home: dict[tuple[int, int], Reception]) -> Reception:
        """A new one of the messages of these rows. `home`, where its maker finds it, is emptied when it is closed.

        Whoever adds to it counts `counters.delivered` as well.
        """
        reception = Reception(rows, home)
        self._receptions.append(reception)
        return reception

    def published(self, client: int, *, size_bytes: int, intended_ns: int, sent_ns: int, waited: bool = False) -> None:
        """The client has sent its next message; every member that has joined is to get it.

        `waited`: it had to wait for its client to be connected, which is no lateness of the generator's.
        """
        room, slot = self.plan.room_of(client), self.plan.slot_of(client)
        slots = self.published_by[room]
        slots[slot] += 1
        expected = self.members[room]
        phase = self._phase_of(intended_ns)
        self.broadcasts.publish(
            client,
            slots[slot],
            room=room,
            phase=phase,
            size_bytes=size_bytes,
            expected=expected,
            expected_apart=self._members_apart[room],
            intended_ns=intended_ns,
            sent_ns=sent_ns,
        )
        self.counters.published += 1
        self.counters.expected += expected
        self.in_time += self.steady_from_ns <= intended_ns and sent_ns <= self.steady_until_ns
        if not waited:
            self.add("send_lag", sent_ns - intended_ns, phase)

    def sighted(self, publisher: int, number: int, *, size_bytes: int, intended_ns: int, sent_ns: int) -> bool:
        """A member here got a message of another process; the times are of the publisher's clock.

        The first sight of it makes it expected by every member here. False: nobody ever published it.
        """
        new = self.elsewhere.see(publisher, number)
        if not new:
            return new is not None
        room = self.plan.room_of(publisher)
        intended_ns = self.elsewhere.ours_ns(publisher, intended_ns)
        self.broadcasts.publish(
            publisher,
            number,
            room=room,
            phase=self._phase_of(intended_ns),
            size_bytes=size_bytes,
            expected=self.members[room],
            expected_apart=self._members_apart[room],
            intended_ns=intended_ns,
            sent_ns=self.elsewhere.ours_ns(publisher, sent_ns),
            ours=False,
        )
        if not self.elsewhere.is_settled:
            self.counters.expected += self.members[room]
        return True

    def add(self, metric: str, value_ns: int, phase: int) -> None:
        """One value of a metric that is not a delivery's."""
        key = (phase, metric)
        raw = self._raw.get(key)
        if raw is None:
            raw = self._raw[key] = array("q")
        raw.append(value_ns)

    # --- what happens less often -------------------------------------------------------------------------------------

    def next_number(self, client: int) -> int:
        """The number that the client's next message has."""
        return self.published_by[self.plan.room_of(client)][self.plan.slot_of(client)] + 1

    def irregular(self, client: int, outcomes: Sequence[Outcome], deliveries: Sequence[tuple[int, int]]) -> list[bool]:
        """Count deliveries that were not all next in sequence; returns which of them were first ones."""
        room = self.plan.room_of(client)
        for outcome, (slot, number) in zip(outcomes, deliveries, strict=True):
            match outcome:
                case Outcome.FIRST:
                    pass
                case Outcome.LATE:
                    self.counters.reordered += 1
                case Outcome.DUPLICATE:
                    self.counters.duplicated += 1
                    self.broadcasts.duplicate(slot * self.plan.rooms + room, number)
                case Outcome.EARLY:
                    self.counters.early += 1
        return [outcome in (Outcome.FIRST, Outcome.LATE) for outcome in outcomes]

    def join(self, client: int) -> RecipientLedger:
        """The client has joined its room: what is published from now on is expected there."""
        room = self.plan.room_of(client)
        self.members[room] += 1
        self._members_apart[room] += self.plan.crowd.is_apart(client)
        # Before the warm-up nobody has published anything, here or elsewhere.
        late = self.phase is not PhaseNumber.RAMP
        unknown = self.elsewhere.unknown_slots(room) if late else ()
        ledger = RecipientLedger(self.published_by[room], refused=self._rejected[room], unknown=unknown)
        self._ledgers[ledger] = room
        return ledger

    def leave(self, client: int, ledger: RecipientLedger, *, beyond: Sequence[int] | None = None) -> None:
        """The client has left its room.

        `beyond`: for each slot the last number that it still must have got; without it, everything published by now.
        """
        room, apart = self.plan.room_of(client), self.plan.crowd.is_apart(client)
        self.members[room] -= 1
        self._members_apart[room] -= apart
        excused = 0
        if beyond is not None:
            self.flush()  # What it has got must not be taken for what it has not.
            ours, theirs = self.broadcasts.excuse(room, [*beyond], rooms=self.plan.rooms, apart=apart)
            self.counters.expected -= ours + theirs
            excused = ours
        unknown = self.elsewhere.unknown_slots(room)
        # Many leave at the same moment, and then share what was published by then.
        published = tuple(self.published_by[room])
        if self._published_at_leave.get(room) != published:
            self._published_at_leave[room] = published
        ledger.leave(self._published_at_leave[room], refused=self._rejected[room] + excused, unknown=unknown)
        if beyond is not None and self.plan.share.count == 1:
            del self._ledgers[ledger]  # Its row is written next: who comes and goes must not be remembered for ever.
        elif beyond is None:
            self._gone[room].append(ledger)

    def acknowledge(self, client: int, number: int, *, at_ns: int, room_seq: int | None) -> None:
        """The server has taken the client's message."""
        sent = self.broadcasts.acknowledge(client, number, at_ns=at_ns, room_seq=room_seq)
        if sent is None:
            self.counters.unknown_frames += 1
            return
        sent_ns, phase = sent
        self.counters.acked += 1
        self.add("ack_rtt", at_ns - sent_ns, phase)

    def reject(self, client: int, number: int) -> None:
        """The server has answered the client's message with an error."""
        excused = self.broadcasts.reject(client, number)
        if excused is None:
            self.counters.unknown_frames += 1
            return
        self.counters.expected -= excused
        self.counters.rejected += 1
        room, slot = self.plan.room_of(client), self.plan.slot_of(client)
        self._rejected[room] += 1
        for ledger in self._gone[room]:
            ledger.refused_later(slot, number)
        if self.plan.share.count > 1:
            self.refusals.append((client, number))

    def settle(self) -> None:
        """Nobody publishes any more, and what other processes have published is as well known as it will be.

        From now on `outstanding` is exact for their messages too. May be called again when more has become known.
        """
        split = False
        for room in range(self.plan.rooms):
            for publisher in self.elsewhere.publishers(room):
                split = True
                self.published_by[room][self.plan.slot_of(publisher)] = self.elsewhere.published(publisher)
        self.elsewhere.is_settled = True
        self._members_settled = list(self.members)
        if split:
            unowed = sum(self.elsewhere.unowed_in(room) * members for room, members in enumerate(self.members))
            self.counters.expected = self._expected() - unowed

    def unowed(self) -> list[tuple[int, int]]:
        """(publisher, number) of each message of ours that is owed to nobody: refused, or not acknowledged by now."""
        return [*self.refusals, *self.broadcasts.unacknowledged()] if self.acknowledged else []

    def unseen(self) -> list[tuple[int, int, int, int]]:
        """(publisher, first, last, members that were to get it) of other processes' messages that reached nobody."""
        return [
            (*stretch, members)
            for room, members in enumerate(self._members_settled)
            if members
            for stretch in self.elsewhere.unseen(room)
        ]

    # --- windows -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Turn all that was collected into counts."""
        while self.flush_some():
            pass

    def flush_some(self) -> bool:
        """Turn some of it into counts, which takes below 1 ms; True when more is left."""
        for (phase, metric), raw in self._raw.items():
            if raw:
                self._window(phase, metric).add(np.array(raw, dtype=np.int64))
                del raw[:]
        if self._full:
            self._flush_chunks(self._full.popleft())
            return True
        chunks = self._chunks
        done = 0
        while self._receptions and done < _DELIVERIES_PER_TURN:
            reception = self._receptions.popleft()
            reception.home.clear()
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
        rows = rows[self.broadcasts.knows(rows)]
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
        self.broadcasts.settle_all(rows, arrived)
        intended, sent, phases = self.broadcasts.times_of(rows)
        per_turn = max(1, _DELIVERIES_PER_TURN // len(arrived))
        for at in range(0, len(rows), per_turn):
            part = slice(at, at + per_turn)
            for phase in set(phases[part].tolist()):
                chosen = phases[part] == phase
                latencies = np.subtract.outer(intended[part][chosen], arrived)
                np.negative(latencies, out=latencies)
                buckets = self._window(phase, "delivery").add(latencies.ravel())
                self.by_client.add_buckets(np.tile(clients, len(latencies)), buckets)
                latencies += (intended[part][chosen] - sent[part][chosen])[:, None]
                self._window(phase, "delivery_from_send").add(latencies.ravel())

    def _flush_chunks(self, chunks: _Chunks) -> None:
        if not chunks.rows:
            return
        rows = np.array(chunks.rows, dtype=np.int64)
        lengths = np.array(chunks.lengths, dtype=np.int64)
        arrived = np.repeat(np.array(chunks.times, dtype=np.int64), lengths)
        clients = np.repeat(np.array(chunks.clients, dtype=np.int64), lengths)
        known = self.broadcasts.knows(rows)
        if not known.all():
            # Only a server that broadcasts what it refused gets here: the account of that message was closed.
            rows, arrived, clients = rows[known], arrived[known], clients[known]
        if self._metric_of is not None:
            metrics = self._metric_of[clients]
            for index in np.unique(metrics[metrics > 0]).tolist():
                of_kind = metrics == index
                self._count_apart(index, rows[of_kind], arrived[of_kind], clients[of_kind])
            rows, arrived, clients = rows[metrics == 0], arrived[metrics == 0], clients[metrics == 0]
        intended, sent, phases = self.broadcasts.times_of(rows)
        latencies = arrived - intended
        for phase in np.unique(phases).tolist():
            chosen = phases == phase
            buckets = self._window(phase, "delivery").add(latencies[chosen])
            self.by_client.add_buckets(clients[chosen], buckets)
            self._window(phase, "delivery_from_send").add((arrived - sent)[chosen])
        self.broadcasts.settle(rows, arrived)

    def closed(self, now_ns: int, limit: int) -> list[Broadcast]:
        """Up to `limit` messages whose account is closed; fewer mean that these were all for now."""
        return self._count(self.broadcasts.retire(now_ns, limit))

    def end_window(self) -> list[tuple[Key, Histogram]]:
        """What was counted since the last window. Implies `flush`."""
        self.flush()
        windows = [(key, histogram) for key, histogram in self._windows.items() if histogram.count]
        self._windows = {}
        for key, histogram in windows:
            self._totals.setdefault(key, Histogram()).merge(histogram)
        return windows

    def end_run(self, *, never_ns: int, now_ns: int) -> list[Broadcast]:
        """The messages that are left. Call it before the last `end_window`, once.

        Every expected delivery that did not come enters `delivery` as the time it was waited for: from its intended
        time until now, and at least `never_ns`. A server that drops cannot look fast. Of the kinds that stand apart
        only what came is in their histograms; what did not is in the ledger, as everybody's is. A message that was
        never acknowledged is owed to nobody, and enters `ack_rtt` in the same way.
        """
        self.flush()
        self.has_ended = True
        left = self.broadcasts.finish()
        self._excuse_elsewhere(left)
        self._excuse([message for message in left if message.unacked])
        for message in self._count(left):
            if message.unacked:
                self._window(message.phase, "ack_rtt").add_many(max(never_ns, now_ns - message.sent_ns), 1)
            if message.missing:
                waited_ns = max(never_ns, now_ns - message.intended_ns)
                self._window(message.phase, self._metrics[0]).add_many(waited_ns, message.missing_here)
                self._window(message.phase, "broadcast_last").add_many(waited_ns, message.missing_here > 0)
                if message.missing_here and message.first_ns is None:
                    self._window(message.phase, "broadcast_first").add_many(waited_ns, 1)
        return left

    # --- what is asked about it --------------------------------------------------------------------------------------

    @property
    def missing(self) -> int:
        """Deliveries known not to have come: while the run goes those leapt over by later ones, then all that are due.

        The numbers of refused messages are gaps to everybody and not counted.
        """
        if self.has_ended:
            return self.outstanding
        excused = sum(count * members for count, members in zip(self._rejected, self.members, strict=True))
        return max(0, self.in_gaps - excused)

    @property
    def outstanding(self) -> int:
        """Expected deliveries that have not come, late ones and lost ones alike."""
        return self.counters.expected - self.counters.delivered

    @property
    def totals(self) -> Mapping[Key, Histogram]:
        """Everything counted, by phase and metric."""
        return self._totals

    def total(self, phase: int, metric: str) -> Histogram:
        """Everything counted of a metric in the phase."""
        return self._totals.get((phase, metric)) or Histogram()

    def merged(self, metric: str) -> Histogram:
        """Everything counted of a metric in all phases."""
        whole = Histogram()
        for (_phase, name), histogram in self._totals.items():
            if name == metric:
                whole.merge(histogram)
        return whole

    def missed_by(self, client: int, ledger: RecipientLedger) -> int:
        """How many messages the member did not get that it must have got."""
        room = self.plan.room_of(client)
        return max(0, ledger.expected(self.published_by[room], refused=self._rejected[room]) - ledger.received)

    def _count(self, messages: list[Broadcast]) -> list[Broadcast]:
        """Enter messages whose account is closed into the histograms of first and last deliveries."""
        groups: dict[Key, list[int]] = {}
        for message in messages:
            if message.first_ns is not None:
                groups.setdefault((message.phase, "broadcast_first"), []).append(message.first_ns)
            if message.last_ns is not None and not message.missing_here:
                groups.setdefault((message.phase, "broadcast_last"), []).append(message.last_ns)
        for (phase, metric), values in groups.items():
            self._window(phase, metric).add(np.array(values, dtype=np.int64))
        return messages

    def _count_apart(self, index: int, rows: Ints, arrived: Ints, clients: Ints) -> None:
        """What clients of a kind got whose deliveries are in the `index`-th metric."""
        intended, _sent, phases = self.broadcasts.times_of(rows)
        for phase in np.unique(phases).tolist():
            chosen = phases == phase
            buckets = self._window(phase, self._metrics[index]).add((arrived - intended)[chosen])
            self.by_client.add_buckets(clients[chosen], buckets)
        self.broadcasts.count_apart(rows)

    def _excuse(self, unacked: Sequence[Broadcast]) -> None:
        """Who got one of these messages was to get it, and nobody else."""
        numbers: dict[tuple[int, int], list[int]] = {}
        for message in unacked:
            numbers.setdefault((message.room, self.plan.slot_of(message.publisher)), []).append(message.number)
            self.counters.expected -= message.missing
            message.expected = message.delivered
        for (room, slot), found in numbers.items():
            found.sort()
            for ledger, where in self._ledgers.items():
                if where == room:
                    ledger.excuse(slot, found)

    def _excuse_elsewhere(self, left: Sequence[Broadcast]) -> None:
        """The same for messages of other processes that the server refused or never acknowledged."""
        unowed = self.elsewhere.unowed
        if self.plan.rooms_are_whole:
            return
        for publisher, numbers in unowed.items():
            for ledger, where in self._ledgers.items():
                if where == self.plan.room_of(publisher) and numbers:
                    ledger.excuse(self.plan.slot_of(publisher), numbers)
        for message in left:
            if message.number in unowed.get(message.publisher, ()):
                message.expected = message.delivered
        self.counters.expected = self._expected()

    def _expected(self) -> int:
        return sum(
            ledger.expected(self.published_by[room], refused=self._rejected[room])
            for ledger, room in self._ledgers.items()
        )

    def _phase_of(self, intended_ns: int) -> PhaseNumber:
        return PhaseNumber.STEADY if intended_ns >= self.steady_from_ns else PhaseNumber.WARMUP

    def _window(self, phase: int, metric: str) -> Histogram:
        return self._windows.setdefault((phase, metric), Histogram())
