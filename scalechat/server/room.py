"""A room on this node: its members, the newest part of its log, and what its members have not been sent yet.

Every change is one plain `def`, so joining and the replay that belongs to it are one step: no message can fall between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from scalechat.wire.messages import Position, Publication

if TYPE_CHECKING:
    from scalechat.server.member import Member


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
    recent: deque[Prepared] = field(default_factory=deque)
    recent_bytes: int = 0
    pending: list[Prepared] = field(default_factory=list)
    pending_since_s: float = 0.0
    members: dict[Member, int] = field(default_factory=dict)
    """Each member with the position after which messages are its own: what came before is in its replay."""
    watchers: set[Member] = field(default_factory=set)
    """Members that asked to be told who comes and goes."""

    def append(self, prepared: Prepared) -> None:
        """Take the next publication of the log."""
        self.seq = prepared.seq
        self.remember(prepared)
        if self.members:
            self.pending.append(prepared)

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
        if watch:
            self.watchers.add(member)
        else:
            self.watchers.discard(member)

    def remove(self, member: Member) -> None:
        """Nothing more goes to `member`; removing a stranger does nothing."""
        self.members.pop(member, None)
        self.watchers.discard(member)

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
