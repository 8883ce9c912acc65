"""Who is a member of which room, how much was published there, and so how much each member is owed."""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections.abc import Iterator
from functools import partial

from scalechat.load.elsewhere import Elsewhere
from scalechat.load.ledger import RecipientLedger
from scalechat.load.plan import Plan
from scalechat.load.sendings import Sendings
from scalechat.load.stays import Stay, Stays, Until


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
        self.sendings = Sendings()
        """Of publishers here, in split rooms."""
        self._stays: list[Stays] = [] if plan.rooms_are_whole else [Stays() for _ in range(plan.rooms)]
        self._edges: dict[RecipientLedger, Stay] = {}
        """Of those who came or went while somebody elsewhere may have published."""
        self.has_edges = False
        """Whether it matters when a message was sent in another process: somebody came or went, or is away."""
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

    def join(self, client: int, *, late: bool, at_ns: int = 0) -> RecipientLedger:
        """The client has joined its room: what is published from now on is expected there.

        `late`: somebody may have published before, here or elsewhere.
        """
        room = self._plan.room_of(client)
        self.members[room] += 1
        self.members_apart[room] += self._plan.crowd.is_apart(client)
        slots = self.elsewhere.slots(room) if late else frozenset[int]()
        ledger = RecipientLedger(self.published_by[room], elsewhere=slots)
        self._ledgers[ledger] = room
        if self._stays:
            self._stays[room].change(at_ns, self.members[room], self.members_apart[room])
            if slots:
                self._edges[ledger] = Stay(at_ns)
                self.has_edges = True
        return ledger

    def leave(self, client: int, ledger: RecipientLedger, *, at_ns: int = 0, until: Until | None = None) -> None:
        """The client has left its room, and is owed everything published by now, or only what `until` says."""
        room = self._plan.room_of(client)
        self.members[room] -= 1
        self.members_apart[room] -= (apart := self._plan.crowd.is_apart(client))
        if until is None:
            # Many leave at the same moment, and then share what was published by then.
            published = tuple(self.published_by[room])
            if self._published_at_leave.get(room) != published:
                self._published_at_leave[room] = published
            ledger.leave(self._published_at_leave[room], elsewhere=self.elsewhere.slots(room))
        else:
            ledger.leave(until.numbers, elsewhere=self.elsewhere.slots(room))
        if self._stays:
            self._stays[room].change(at_ns, self.members[room], self.members_apart[room])
            if until is not None or not self.elsewhere.is_complete:
                self.has_edges = True
                stay = self._edges.setdefault(ledger, Stay())
                stay.before_ns = at_ns if until is None else until.before_ns
                if until is not None:
                    self._stays[room].give_up(ledger, stay, at_ns, apart=apart)
        if self._plan.rooms_are_whole and ledger.expected(self.published_by[room]) == ledger.received:
            self._owed_to_gone += ledger.received
            del self._ledgers[ledger]

    def be_away(self) -> None:
        """A member has gone that means to resume; if it does not, it will have left when it went."""
        self.has_edges = self.has_edges or bool(self._stays)

    def is_edge(self, ledger: RecipientLedger) -> bool:
        """Whether the member is such a one: what it has missed is known at the end."""
        return ledger in self._edges

    def since_ns(self, ledger: RecipientLedger) -> int:
        """Since when the member is there; 0: from the beginning, or the room is not split."""
        stay = self._edges.get(ledger)
        return 0 if stay is None else stay.since_ns

    def members_owed(self, publisher: int, number: int, sent_ns: int) -> tuple[int, int]:
        """To how many members here the message of another process is owed, and to how many of `members_apart`."""
        return self._stays[self._plan.room_of(publisher)].owed(self._plan.slot_of(publisher), number, sent_ns)

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
        if not self.elsewhere.is_settled:
            self.elsewhere.is_settled = True
            self._members_settled = list(zip(self.members, self.members_apart, strict=True))
        self._settle_edges()
        return split

    def _settle_edges(self) -> None:
        """Count what other processes had sent when members came and went."""
        by_room: dict[int, list[tuple[RecipientLedger, Stay]]] = {}
        for ledger, stay in self._edges.items():
            by_room.setdefault(self._ledgers[ledger], []).append((ledger, stay))
        for room, edges in by_room.items():
            for publisher in self.elsewhere.publishers(room):
                self._settle_edges_of(publisher, edges)

    def _settle_edges_of(self, publisher: int, edges: list[tuple[RecipientLedger, Stay]]) -> None:
        elsewhere, slot, known = self.elsewhere, self._plan.slot_of(publisher), self.elsewhere.sendings.known(publisher)
        if not known:
            return
        is_final = elsewhere.is_final(publisher) and known >= elsewhere.published(publisher)
        begins = [elsewhere.theirs_ns(publisher, stay.since_ns) for _ledger, stay in edges]
        ends = [elsewhere.theirs_ns(publisher, stay.before_ns or 0) for _ledger, stay in edges]
        began, ended = elsewhere.sendings.before(publisher, begins), elsewhere.sendings.before(publisher, ends)
        for (ledger, stay), first, last in zip(edges, began, ended, strict=True):
            # One that joined after all that is known may yet turn out to have joined after more than that.
            if stay.since_ns and (is_final or first < known):
                ledger.owe_from(slot, first + 1)
            if stay.before_ns:
                ledger.owe_until(slot, last)

    def unseen(self) -> Iterator[tuple[int, int, int, int, int]]:
        """(publisher, first, last, members that were to get it, those of them that stay out of the headline) of other
        processes' messages that reached nobody."""
        for room in range(self._plan.rooms):
            for publisher, low, high in self.elsewhere.unseen(room):
                for owed, stretch in itertools.groupby(range(low, high + 1), partial(self._owed_unseen, publisher)):
                    if owed[0] > 0:
                        numbers = list(stretch)
                        yield publisher, numbers[0], numbers[-1], *owed

    def _owed_unseen(self, publisher: int, number: int) -> tuple[int, int]:
        sent_ns = self.elsewhere.sendings.at(publisher, number)
        if sent_ns is None:  # nobody asked, for nobody came or went
            return self._members_settled[self._plan.room_of(publisher)]
        return self.members_owed(publisher, number, self.elsewhere.ours_ns(publisher, sent_ns))

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
