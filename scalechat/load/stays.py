"""Who was there when, in a room that is dealt out over several processes: to whom a message sent elsewhere is owed.

A process learns of another's message when somebody here gets it, or at the drain, and then it is owed to those who were
there when it was *sent*. So what is remembered of a room is how many members it had from when to when (24 bytes a
change), and who gave up something that had been under way.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from scalechat.load.ledger import RecipientLedger


@dataclass(frozen=True, slots=True)
class Until:
    """What a member is owed that is away and never comes back."""

    numbers: Sequence[int]
    """For each slot the last one."""
    before_ns: int = 0
    """Of publishers in other processes also what was sent before; 0: nothing, for it went of its own will."""


@dataclass(slots=True)
class Stay:
    """When one member was there. What other processes sent meanwhile is not counted yet."""

    since_ns: int = 0
    """0: before anybody published."""
    before_ns: int | None = None
    """What was sent before is owed, see `Until`; None: it is there."""


@dataclass(frozen=True, slots=True)
class _GivenUp:
    ledger: RecipientLedger
    since_ns: int
    before_ns: int
    gone_ns: int
    apart: bool


class Stays:
    """The members of one room, by the clock of this process. Changes come in order."""

    __slots__ = ("_apart", "_given_up", "_members", "_since")

    def __init__(self) -> None:
        self._since, self._members, self._apart = array("q", [0]), array("q", [0]), array("q", [0])
        self._given_up: list[_GivenUp] = []

    def change(self, at_ns: int, members: int, apart: int) -> None:
        """From now on so many are there, and so many of them stay out of the headline."""
        self._since.append(at_ns)
        self._members.append(members)
        self._apart.append(apart)

    def give_up(self, ledger: RecipientLedger, stay: Stay, at_ns: int, *, apart: bool) -> None:
        """A member, which was one until now, does without what its ledger does not expect any more."""
        self._given_up.append(_GivenUp(ledger, stay.since_ns, stay.before_ns or 0, at_ns, apart))

    def owed(self, slot: int, number: int, sent_ns: int) -> tuple[int, int]:
        """To how many a message is owed that was sent elsewhere, and how many of them stay out of the headline."""
        at = bisect_right(self._since, sent_ns) - 1
        members, apart = self._members[at], self._apart[at]
        for gone in reversed(self._given_up):
            if gone.gone_ns <= sent_ns:
                break
            if max(gone.since_ns, gone.before_ns) <= sent_ns and not gone.ledger.is_until(slot, number):
                members -= 1
                apart -= gone.apart
        return members, apart
