"""A room on this node: its members, the newest part of its log, and what its members have not been sent yet.

Every change is one plain `def`, so joining and the replay that belongs to it are one step: no message can fall between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from scalechat.server.slow_consumer import DISCONNECT, Policy
from scalechat.wire.messages import Position, Publication

if TYPE_CHECKING:
    from scalechat.server.member import Member


PAUSED: Final = 2**63
"""The position of a paused member: it is above all others, so the sweeper has nothing for it."""


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A publication with what was made of it once for all members."""

    publication: Publication
    payload: bytes
    frame: bytes

    @property
    def seq(self) -> int:
        return self.publication.seq


@dataclass(frozen=True, slots=True)
class Replay:
    """What a member that joins is told of the past: payloads, oldest first, ending at the room's position."""

    payloads: list[bytes]
    recovered: bool


@dataclass(slots=True, eq=False)
class Room:
    """`recent` is bounded in messages and in bytes of payload, since more than a replay may hold need not be kept;
    `pending` by the sweeper, which empties it on its next pass."""

    name: str
    epoch: str
    seq: int
    history_messages: int
    history_bytes: int
    policy: Policy = DISCONNECT
    """What becomes of members that read too slowly."""
    recent: deque[Prepared] = field(default_factory=deque)
    recent_bytes: int = 0
    pending: list[Prepared] = field(default_factory=list)
    pending_since_s: float = 0.0
    members: dict[Member, int] = field(default_factory=dict)
    """Each member with the position it has got to: at first the end of its replay, then of what it was last given."""
    paused: dict[Member, int] = field(default_factory=dict)
    """Members that are sent nothing until they have read what waits, with the position they have got to."""
    watchers: set[Member] = field(default_factory=set)
    """Members that asked to be told who comes and goes."""

    def append(self, prepared: Prepared) -> None:
        """Take the next publication of the log."""
        self.seq = prepared.seq
        self.remember(prepared)
        if self.members:
            self.pending.append(prepared)

    def begin_anew(self, epoch: str, seq: int, log: Iterable[Prepared]) -> None:
        """The log is another one: nobody is a member of it yet, and nothing of the old one is sent any more."""
        self.epoch, self.seq = epoch, seq
        self.recent.clear()
        self.recent_bytes = 0
        self.pending.clear()
        for prepared in log:
            self.remember(prepared)

    def remember(self, prepared: Prepared) -> None:
        """Keep it for those who join later."""
        recent = self.recent
        recent.append(prepared)
        self.recent_bytes += len(prepared.payload)
        while len(recent) > self.history_messages or self.recent_bytes > self.history_bytes:
            self.recent_bytes -= len(recent.popleft().payload)

    def add(self, member: Member, *, watch: bool) -> None:
        """From here on `member` is sent everything after the room's position."""
        self.members[member] = self.seq
        self.paused.pop(member, None)
        if watch:
            self.watchers.add(member)
        else:
            self.watchers.discard(member)

    def remove(self, member: Member) -> None:
        """Nothing more goes to `member`; removing a stranger does nothing."""
        self.members.pop(member, None)
        self.paused.pop(member, None)
        self.watchers.discard(member)

    def pause(self, member: Member, after_seq: int) -> None:
        """From here on `member` is sent nothing; it has had everything up to `after_seq`."""
        self.members[member] = PAUSED
        self.paused[member] = after_seq

    def resume(self, member: Member) -> None:
        """A paused member has had everything there is: it is sent what comes after the room's position."""
        del self.paused[member]
        self.members[member] = self.seq

    def after(self, seq: int, count: int) -> Sequence[Prepared] | None:
        """The next `count` publications after `seq`, or all there are; None when the log no longer reaches back."""
        if not self._reaches(Position(self.epoch, seq)):
            return None
        skipped = seq + 1 - self.recent[0].seq if self.recent else 0
        return list(islice(self.recent, skipped, skipped + count))

    def replay(self, since: Position | None, history: int, budget_bytes: int) -> Replay:
        """Everything after `since` when the log still reaches back to it and it fits, else the newest `history`."""
        if since is not None and self._reaches(since):
            missed = [prepared.payload for prepared in self.recent if prepared.seq > since.seq]
            if sum(map(len, missed)) <= budget_bytes:
                return Replay(missed, recovered=True)
        return Replay(list(newest_within(reversed(self.recent), history, budget_bytes)), recovered=False)

    def _reaches(self, since: Position) -> bool:
        first = self.recent[0].seq if self.recent else self.seq + 1
        return since.epoch == self.epoch and first - 1 <= since.seq <= self.seq


def newest_within(newest_first: Iterable[Prepared], count: int, budget_bytes: int) -> Iterator[bytes]:
    """The newest payloads, oldest first, that are at most `count` and together at most `budget_bytes`."""
    chosen: list[bytes] = []
    for prepared in newest_first:
        budget_bytes -= len(prepared.payload)
        if len(chosen) == count or budget_bytes < 0:
            break
        chosen.append(prepared.payload)
    return reversed(chosen)
