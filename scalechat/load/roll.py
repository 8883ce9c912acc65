"""Who is a member of which room, how much was published there, and so how much each member is owed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scalechat.load.elsewhere import Elsewhere
from scalechat.load.ledger import RecipientLedger
from scalechat.load.plan import Plan


class Roll:
    """Of all rooms, as one process sees them. Clients, rooms and slots are the plan's."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.published_by: list[list[int]] = [[0] * plan.publishers_in(room) for room in range(plan.rooms)]
        """Room → slot → how many messages it has published."""
        self.members: list[int] = [0] * plan.rooms
        """Room → members that have joined and not left."""
        self.members_apart: list[int] = [0] * plan.rooms
        """Those of `members` that stay out of the headline."""
        self.elsewhere = Elsewhere(plan)
        self._ledgers: dict[RecipientLedger, int] = {}
        """Ledger → room of everybody that has joined, but for those that are gone for good where nobody needs them."""
        self._gone: list[list[RecipientLedger]] = [[] for _ in range(plan.rooms)]
        """Room → those of `_ledgers` that were lost, for what they were promised before and is refused after."""
        self._late: list[dict[RecipientLedger, None]] = [{} for _ in range(plan.rooms)]
        """Room → members that joined while others published, in that order."""
        self._rejected: list[int] = [0] * plan.rooms
        self._members_settled: list[int] = []
        """`members` when everything was known about what other processes published."""
        self._published_at_leave: dict[int, tuple[int, ...]] = {}
        """Room → `published_by` when last somebody left it."""

    def next_number(self, client: int) -> int:
        """The number that the client's next message has."""
        return self.published_by[self._plan.room_of(client)][self._plan.slot_of(client)] + 1

    def join(self, client: int, *, late: bool) -> RecipientLedger:
        """The client has joined its room: what is published from now on is expected there.

        `late`: somebody may have published before, here or elsewhere.
        """
        room = self._plan.room_of(client)
        self.members[room] += 1
        self.members_apart[room] += self._plan.crowd.is_apart(client)
        unknown = self.elsewhere.unknown_slots(room) if late else ()
        ledger = RecipientLedger(self.published_by[room], refused=self._rejected[room], unknown=unknown)
        self._ledgers[ledger] = room
        if late:
            self._late[room][ledger] = None
        return ledger

    def leave(self, client: int, ledger: RecipientLedger, *, excused: int | None = None) -> None:
        """The client has left its room; it was lost, or it said goodbye and `excused` messages will not come to it."""
        room = self._plan.room_of(client)
        self.members[room] -= 1
        self.members_apart[room] -= self._plan.crowd.is_apart(client)
        unknown = self.elsewhere.unknown_slots(room)
        # Many leave at the same moment, and then share what was published by then.
        published = tuple(self.published_by[room])
        if self._published_at_leave.get(room) != published:
            self._published_at_leave[room] = published
        self._late[room].pop(ledger, None)
        refused = self._rejected[room] + (excused or 0)
        ledger.leave(self._published_at_leave[room], refused=refused, unknown=unknown)
        if excused is None:
            self._gone[room].append(ledger)
        elif self._plan.share.count == 1:
            del self._ledgers[ledger]  # Its row is written next: who comes and goes must not be remembered for ever.

    def reject(self, client: int, number: int) -> None:
        """The server has refused the client's message: nobody is owed it."""
        room, slot = self._plan.room_of(client), self._plan.slot_of(client)
        self._rejected[room] += 1
        for ledger in self._gone[room]:
            ledger.refused_later(slot, number)
        for ledger in reversed(self._late[room]):
            if ledger.start(slot) < number:
                break  # Whoever joined earlier was there when it was sent.
            ledger.refused_since()

    def excuse(self, room: int, slot: int, numbers: Sequence[int]) -> None:
        """Nobody was owed these messages, ascending, which were not refused; to be called once for each slot."""
        for ledger, where in self._ledgers.items():
            if where == room and numbers:
                ledger.excuse(slot, numbers)

    def excuse_elsewhere(self) -> Mapping[int, Sequence[int]]:
        """The same for other processes' messages; returns them, by publisher."""
        unowed = self.elsewhere.unowed
        for publisher, numbers in unowed.items():
            self.excuse(self._plan.room_of(publisher), self._plan.slot_of(publisher), numbers)
        return unowed

    def settle(self) -> bool:
        """Take over what is known of other processes' messages; False when there are none in our rooms.

        May be called again when more has become known.
        """
        split = False
        for room in range(self._plan.rooms):
            for publisher in self.elsewhere.publishers(room):
                split = True
                self.published_by[room][self._plan.slot_of(publisher)] = self.elsewhere.published(publisher)
        self.elsewhere.is_settled = True
        self._members_settled = list(self.members)
        return split

    def unseen(self) -> list[tuple[int, int, int, int]]:
        """(publisher, first, last, members that were to get it) of other processes' messages that reached nobody."""
        return [
            (*stretch, members)
            for room, members in enumerate(self._members_settled)
            if members
            for stretch in self.elsewhere.unseen(room)
        ]

    @property
    def unowed_elsewhere(self) -> int:
        """Deliveries of other processes' messages that are owed to nobody."""
        return sum(self.elsewhere.unowed_in(room) * members for room, members in enumerate(self.members))

    @property
    def refused_deliveries(self) -> int:
        """Deliveries that the members of now would have had, had nothing been refused."""
        return sum(count * members for count, members in zip(self._rejected, self.members, strict=True))

    @property
    def expected(self) -> int:
        """What all members together are owed."""
        return sum(self._owed(ledger, room) for ledger, room in self._ledgers.items())

    def missed_by(self, client: int, ledger: RecipientLedger) -> int:
        """How many messages the member did not get that it must have got."""
        return max(0, self._owed(ledger, self._plan.room_of(client)) - ledger.received)

    def _owed(self, ledger: RecipientLedger, room: int) -> int:
        return ledger.expected(self.published_by[room], refused=self._rejected[room])
