"""What one recipient must get and got: every missing, duplicated and reordered delivery, exactly, at full speed.

Theory of operation. Publishers number their messages 1, 2, 3… and a recipient keeps, for each publisher of its room,
the highest number that came. The next number in sequence is the normal case and costs one comparison. A number
further on opens a *gap* (the stretch it leapt over); a number at or below the highest either closes part of a gap (a
late first delivery: reordered), or was there before (duplicated), or belongs to the time before this recipient joined
(early).

Gaps are kept as stretches without a limit on their number: memory grows with what was lost, some 100 bytes a stretch,
and never with what arrived. A limit would have to guess, one day, whether a late arrival is the first or the second.

*expected*, for every published message, is the number of members that had joined before it was sent and had not left:
of a v1 server, a member has joined when it has read ``joined`` (the server numbers everything sent after that later);
of a plain server, when the handshake is complete. As the warm-up begins after the ramp, normally everybody joined
before everything. A member that comes later, or whose `joined` is still under way while others publish, may get
messages sent before: those are early, and neither expected nor delivered. A message that the server refused, or never
acknowledged although it acknowledges, was promised to nobody: it is expected by exactly those who got it.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Sequence, Set
from typing import Final

_UNKNOWN: Final = -2
"""Stands for a number that nobody here knows yet: no number follows it."""


class Outcome(enum.Enum):
    """What one delivery is to its recipient."""

    FIRST = enum.auto()
    LATE = enum.auto()
    """A first delivery whose number is below one already delivered: delivered, and reordered."""
    DUPLICATE = enum.auto()
    EARLY = enum.auto()
    """Published before the recipient joined; nobody promised it."""


class RecipientLedger:
    """One member of one room. Publishers are named by their slots in the room."""

    __slots__ = (
        "_gaps",
        "_highest",
        "_starts",
        "_until",
        "elsewhere",
        "in_gaps",
        "received",
    )

    def __init__(self, published: Sequence[int], *, elsewhere: Set[int] = frozenset()) -> None:
        """Counts of the room as they were when this member joined.

        `published`: for each slot, how many messages it had published. `elsewhere`, which is kept: slots that publish
        in another process and have begun, so that nobody here knows how many; see `owe_from`.
        """
        self.elsewhere = elsewhere
        """Empty for a member that came before anybody published."""
        self._highest = list(published)
        for slot in elsewhere:
            self._highest[slot] = _UNKNOWN
        # The copy is only needed when somebody published before; normally nobody did.
        self._starts = list(self._highest) if elsewhere or any(published) else None
        self._until: Sequence[int] | None = None
        """For each slot the last number that was expected; None while that grows."""
        self._gaps: dict[int, list[tuple[int, int]]] = {}
        self.received = 0
        """First deliveries, late ones included."""
        self.in_gaps = 0
        """Numbers that were leapt over and have not come: missing, unless they come yet."""

    @property
    def state(self) -> list[int]:
        """The highest number that came of each slot. Replace it whole, and only after counting what led there.

        While the member follows the stream of its room (`room_stream`), the stream has it and this list is empty.
        """
        return self._highest

    @state.setter
    def state(self, highest: list[int]) -> None:
        self._highest = highest

    def admit(self, deliveries: Sequence[tuple[int, int]]) -> list[Outcome] | None:
        """Account for (slot, number) pairs in the order they came; None means each one was the next in sequence."""
        highest = self._highest
        for index, (slot, number) in enumerate(deliveries):
            if highest[slot] + 1 != number:
                regular = [Outcome.FIRST] * index
                self.received += index
                return regular + [self._irregular(slot, number) for slot, number in deliveries[index:]]
            highest[slot] = number
        self.received += len(deliveries)
        return None

    # --- where it begins and ends ------------------------------------------------------------------------------------

    def may_begin_with(self, slot: int, number: int) -> bool:
        """Whether this number may have been sent after this member joined, although it is not expected here so far."""
        return slot in self.elsewhere and (self._is_silent(slot) or number <= self._start(slot))

    def owe_from(self, slot: int, number: int) -> None:
        """The slot publishes elsewhere, and this number was sent after the member had joined, as all that follow it."""
        assert self._starts is not None
        if self._is_silent(slot):
            self._starts[slot] = number - 1
        elif number <= (start := self._starts[slot]):
            self._gaps.setdefault(slot, []).insert(0, (number, start))
            self.in_gaps += start + 1 - number
            self._starts[slot] = number - 1

    def leave(self, until: Sequence[int], *, elsewhere: Set[int] = frozenset()) -> None:
        """Nothing above these numbers, one for each slot, is expected here. `until` is kept.

        What comes is still accounted for. Of slots `elsewhere` at least what has come was expected, see `owe_until`.
        """
        if self._until is None:
            self._until = until
            if elsewhere:
                self._until = least = list(until)
                for slot in elsewhere:
                    least[slot] = 0 if self._is_silent(slot) else max(least[slot], self._highest_of(slot))

    def owe_until(self, slot: int, number: int) -> None:
        """The slot publishes elsewhere, and had sent so many when this member left."""
        assert isinstance(self._until, list)
        self._until[slot] = max(self._until[slot], number)

    def is_until(self, slot: int, number: int) -> bool:
        """Whether it is not above what was expected of the slot when this member left."""
        return self._until is None or number <= self._until[slot]

    def reached(self) -> list[int]:
        """For each slot the highest number that came, or that was there before this member."""
        return [max(0, highest, start) for highest, start in zip(self.state, self._starts or self.state, strict=True)]

    # --- what is asked about it --------------------------------------------------------------------------------------

    def expected(self, published: Sequence[int]) -> int:
        """How many messages this member must have got, by the counts of its room as they are now."""
        starts, until = self._starts, published if self._until is None else self._until
        if not self.elsewhere:
            return sum(until) - sum(starts or ())
        assert starts is not None
        return sum(max(0, last - start) for last, start in zip(until, starts, strict=True) if start != _UNKNOWN)

    def not_come(self, slot: int, numbers: Sequence[int]) -> int:
        """How many of these messages (ascending numbers) were expected here and did not come.

        Of a member that follows its room's stream it is taken that none came.
        """
        low, high = self._range(slot, numbers)
        highest = self._highest_of(slot) if self._highest else low
        return sum(
            _between(numbers, max(low, first - 1), min(high, last))
            for first, last in (*self.gaps(slot), (highest + 1, high))
        )

    def came(self, slot: int, numbers: Sequence[int]) -> int:
        """How many of them came."""
        return _between(numbers, *self._range(slot, numbers)) - self.not_come(slot, numbers)

    def highest(self, slot: int) -> int:
        """The highest number that came."""
        return self._highest[slot]

    def gaps(self, slot: int) -> Sequence[tuple[int, int]]:
        """(first, last) of each stretch below it that did not."""
        return self._gaps.get(slot, ())

    def _range(self, slot: int, numbers: Sequence[int]) -> tuple[int, int]:
        """What was expected here begins after the first and ends with the second."""
        if self._is_silent(slot):
            return 0, 0
        return self._start(slot), numbers[-1] if self._until is None else self._until[slot]

    def _start(self, slot: int) -> int:
        return 0 if self._starts is None else self._starts[slot]

    def _is_silent(self, slot: int) -> bool:
        """Of the slot, which is elsewhere, nothing is known to be expected."""
        return self._start(slot) == _UNKNOWN

    def _highest_of(self, slot: int) -> int:
        """The highest number that came, or that was there before; where it stands there may be none yet."""
        return max(self._highest[slot], self._start(slot))

    def _irregular(self, slot: int, number: int) -> Outcome:
        if self._is_silent(slot):
            return Outcome.EARLY
        highest = self._highest_of(slot)
        if number > highest:
            if number > highest + 1:
                self._gaps.setdefault(slot, []).append((highest + 1, number - 1))
                self.in_gaps += number - 1 - highest
            self._highest[slot] = number
            self.received += 1
            return Outcome.FIRST
        if self._starts is not None and number <= self._starts[slot]:
            return Outcome.EARLY
        if not self._close_gap(slot, number):
            return Outcome.DUPLICATE
        self.in_gaps -= 1
        self.received += 1
        return Outcome.LATE

    def _close_gap(self, slot: int, number: int) -> bool:
        """Take `number` out of the gaps, which are ascending and apart; False when it is in none."""
        gaps = self._gaps.get(slot, [])
        at = bisect.bisect_right(gaps, number, key=lambda gap: gap[0]) - 1
        if at < 0 or gaps[at][1] < number:
            return False
        low, high = gaps[at]
        gaps[at : at + 1] = [part for part in ((low, number - 1), (number + 1, high)) if part[0] <= part[1]]
        return True


def _between(numbers: Sequence[int], after: int, until: int) -> int:
    """How many of the numbers, ascending, are greater than `after` and at most `until`."""
    return max(0, bisect.bisect_right(numbers, until) - bisect.bisect_right(numbers, after))
