"""What all members of a room receive, kept once: a member is accounted for by how far it has come in it.

Theory of operation. Members of a room get the same bytes in the same order, cut anywhere, with answers to themselves
between. The first member to receive a message parses it, and if it is the next in sequence it is appended, as bytes
and as what they mean, to the room's newest *stretch*. For every other member it is then enough to compare the bytes it
got with those that follow its place (one memcmp, whatever the chunk holds) and to move the place: its ledger is what
the stretch says at that place, and is written out only when the member's bytes turn out to be others.

A stretch begins with a known state, the highest number of each publisher, and holds nothing but messages that were next
in sequence. So a member whose ledger is in that state may enter there, and one that got anything else (a loss, a
duplicate, another order) leaves, is accounted for message by message, and enters again when its ledger and the end of
the newest stretch agree. What is counted never depends on who follows and who does not: a property test holds both ways
of accounting together.
"""

from __future__ import annotations

import weakref
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final

from scalechat.load.deliveries import Reception
from scalechat.wire.frames import binary_frame, text_frame

_ALL_STRETCHES_BYTES: Final = 16 * 1024 * 1024
"""Of the newest stretches of all rooms together."""
_STRETCH_BYTES: Final = (4 * 1024, 1024 * 1024)
"""The least and the most of one: below, changing to the next costs more than comparing; above, a second of a busy room
is in it, and members are never further apart unless the server is stalled."""
_STRETCHES: Final = 8
"""Of one room that a member may be behind the newest. It keeps alive what it has not received, so there is a limit;
who is further behind is accounted for message by message."""


class Stretch:
    """Messages of one room in the order of their delivery; only `RoomStream` appends."""

    __slots__ = (
        "__weakref__",
        "data",
        "edges",
        "highest",
        "messages",
        "next",
        "receptions",
        "rows",
        "seqs",
        "start",
        "steps",
    )

    def __init__(self, start: Sequence[int]) -> None:
        """`start`: the highest number of each slot before the first message."""
        self.start = list(start)
        self.highest = list(start)
        self.data = bytearray()
        self.edges = [0]
        """Where in `data` message 0, 1, 2… begins; the last one is where the next would."""
        self.messages: list[tuple[int, int]] = []
        """(slot, number) of each."""
        self.rows = array("q")
        self.seqs = array("q")
        """The place of each in the room's log, by the server."""
        self.next: Stretch | None = None
        """Goes on where this one ends."""
        self.receptions: dict[tuple[int, int], Reception] = {}
        """(first, after the last) → who received exactly these messages at once; the recorder empties it."""
        self.steps: dict[int, Step] = {}
        """Place → the last chunk that somebody received there."""

    def highest_at(self, place: int) -> list[int]:
        """The highest number of each slot before message `place`."""
        if place == len(self.messages):
            return list(self.highest)
        highest = list(self.start)
        for slot, number in self.messages[:place]:
            highest[slot] = number
        return highest


STEPS: Final = 4
"""Of one stretch: members are at a few places at a time, and each step keeps its bytes alive."""


class Step:
    """A chunk of nothing but whole messages of one stretch: who gets the same bytes at the same place does the same."""

    __slots__ = ("count", "data", "reached", "reception", "seq")

    def __init__(self, data: bytes, begin: int, reached: int, seq: int, reception: Reception) -> None:
        self.data = data
        self.count = reached - begin
        self.reached = reached
        self.seq = seq
        self.reception = reception


class RoomStream:
    """The stretches of one room."""

    __slots__ = ("_binary", "_limit", "_older", "followers", "newest")

    def __init__(self, rooms: int, *, binary: bool = False) -> None:
        """`rooms`: how many there are in all; they share the memory. `binary`: the kind of the messages' frames."""
        least, most = _STRETCH_BYTES
        self._limit = min(max(_ALL_STRETCHES_BYTES // rooms, least), most)
        self._binary = binary
        self._older: deque[weakref.ref[Stretch]] = deque()
        self.newest: Stretch | None = None
        self.followers = 0
        """Members that have a place in a stretch."""

    def extend(
        self, deliveries: Sequence[tuple[int, int]], rows: array[int], payloads: Sequence[bytes], seqs: array[int]
    ) -> bool:
        """Append to the newest stretch; False, and nothing is appended, unless each is the next in sequence."""
        stretch = self.newest
        assert stretch is not None
        highest = stretch.highest
        for at, (slot, number) in enumerate(deliveries):
            if highest[slot] + 1 != number:
                for undone, _ in deliveries[:at]:
                    highest[undone] -= 1
                return False
            highest[slot] = number
        frame = binary_frame if self._binary else text_frame
        for payload in payloads:
            stretch.data += frame(payload)
            stretch.edges.append(len(stretch.data))
        stretch.messages += deliveries
        stretch.rows.extend(rows)
        stretch.seqs.extend(seqs)
        if len(stretch.data) >= self._limit:
            stretch.next = self.begin(stretch.highest)
        return True

    def begin(self, start: Sequence[int]) -> Stretch:
        """A new stretch, the newest from now on. The caller links it to the one before, if it continues that."""
        if self.newest is not None:
            self._older.append(weakref.ref(self.newest))
        if len(self._older) > _STRETCHES:
            oldest = self._older.popleft()()
            if oldest is not None:
                oldest.next = None
        self.newest = Stretch(start)
        return self.newest
