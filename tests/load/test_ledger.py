"""The ledger of one recipient against the simplest possible one: a list of everything that ever came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scalechat.load.ledger import Outcome, RecipientLedger


class Recipient(RuleBasedStateMachine):
    """Publishers publish, a server delivers whatever it likes, and model and ledger must agree on each delivery."""

    @initialize(before=st.lists(st.integers(0, 3), min_size=1, max_size=3))
    def join(self, before: list[int]) -> None:
        self.before = before
        self.published = list(before)
        self.at_leave: list[int] | None = None
        self.came: list[tuple[int, int]] = []
        self.ledger = RecipientLedger(before)
        self.delivered = 0

    @rule(slot=st.integers(0, 2), count=st.integers(1, 4))
    def publish(self, slot: int, count: int) -> None:
        self.published[slot % len(self.published)] += count

    @rule(picks=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=6))
    def deliver(self, picks: list[tuple[int, int]]) -> None:
        """Anything that was published, in any order, any number of times."""
        batch = []
        for slot, pick in picks:
            at = slot % len(self.published)
            if self.published[at]:
                batch.append((at, pick % self.published[at] + 1))
        outcomes = self.ledger.admit(batch)
        expected = [self._outcome(slot, number) for slot, number in batch]
        assert (outcomes or [Outcome.FIRST] * len(batch)) == expected

    @rule()
    def deliver_the_rest_in_order(self) -> None:
        batch = [
            (slot, number)
            for slot, count in enumerate(self.published)
            for number in range(1 + max([self.before[slot], *(n for s, n in self.came if s == slot)]), count + 1)
        ]
        assert self.ledger.admit(batch) is None
        assert all(self._outcome(slot, number) is Outcome.FIRST for slot, number in batch)

    @rule()
    def leave(self) -> None:
        self.ledger.leave(list(self.published))
        self.at_leave = self.at_leave or list(self.published)

    @invariant()
    def the_sums_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        highest = [max([low, *(n for s, n in self.came if s == slot)]) for slot, low in enumerate(self.before)]
        assert self.ledger.received == self.delivered
        assert self.ledger.in_gaps == sum(highest) - sum(self.before) - self.delivered
        until = self.published if self.at_leave is None else self.at_leave
        assert self.ledger.expected(self.published) == sum(until) - sum(self.before)

    def _outcome(self, slot: int, number: int) -> Outcome:
        if number <= self.before[slot]:
            return Outcome.EARLY
        if (slot, number) in self.came:
            return Outcome.DUPLICATE
        late = any(s == slot and n > number for s, n in self.came)
        self.came.append((slot, number))
        self.delivered += 1
        return Outcome.LATE if late else Outcome.FIRST


TestRecipient = Recipient.TestCase


@given(st.permutations(range(1, 9)))
def test_every_order_of_arrival_counts_its_descents_from_the_highest(order: list[int]) -> None:
    """A first delivery is reordered exactly when a higher number came before it."""
    ledger = RecipientLedger([0])
    outcomes = [(ledger.admit([(0, number)]) or [Outcome.FIRST])[0] for number in order]
    assert outcomes == [
        Outcome.LATE if any(before > number for before in order[:at]) else Outcome.FIRST
        for at, number in enumerate(order)
    ]
    assert (ledger.received, ledger.in_gaps) == (8, 0)
