"""What a faulty server really did: the load client's ledger is held against it.

The rule. A message is owed to the members that are in its room when it comes in. A member is there from the moment it
is let in until the end of its connection is known on both sides; it is the same member over all connections with which
it resumes, and then what came while it was away is owed to it too. Whoever is owed an acknowledged message and does
not get it whole misses it. One that was refused, or whose acknowledgement never left, is owed to nobody but those who
got it. A frame counts when it leaves: the first whole one is the delivery, out of order if a later number of that
publisher has left for this member, any other one is a duplicate, and one to somebody whom it is not owed to is early.

Who goes without a word gives up what its publisher's last delivery to it did not reach, unless it comes back for it.
That is the one thing excused, and it may be a loss: what a server has dropped and what it was about to send look the
same to somebody who has gone. Everybody else, closed or cut off by the server, is owed all that had come in.

Nothing here is told by the load client, apart from what it says to the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final


@dataclass(eq=False)
class Who:
    """A member of a room, over all connections with which it resumes."""

    highest: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Publisher → the highest number that left for it."""
    if_it_resumes: list[Taken] = field(default_factory=list)
    """What is owed to it then."""


@dataclass(eq=False)
class Taken:
    """A publication: who is owed it, and who got it."""

    publisher: str
    number: int
    due: set[Who]
    acked: bool
    got: set[Who] = field(default_factory=set)
    rejected: bool = False


@dataclass
class Truth:
    """What was really done."""

    taken: list[Taken] = field(default_factory=list)
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    phantom: int = 0
    early: int = 0
    _away: defaultdict[str, set[Who]] = field(default_factory=lambda: defaultdict(set))
    """Room → who might resume."""

    def take(self, room: str, publisher: str, number: int, there: Iterable[Who], *, acked: bool) -> Taken:
        """A publication came in."""
        taken = Taken(publisher, number, set(there), acked)
        self.taken.append(taken)
        for who in self._away[room]:
            who.if_it_resumes.append(taken)
        return taken

    def deliver(self, who: Who, taken: Taken) -> None:
        """A whole delivery left."""
        if who not in taken.due:
            self.early += 1
        elif who in taken.got:
            self.duplicated += 1
        else:
            taken.got.add(who)
            self.reordered += taken.number < who.highest[taken.publisher]
            who.highest[taken.publisher] = max(taken.number, who.highest[taken.publisher])

    def leave(self, room: str, who: Who, *, of_own_will: bool) -> None:
        """A connection of its is over."""
        self._away[room].add(who)
        for taken in self.taken if of_own_will else ():
            if taken.number > who.highest[taken.publisher] and who in taken.due - taken.got:
                taken.due.discard(who)
                who.if_it_resumes.append(taken)

    def resume(self, room: str, who: Who) -> None:
        """It is back, and has asked for what it missed."""
        self._away[room].discard(who)
        for taken in who.if_it_resumes:
            taken.due.add(who)
        who.if_it_resumes.clear()

    # --- as the ledger of a run names it -----------------------------------------------------------------------------

    @property
    def published(self) -> int:
        return len(self.taken)

    @property
    def rejected(self) -> int:
        return sum(message.rejected for message in self.taken)

    @property
    def acked(self) -> int:
        return sum(message.acked for message in self.taken)

    @property
    def unacked(self) -> int:
        return self.published - self.acked - self.rejected

    @property
    def delivered(self) -> int:
        return sum(len(message.got) for message in self.taken)

    @property
    def refused_delivered(self) -> int:
        return sum(len(message.got) for message in self.taken if message.rejected)

    @property
    def missing(self) -> int:
        return sum(len(message.due - message.got) for message in self.taken if message.acked)

    @property
    def expected(self) -> int:
        return self.delivered + self.missing

    def figures(self) -> dict[str, int]:
        """By the ledger's names."""
        return {name: getattr(self, name) for name in FIGURES}


FIGURES: Final = (
    *("published", "acked", "rejected", "unacked", "expected", "delivered", "missing"),
    *("duplicated", "reordered", "corrupted", "phantom", "early", "refused_delivered"),
)
