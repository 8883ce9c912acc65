"""What becomes of a member that reads more slowly than its room speaks: one small class per policy, and which applies.

Theory of operation: a policy is asked only when the socket has not taken everything and the queue of that member is in
question; a member that keeps up never meets it. It decides from four facts and changes nothing itself: `Queue.admit`
(``waiting.py``) carries out what concerns frames, the sweeper what concerns the member.

Two kinds of policy. `Disconnect` and `Pause` queue batches as they are, and what is queued will be sent. `DropOldest`,
`DropNewest` and `Latest` have messages that may still be dropped while they wait; a client sees the gap by `seq`.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

Gives = Literal["oldest", "newest", "nothing"]


class Arrival(NamedTuple):
    """Messages of one room that the socket of one member has not taken."""

    frames: int
    fits: bool
    """Within the limits of the queue as it is now."""
    own: int
    """Messages of this room that wait and may be dropped."""
    others: int
    """Messages of the member's other rooms that may be dropped for it."""


class Verdict(enum.Enum):
    """The next thing to do. After those that drop, the policy is asked again: what remains may fit."""

    QUEUE = enum.auto()
    """Queue what arrives. Only where it fits."""
    DROP_OLDEST = enum.auto()
    """Drop the oldest waiting of this room, one after the other, until what arrives fits."""
    DROP_ALL = enum.auto()
    """Drop everything waiting of this room."""
    SKIP_FIRST = enum.auto()
    """Drop the first of what arrives."""
    SKIP_LAST = enum.auto()
    """Drop the last of what arrives."""
    MAKE_ROOM = enum.auto()
    """Drop what other rooms give, until what arrives fits."""
    PAUSE = enum.auto()
    """Queue nothing of this room for this member until it has read what it has."""
    EVICT = enum.auto()
    """End the member: nothing of what arrives may be lost silently."""


REFUSED: Final = Arrival(frames=1, fits=False, own=0, others=0)
"""It does not fit, and there is nothing to drop for it."""


class Policy(Protocol):
    """Stateless. `drops` tells the two kinds apart."""

    name: str
    drops: bool
    gives: Gives
    """Which of its waiting messages goes first when they are too old, or another room or an answer needs the place."""

    def decide(self, arrival: Arrival) -> Verdict:
        """The next thing to do about `arrival`; every verdict that drops has something to drop."""


class Disconnect:
    """End the member with 4008: it comes back and resumes, and nothing is lost without both sides knowing."""

    name = "disconnect"
    drops = False
    gives: Gives = "nothing"

    def decide(self, arrival: Arrival) -> Verdict:
        return Verdict.QUEUE if arrival.fits else Verdict.EVICT


class Pause:
    """Stop queuing until the queue is empty, then send what was missed from the room's log: late, but everything."""

    name = "pause"
    drops = False
    gives: Gives = "nothing"

    def decide(self, arrival: Arrival) -> Verdict:
        return Verdict.QUEUE if arrival.fits else Verdict.PAUSE


class DropOldest:
    """Keep the newest messages that fit: for streams where the present matters."""

    name = "drop_oldest"
    drops = True
    gives: Gives = "oldest"

    def decide(self, arrival: Arrival) -> Verdict:
        if arrival.fits:
            return Verdict.QUEUE
        if arrival.own:
            return Verdict.DROP_OLDEST
        if arrival.frames == 1 and arrival.others:
            return Verdict.MAKE_ROOM
        return Verdict.SKIP_FIRST


class DropNewest:
    """Keep the oldest messages, and in order: for streams where the beginning matters."""

    name = "drop_newest"
    drops = True
    gives: Gives = "newest"

    def decide(self, arrival: Arrival) -> Verdict:
        return Verdict.QUEUE if arrival.fits else Verdict.SKIP_LAST


class Latest:
    """Keep one message, the newest: for rooms where each message replaces the one before it, as a price does.

    That one is never dropped but for a newer one: where it does not fit, the member is ended.
    """

    name = "latest"
    drops = True
    gives: Gives = "nothing"

    def decide(self, arrival: Arrival) -> Verdict:
        if arrival.own:
            return Verdict.DROP_ALL
        if arrival.frames > 1:
            return Verdict.SKIP_FIRST
        if arrival.fits:
            return Verdict.QUEUE
        return Verdict.MAKE_ROOM if arrival.others else Verdict.EVICT


PAUSE_REPLAYS: Final = 16
"""How much more of its log a room remembers whose members may be paused, in bytes: it goes out in pieces, so it may be
longer than one answer. 8 MiB with the default queue."""


def pauses(policy: Policy) -> bool:
    """Whether members that are over their limits get the rest from the log."""
    return policy.decide(REFUSED) is Verdict.PAUSE


@dataclass(frozen=True, slots=True)
class Spare:
    """A batch of one room whose messages may be dropped while they wait."""

    room: str
    policy: Policy
    frames: Sequence[bytes]


DISCONNECT: Final = Disconnect()
POLICIES: Final[dict[str, Policy]] = {
    policy.name: policy for policy in (DISCONNECT, DropOldest(), DropNewest(), Latest(), Pause())
}
DROPPING: Final = tuple(policy.name for policy in POLICIES.values() if policy.drops)
"""Label values of the metric that counts what was dropped."""


class RoomPolicies:
    """Which room has which policy. `rules` are ``ROOM=POLICY``, already checked; the first that matches wins.

    A trailing ``*`` stands for any rest. Names are compared in their normal form, as rooms have it.
    """

    def __init__(self, default: str = DISCONNECT.name, rules: Iterable[str] = ()) -> None:
        self._default = POLICIES[default]
        self._rules = [
            (unicodedata.normalize("NFC", pattern), POLICIES[policy])
            for pattern, _, policy in (rule.rpartition("=") for rule in rules)
        ]

    def of(self, room: str) -> Policy:
        for pattern, policy in self._rules:
            if room.startswith(pattern[:-1]) if pattern.endswith("*") else room == pattern:
                return policy
        return self._default
