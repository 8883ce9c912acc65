"""What the frames of one received chunk mean, worked out once for all members that receive the same bytes.

Members of a room get equal bytes, and a server that coalesces sends them equal chunks: so both a chunk and a payload
are looked up before they are parsed (`client.shared_reader.SharedReader` remembers chunks, this module remembers
payloads). What is remembered never depends on who received it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from scalechat.load import payload as payloads
from scalechat.load.dialects import Dialect, Names, Says, id_of, number_of
from scalechat.load.payload import Header, Unreadable
from scalechat.load.recorder import Recorder
from scalechat.wire.messages import BadMessage, PlainMessage, Publication, ServerSays

_REMEMBERED_BYTES: Final = 8 * 1024 * 1024
"""At 400 bytes a message, as a frame and as a text, 20,000 of them: what one core publishes in a second, and members
are never further apart unless the server is stalled, when speed is not the question."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message of this run, intact. 16,000 of them are remembered: the garbage collector need not look at them."""

    room: int
    slot: int
    number: int
    row: int | None
    """None: every member that was to get it has it, so this can only be one too many."""
    seq: int = 0
    """Its place in the room's log; 0 where the target does not tell."""
    id: str | None = None
    """Under which it came, where the target tells; it is its own."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A message that is not as it was sent, or the text of another one under its id."""


@dataclass(frozen=True, slots=True)
class Phantom:
    """A well-formed message that nobody in this run published."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that is not ours to judge: a person's message, a frame of another protocol."""


Other = Delivery | Damaged | Phantom | Foreign | ServerSays | Says


class Batch(msgspec.Struct, frozen=True):
    """The frames of one chunk: the messages of one room, in order, and whatever else there was."""

    room: int
    deliveries: tuple[tuple[int, int], ...]
    """(slot, number) of each."""
    rows: array[int]
    payloads: tuple[bytes, ...]
    """Of the deliveries."""
    seqs: array[int]
    """Their places in the room's log; 0 where the target does not tell."""
    others: tuple[Other, ...]


class Decoder:
    """Payloads → `Batch`, for all connections of the process."""

    __slots__ = (
        "_dialect",
        "_expected",
        "_known",
        "_known_bytes",
        "_names",
        "_own_names",
        "_recorder",
        "_texts",
        "expected_bytes",
    )

    def __init__(self, dialect: Dialect, names: Names, recorder: Recorder) -> None:
        self._dialect = dialect
        self._names = names
        self._own_names = (names.prefix, names.subject or names.prefix)
        self._recorder = recorder
        self._known: dict[bytes, Delivery] = {}
        self._texts: dict[str, Delivery] = {}
        """By the text that a publisher wrote: every byte that is ours is in it, whatever a server wraps around it."""
        self._known_bytes = 0
        self._expected: dict[str, tuple[int, int, int | None]] = {}
        """(publisher, number, row) of texts that were published here and that nobody has received yet."""
        self.expected_bytes = 0
        """Of these."""

    def expect(self, text: bytes, publisher: int, number: int) -> None:
        """The message has just been published here. A text equal to this one is intact: there is nothing to verify."""
        if self.expected_bytes > _REMEMBERED_BYTES:  # They do not come: those that do are read as any other.
            self._expected.clear()
            self.expected_bytes = 0
        row = self._recorder.broadcasts.row_of(publisher, number)
        self._expected[text.decode("ascii")] = publisher, number, row
        self.expected_bytes += len(text)

    def batch(self, texts: Sequence[bytes]) -> Batch:
        """Work out what came. Never raises: what cannot be read is part of the result."""
        room = -1
        deliveries: list[tuple[int, int]] = []
        rows, seqs = array("q"), array("q")
        taken: list[bytes] = []
        others: list[Other] = []
        for text in texts:
            frame = self._known.get(text) or self._learn(text)
            if type(frame) is Delivery and frame.row is not None and room in (-1, frame.room):
                room = frame.room
                deliveries.append((frame.slot, frame.number))
                rows.append(frame.row)
                seqs.append(frame.seq)
                taken.append(text)
            else:
                others.append(frame)
        return Batch(room, tuple(deliveries), rows, tuple(taken), seqs, tuple(others))

    def _learn(self, frame: bytes) -> Other:
        try:
            said = self._dialect.read(frame)
        except BadMessage:
            return self._unreadable(frame)
        if isinstance(said, Publication):
            seq, name = said.seq, said.id
        elif isinstance(said, PlainMessage):
            seq, name = 0, None
        else:
            return said  # Answers are for one connection; nobody else gets these bytes.
        known = self._texts.get(said.text)
        if known is not None and known.id == name:
            # Verified before, and equal. Others get it in other bytes, so these come but once.
            return known if known.seq == seq else msgspec.structs.replace(known, seq=seq)
        expected = self._expected.pop(said.text, None)
        if expected is not None:
            self.expected_bytes -= len(said.text)
            publisher, number, row = expected
            if name is None or name == id_of(publisher, number):
                plan = self._recorder.plan
                intact = Delivery(plan.room_of(publisher), plan.slot_of(publisher), number, row, seq, name)
                self._remember(frame, said.text, intact)
                return intact
        header = payloads.decode(said.text)
        if header is Unreadable.DAMAGED:
            return Damaged()
        if header is Unreadable.FOREIGN:
            return Damaged() if said.client_id.startswith(self._own_names) else self._unreadable(frame)
        delivery = self._delivery(header, len(said.text), seq, name)
        if type(delivery) is not Delivery:
            return delivery
        if name is not None and name != id_of(header.publisher, header.sequence):
            return self._mistaken(name)
        self._remember(frame, said.text, delivery)
        return delivery

    def _remember(self, frame: bytes, text: str, delivery: Delivery) -> None:
        if self._known_bytes > _REMEMBERED_BYTES:
            self._known.clear()
            self._texts.clear()
            self._known_bytes = 0
        self._known[frame] = self._texts[text] = delivery
        self._known_bytes += len(frame) + len(text)

    def _unreadable(self, text: bytes) -> Damaged | Foreign:
        # A damaged frame of ours still shows our names somewhere; anything else is another protocol.
        return Damaged() if self._names.prefix.encode() in text else Foreign()

    def _mistaken(self, name: str) -> Damaged | Phantom:
        """What is under this id belongs to another."""
        publisher, number = name.partition("-")[0], number_of(name)
        plan, roll = self._recorder.plan, self._recorder.roll
        if number is None or not publisher.isdecimal() or int(publisher) >= plan.publishers:
            return Phantom()
        client = int(publisher)
        most = roll.next_number(client) - 1 if plan.is_mine(client) else roll.elsewhere.limit(client)
        return Damaged() if most is None or 1 <= number <= most else Phantom()

    def _delivery(self, header: Header, size_bytes: int, seq: int, name: str | None) -> Delivery | Phantom:
        recorder, plan = self._recorder, self._recorder.plan
        publisher, number = header.publisher, header.sequence
        if header.run != self._names.run or publisher >= plan.publishers:
            return Phantom()
        room, slot = plan.room_of(publisher), plan.slot_of(publisher)
        if plan.is_mine(publisher):
            known = 1 <= number <= recorder.roll.published_by[room][slot]
        elif not recorder.roll.members[room]:
            return Delivery(room, slot, number, None, seq, name)
        else:
            known = number >= 1 and recorder.sighted(
                publisher, number, size_bytes=size_bytes, intended_ns=header.intended_ns, sent_ns=header.sent_ns
            )
        row = recorder.broadcasts.row_of(publisher, number)
        return Delivery(room, slot, number, row, seq, name) if known else Phantom()
