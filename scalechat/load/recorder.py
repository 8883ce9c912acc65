"""What one process knows of its messages: each is entered when it is sent, answered, delivered, or given up.

This is where the accounts meet: what is owed to whom (`roll`), what became of each message (`broadcasts`), how long it
took (`deliveries`, `windows`) and how much it was (`counters`). A histogram belongs to the phase in which its message
was *intended*: warm-up messages that arrive late do not leak into what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scalechat.load.broadcast import Broadcast
from scalechat.load.broadcasts import Broadcasts
from scalechat.load.counters import Counters
from scalechat.load.course import PhaseNumber
from scalechat.load.deliveries import Deliveries
from scalechat.load.histogram import Histogram
from scalechat.load.ledger import Outcome, RecipientLedger
from scalechat.load.plan import Plan
from scalechat.load.roll import Roll
from scalechat.load.stays import Until
from scalechat.load.windows import Key, Windows


class Recorder:
    """See the module's docstring. All times are of the run's clock, in ns."""

    def __init__(self, plan: Plan, *, acknowledged: bool) -> None:
        """`acknowledged`: the server acknowledges messages."""
        self.plan = plan
        self.acknowledged = acknowledged
        self.counters = Counters()
        self.roll = Roll(plan)
        self.broadcasts = Broadcasts(acknowledged=acknowledged)
        self.windows = Windows()
        self.deliveries = Deliveries(plan, self.broadcasts, self.windows, self.counters)
        self._measured = plan.course.measured
        self._rooms_are_split = not plan.rooms_are_whole
        self.phase: int = PhaseNumber.RAMP
        """The current phase: of what is counted here and is not a message."""
        self.steady_from_ns = 0
        """Messages intended before are warm-up."""
        self.steady_until_ns = 0
        self.in_time = 0
        """Messages of the measured time that were published before it ended."""
        self.in_gaps = 0
        """Numbers that were leapt over and have not come, of all ledgers together."""
        self.refusals: list[tuple[int, int]] = []
        """(publisher, number) of each message of ours that the server refused; kept for other processes."""
        self.is_silent = False
        """The other processes were told that nothing more is published here."""
        self.has_ended = False
        """Every account is closed, see `last_account`."""

    # --- what happens to a message -----------------------------------------------------------------------------------

    def published(self, client: int, *, size_bytes: int, intended_ns: int, sent_ns: int, due_ns: int | None) -> None:
        """The client has sent its next message; every member that has joined is to get it.

        `due_ns`: when the generator was to send it; None for one that had to wait for its client to be connected, which
        is no lateness of the generator's.
        """
        room, slot = self.plan.room_of(client), self.plan.slot_of(client)
        slots = self.roll.published_by[room]
        slots[slot] += 1
        if self._rooms_are_split:
            self.roll.sendings.add(client, sent_ns)
        expected = self.roll.members[room]
        phase = self._phase_of(intended_ns)
        self.broadcasts.publish(
            client,
            slots[slot],
            room=room,
            phase=phase,
            size_bytes=size_bytes,
            expected=expected,
            expected_apart=self.roll.members_apart[room],
            intended_ns=intended_ns,
            sent_ns=sent_ns,
        )
        self.counters.published += 1
        self.counters.expected += expected
        self.in_time += phase in self._measured and sent_ns <= self.steady_until_ns
        if due_ns is not None:
            self.windows.add("send_lag", sent_ns - due_ns, phase)

    def sighted(self, publisher: int, number: int, *, size_bytes: int, intended_ns: int, sent_ns: int) -> bool:
        """A member here got a message of another process; the times are of the publisher's clock.

        The first sight of it makes it expected by every member that was here. False: nobody ever published it.
        """
        roll = self.roll
        new = roll.elsewhere.see(publisher, number)
        if not new:
            return new is not None
        room = self.plan.room_of(publisher)
        intended_ns = roll.elsewhere.ours_ns(publisher, intended_ns)
        sent_ns = roll.elsewhere.ours_ns(publisher, sent_ns)
        expected, apart = roll.members_owed(publisher, number, sent_ns)
        self.broadcasts.publish(
            publisher,
            number,
            room=room,
            phase=self._phase_of(intended_ns),
            size_bytes=size_bytes,
            expected=expected,
            expected_apart=apart,
            intended_ns=intended_ns,
            sent_ns=sent_ns,
            ours=False,
        )
        if not roll.elsewhere.is_settled:
            self.counters.expected += expected
        return True

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

    def acknowledge(self, client: int, number: int, *, at_ns: int, room_seq: int | None) -> None:
        """The server has taken the client's message."""
        sent = self.broadcasts.acknowledge(client, number, at_ns=at_ns, room_seq=room_seq)
        if sent is None:
            self.counters.unknown_frames += 1
            return
        sent_ns, phase = sent
        self.counters.acked += 1
        self.windows.add("ack_rtt", at_ns - sent_ns, phase)

    def reject(self, client: int, number: int) -> None:
        """The server has answered the client's message with an error."""
        excused = self.broadcasts.reject(client, number)
        if excused is None:
            self.counters.unknown_frames += 1
            return
        self.counters.expected -= excused
        self.counters.rejected += 1
        self.roll.excuse(client, number)
        if self.plan.share.count > 1:
            self.refusals.append((client, number))

    # --- who is there ------------------------------------------------------------------------------------------------

    def join(self, client: int, at_ns: int = 0) -> RecipientLedger:
        """The client has joined its room: what is published from now on is expected there."""
        # Before the warm-up nobody has published anything, here or elsewhere.
        return self.roll.join(client, late=self.phase != PhaseNumber.RAMP, at_ns=at_ns)

    def leave(self, client: int, ledger: RecipientLedger, at_ns: int, *, until: Until | None = None) -> None:
        """The client has left its room, and must still have got everything published by now, or what `until` says."""
        if until is not None:
            self.flush()  # What it has got must not be taken for what it has not.
            room, apart = self.plan.room_of(client), self.plan.crowd.is_apart(client)
            after_ns = max(until.before_ns, self.roll.since_ns(ledger))
            self.counters.expected -= self.broadcasts.excuse(
                room, until.numbers, rooms=self.plan.rooms, apart=apart, after_ns=after_ns
            )
        self.roll.leave(client, ledger, at_ns=at_ns, until=until)

    def place(self, ledger: RecipientLedger, deliveries: Sequence[tuple[int, int]], rows: Sequence[int]) -> None:
        """Of messages of other processes to a member that came late: see which were sent after that."""
        # What has no row any more is complete: who was to get it has it.
        for (slot, number), row in zip(deliveries, rows, strict=False):
            if ledger.may_begin_with(slot, number):
                sent_ns = self.broadcasts.sent_ns(row)
                if sent_ns is not None and sent_ns >= self.roll.since_ns(ledger):
                    ledger.owe_from(slot, number)

    # --- windows -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Turn all that was collected into counts."""
        while self.flush_some():
            pass

    def flush_some(self) -> bool:
        """Turn some of it into counts, which takes below 1 ms; True when more is left."""
        self.windows.flush()
        more = self.deliveries.flush_some()
        self.counters.expected += self.broadcasts.newly_owed()
        return more

    def closed(self, now_ns: int, limit: int) -> list[Broadcast]:
        """Up to `limit` messages whose account is closed; fewer mean that these were all for now."""
        return self.count(self.broadcasts.retire(now_ns, limit))

    def count(self, messages: list[Broadcast]) -> list[Broadcast]:
        """Enter messages whose account is closed into the histograms of first and last deliveries; returns them."""
        groups: dict[Key, list[int]] = {}
        for message in messages:
            if message.first_ns is not None:
                groups.setdefault((message.phase, "broadcast_first"), []).append(message.first_ns)
            if message.last_ns is not None and not message.missing_here:
                groups.setdefault((message.phase, "broadcast_last"), []).append(message.last_ns)
        for (phase, metric), values in groups.items():
            self.windows.of(phase, metric).add(np.array(values, dtype=np.int64))
        return messages

    def end_window(self) -> list[tuple[Key, Histogram]]:
        """What was counted since the last window. Implies `flush`."""
        self.flush()
        return self.windows.end()

    def settle(self) -> None:
        """Nobody publishes any more, and what other processes have published is as well known as it will be.

        From now on `outstanding` is exact for their messages too. May be called again when more has become known.
        """
        if self.roll.settle():
            self.counters.expected = self.roll.expected

    def unowed(self) -> list[tuple[int, int]]:
        """(publisher, number) of each message of ours that is owed to nobody: refused, or not acknowledged by now."""
        if not self.acknowledged:
            return []
        return [*self.refusals, *((publisher, number) for publisher, number, _sent in self.broadcasts.unacknowledged())]

    # --- what is asked about it --------------------------------------------------------------------------------------

    @property
    def missing(self) -> int:
        """Deliveries known not to have come: while the run goes those leapt over by later ones, then all that are due.

        The numbers of excused messages are gaps to everybody and not counted.
        """
        return self.outstanding if self.has_ended else max(0, self.in_gaps - self.roll.excused_deliveries)

    @property
    def outstanding(self) -> int:
        """Expected deliveries that have not come, late ones and lost ones alike."""
        return self.counters.expected - self.counters.delivered

    def offered_per_s(self, now_ns: int) -> float:
        """Messages due per second, by the plan, while it publishes."""
        plan, at_ns = self.plan, now_ns - self.steady_from_ns
        there = min(1.0, plan.course.clients_at(at_ns) / (plan.publishers or 1))
        return plan.offered_per_s * there * plan.tempo.rate_at(max(0, at_ns + plan.course.warmup_ns))

    def is_measured(self, intended_ns: int) -> bool:
        """Whether a message that is intended then counts."""
        return self._phase_of(intended_ns) in self._measured

    def _phase_of(self, intended_ns: int) -> int:
        return self.plan.course.phase_at(intended_ns - self.steady_from_ns)
