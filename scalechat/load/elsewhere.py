"""What other processes of the run publish in the rooms of this one.

Nobody tells this process of such a message before it is delivered: the header says who published it when, and the
first sight of it makes it known here. What was never seen here becomes known at the drain, when the processes tell each
other how many messages each of their publishers has published, and which of those are owed to nobody; and when each was
sent, if anybody came or went meanwhile (see `roll`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from scalechat.load.ledger import Outcome, RecipientLedger
from scalechat.load.plan import Plan
from scalechat.load.sendings import Sendings


class Elsewhere:
    """Messages are (publisher, number); clients and slots are the plan's."""

    __slots__ = (
        *("_announced", "_count", "_final", "_plan", "_seen", "_slots"),
        *("is_settled", "most", "refused", "sendings", "shift_ns", "unowed"),
    )

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seen: dict[int, RecipientLedger] = {}
        """Room → what was seen of it, by anybody here."""
        self._count: int | None = None
        """How many publishers there are, once somebody has asked."""
        self._slots: dict[int, frozenset[int]] = {}
        self._announced: dict[int, int] = {}
        """Publisher → how many it has published."""
        self._final: set[int] = set()
        """Publishers of which that is all."""
        self.unowed: dict[int, list[int]] = {}
        """Publisher → the numbers, ascending, of those that are owed to nobody: refused, or not acknowledged."""
        self.refused: dict[int, list[int]] = {}
        """Publisher → those of them that the server refused."""
        self.sendings = Sendings()
        """Their times by the clocks of their processes, once these were asked and have told."""
        self.most: int | None = None
        """No publisher gets as far as this number."""
        self.is_settled = False
        """Nobody publishes any more, and everybody has said how much it was."""
        self.shift_ns: dict[int, int] = {}
        """Process → what to add to its times to have ours; only for processes on other machines."""

    def ours_ns(self, publisher: int, at_ns: int) -> int:
        """A time of the publisher's process by the clock of this one."""
        return at_ns + self.shift_ns.get(self._plan.worker_of(publisher), 0) if self.shift_ns else at_ns

    def theirs_ns(self, publisher: int, at_ns: int) -> int:
        """The mirror of `ours_ns`."""
        return at_ns - self.shift_ns.get(self._plan.worker_of(publisher), 0) if self.shift_ns else at_ns

    def limit(self, publisher: int) -> int | None:
        """No number of the publisher's is greater, as far as that is known."""
        return self._announced[publisher] if publisher in self._final else self.most

    def see(self, publisher: int, number: int) -> bool | None:
        """Somebody here got the message: whether that makes it known. None: nobody ever published it."""
        published = self.limit(publisher)
        if published is not None and number > published:
            return None
        outcomes = self._sightings(self._plan.room_of(publisher)).admit([(self._plan.slot_of(publisher), number)])
        return outcomes is None or outcomes[0] in (Outcome.FIRST, Outcome.LATE)

    def announce(
        self,
        publisher: int,
        published: int,
        unowed: Iterable[int] = (),
        refused: Iterable[int] = (),
        *,
        final: bool = True,
    ) -> None:
        """The publisher's process says how many messages it has published, which of them are owed to nobody, and which
        of these the server refused; not `final`: there may be more, of clients that come back in the drain."""
        self._announced[publisher] = published
        if final:
            self._final.add(publisher)
        self.unowed[publisher] = sorted(unowed)
        self.refused[publisher] = sorted(refused)

    def published(self, publisher: int) -> int:
        """How many messages, as far as is known here."""
        announced = self._announced.get(publisher)
        return self._highest(publisher) if announced is None else announced

    def publishers(self, room: int) -> Iterator[int]:
        """The publishers of the room that are in other processes."""
        plan = self._plan
        if plan.rooms_are_whole:
            return iter(())
        return (client for client in range(room, plan.publishers, plan.rooms) if not plan.is_mine(client))

    def slots(self, room: int) -> frozenset[int]:
        """Their slots: always the same object."""
        found = self._slots.get(room)
        if found is None:
            found = self._slots[room] = frozenset(map(self._plan.slot_of, self.publishers(room)))
        return found

    @property
    def is_complete(self) -> bool:
        """Whether that is known of all of them."""
        if self._count is None:
            self._count = sum(not self._plan.is_mine(publisher) for publisher in range(self._plan.publishers))
        return len(self._final) == self._count

    def is_final(self, publisher: int) -> bool:
        """Whether it is known that the publisher publishes no more."""
        return publisher in self._final

    def unseen(self, room: int) -> list[tuple[int, int, int]]:
        """(publisher, first, last) of messages that are owed to somebody and were seen by nobody here."""
        return [
            (publisher, low, high)
            for publisher in self.publishers(room)
            for low, high in self._parts(publisher, self._sightings(room).gaps(self._plan.slot_of(publisher)))
        ]

    def _parts(self, publisher: int, gaps: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The stretches not seen, without what is owed to nobody."""
        for low, high in (*gaps, (self._highest(publisher) + 1, self.published(publisher))):
            begin = low
            for number in self.unowed.get(publisher, ()):
                if begin <= number <= high:
                    if number > begin:
                        yield begin, number - 1
                    begin = number + 1
            if begin <= high:
                yield begin, high

    def _highest(self, publisher: int) -> int:
        return self._sightings(self._plan.room_of(publisher)).highest(self._plan.slot_of(publisher))

    def _sightings(self, room: int) -> RecipientLedger:
        found = self._seen.get(room)
        if found is None:
            found = self._seen[room] = RecipientLedger([0] * self._plan.publishers_in(room))
        return found
