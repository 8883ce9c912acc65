"""Who is a member of which room, how much was published there, and so how much each member is owed."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence

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
        """Ledger → room of everybody that is there, or left and missed something, or sat in a split room."""
        self._owed_to_gone = 0
        """What those were owed that left and missed nothing: who comes and goes must not be remembered for ever."""
        self._unowed: list[dict[int, array[int]]] = [{} for _ in range(plan.rooms)]
        """Room → slot → the numbers, ascending, of what is owed to nobody but those who got it."""
        self._members_settled: list[tuple[int, int]] = []
        """`members` and `members_apart` when everything was known about what other processes published."""
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
        ledger = RecipientLedger(self.published_by[room], unknown=unknown)
        self._ledgers[ledger] = room
        return ledger

    def leave(self, client: int, ledger: RecipientLedger, *, until: Sequence[int] | None = None) -> None:
        """The client has left its room, and is owed everything published by now.

        `until`: nothing above these numbers, one for each slot, will come to it.
        """
        room = self._plan.room_of(client)
        self.members[room] -= 1
        self.members_apart[room] -= self._plan.crowd.is_apart(client)
        if until is None:
            # Many leave at the same moment, and then share what was published by then.
            until = tuple(self.published_by[room])
            if self._published_at_leave.get(room) != until:
                self._published_at_leave[room] = until
            until = self._published_at_leave[room]
        ledger.leave(until, unknown=self.elsewhere.unknown_slots(room))
        if self._plan.rooms_are_whole and ledger.expected(self.published_by[room]) == ledger.received:
            self._owed_to_gone += ledger.received
            del self._ledgers[ledger]

    def excuse(self, publisher: int, number: int) -> None:
        """The message was refused, or will never be acknowledged: only who gets it all the same was to get it."""
        slots = self._unowed[self._plan.room_of(publisher)]
        bisect.insort(slots.setdefault(self._plan.slot_of(publisher), array("q")), number)

    def has_excused(self, room: int | None = None) -> bool:
        """Whether there is such a message, in the room: then it matters which numbers came, and not how many."""
        return any(self._unowed) if room is None else bool(self._unowed[room])

    def settle(self) -> bool:
        """Take over what is known of other processes' messages; False when there are none in our rooms.

        May be called again when more has become known.
        """
        split = False
        for room in range(self._plan.rooms):
            for publisher in self.elsewhere.publishers(room):
                split = True
                slot = self._plan.slot_of(publisher)
                self.published_by[room][slot] = self.elsewhere.published(publisher)
                if unowed := self.elsewhere.unowed.get(publisher):
                    self._unowed[room][slot] = array("q", unowed)
        self.elsewhere.is_settled = True
        self._members_settled = list(zip(self.members, self.members_apart, strict=True))
        return split

    def unseen(self) -> list[tuple[int, int, int, int, int]]:
        """(publisher, first, last, members that were to get it, those of them that stay out of the headline) of other
        processes' messages that reached nobody."""
        return [
            (*stretch, members, apart)
            for room, (members, apart) in enumerate(self._members_settled)
            if members
            for stretch in self.elsewhere.unseen(room)
        ]

    @property
    def excused_deliveries(self) -> int:
        """Deliveries that the members of now would have had, had nothing been excused."""
        excused = (sum(map(len, slots.values())) for slots in self._unowed)
        return sum(count * members for count, members in zip(excused, self.members, strict=True))

    @property
    def refused_delivered_elsewhere(self) -> int:
        """Deliveries here of messages of other processes that the server had refused; when nothing more can come."""
        return sum(
            ledger.came(self._plan.slot_of(publisher), numbers)
            for publisher, numbers in self.elsewhere.refused.items()
            if numbers
            for ledger, room in self._ledgers.items()
            if room == self._plan.room_of(publisher)
        )

    @property
    def expected(self) -> int:
        """What all members together are owed."""
        return self._owed_to_gone + sum(self._owed(ledger, room) for ledger, room in self._ledgers.items())

    def missed_by(self, client: int, ledger: RecipientLedger) -> int:
        """How many messages the member did not get that it must have got."""
        return max(0, self._owed(ledger, self._plan.room_of(client)) - ledger.received)

    def _owed(self, ledger: RecipientLedger, room: int) -> int:
        excused = sum(ledger.not_come(slot, numbers) for slot, numbers in self._unowed[room].items())
        return ledger.expected(self.published_by[room]) - excused
