"""What this node has read of each shard, and what an entry of its stream means for it: pure, no I/O.

Theory of operation. A shard's entries are numbered without holes within a generation. `Reading.take` compares each
entry with the last one and with what is known of its room. An entry that goes on from there is delivered; one that the
room's page held already is skipped; anything else means that entries are missing or that the log is another one, and
then the shard must be compared with Redis (`reader`) before reading goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from scalechat.bus.base import Event, LogReset, Page, PresenceChange
from scalechat.bus.redis.keys import Shard
from scalechat.wire.codec import decode_publication
from scalechat.wire.messages import Publication

StreamId: TypeAlias = tuple[int, int]


def parse_id(text: bytes) -> StreamId:
    """``b"1700000000000-3"`` as numbers, which compare as Redis does."""
    ms, _, number = text.partition(b"-")
    return int(ms), int(number)


@dataclass(slots=True)
class Followed:
    """A room that this node follows. While `pending` is a list its page has not come yet, and entries wait there."""

    epoch: str = ""
    seq: int = 0
    page_id: StreamId = (0, 0)
    """The shard's newest entry when the page was read: what is not after it was in the page."""
    pending: list[tuple[StreamId, str, Publication]] | None = field(default_factory=list)


class OutOfStep(Exception):
    """Entries are missing, or the log is another one."""


@dataclass(slots=True)
class Reading:
    """One shard as far as it was read: `id` is its last entry, empty until a first page says where to begin."""

    shard: Shard
    rooms: dict[str, Followed] = field(default_factory=dict)
    id: bytes = b""
    generation: str = ""
    number: int = 0
    begun: StreamId = (0, 0)
    """Where reading began: what is not after it is read by nobody."""

    def begin(self, id: bytes, generation: str, number: int) -> None:
        """Go on after the entry `id`, the shard's `number`th of `generation`."""
        self.id, self.generation, self.number, self.begun = id, generation, number, parse_id(id)

    def take(self, id: bytes, value: bytes) -> list[Event]:
        """The events of the next entry. Raises `OutOfStep`; the entry is then not taken."""
        kind, number_text, rest = value.split(b" ", 2)
        number = int(number_text)
        generation, _, rest = rest.partition(b" ")
        if number != self.number + 1 or generation.decode() != self.generation:
            raise OutOfStep
        events: list[Event] = []
        if kind == b"m":
            events = self._message(id, self.generation, rest)
        elif kind in (b"+", b"-"):
            room, _, client_id = rest.decode().partition(" ")
            followed = self.rooms.get(room)
            if followed is not None and followed.pending is None and parse_id(id) > followed.page_id:
                events = [PresenceChange(room, client_id, entered=kind == b"+")]
        self.number = number
        self.id = id
        return events

    def _message(self, id: bytes, generation: str, rest: bytes) -> list[Event]:
        epoch, room_name, payload = rest.split(b" ", 2)
        followed = self.rooms.get(room_name.decode())
        if followed is None:
            return []
        at = parse_id(id)
        publication = decode_publication(payload)
        if followed.pending is not None:
            followed.pending.append((at, generation + epoch.decode(), publication))
            return []
        if at <= followed.page_id:
            return []
        if publication.seq != followed.seq + 1 or generation + epoch.decode() != followed.epoch:
            raise OutOfStep
        followed.seq = publication.seq
        return [publication]


def begin(followed: Followed, page: Page, page_id: StreamId) -> list[Event]:
    """The page of a room has come: what of `pending` comes after it. Raises `OutOfStep`."""
    pending, followed.pending = followed.pending or [], None
    followed.epoch, followed.seq, followed.page_id = page.epoch, page.seq, page_id
    events: list[Event] = []
    for at, epoch, publication in pending:
        if at > page_id:
            if epoch != followed.epoch or publication.seq != followed.seq + 1:
                raise OutOfStep
            followed.seq = publication.seq
            events.append(publication)
    return events


def catch_up(room: str, followed: Followed, page: Page, page_id: StreamId) -> list[Event]:
    """A page read because something is missing: what it adds to what was delivered, or a new beginning."""
    missed = [publication for publication in page.publications if publication.seq > followed.seq]
    whole = page.epoch == followed.epoch and page.seq - followed.seq == len(missed)
    followed.epoch, followed.seq, followed.page_id = page.epoch, page.seq, page_id
    return list(missed) if whole else [LogReset(room, page)]
