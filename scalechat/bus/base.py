"""The bus contract. One conformance suite (``tests/bus/contract.py``) runs over every implementation.

**Order.** The publications of a room have positions 1, 2, 3… without holes within one epoch, and every node is given
them in that order. A new epoch means that the log began anew (restart, eviction, flush): positions of another epoch say
nothing about this one.

**Acknowledgement.** When `publish` returns, the message has its position and is kept: by this process (memory) or by
the broker. When it raises or is cancelled, the message may or may not have been kept; publishing again with the same
client and id is safe.

**Once.** A (client, id) pair already in the room's dedupe window gets its first receipt again and is delivered to
nobody.

**Delivery.** `run` gives every event of the followed rooms to one plain function, in order, never twice, and never
concurrently. From the position that `follow` returns on, no publication of that room is missing until `unfollow`.

**Cancellation.** Every coroutine may be cancelled at every await and leaves the bus usable. A `follow` or `enter` that
raised or was cancelled has not happened. A call that needs no I/O may return without a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec
import trio

from scalechat.wire.messages import DirectMessage, Publication


class BusError(Exception):
    """The bus could not do it now; the same call may succeed later. The text is fit for a client's eyes."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Proof that a message has its place."""

    seq: int
    duplicate: bool
    """True when the same client had already published this id: nothing was added."""


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a room's log, oldest first. `seq` is the room's newest position at that moment (0: empty)."""

    epoch: str
    seq: int
    publications: Sequence[Publication]


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """A client's first connection entered a room, or its last one left it."""

    room: str
    client_id: str
    entered: bool


@dataclass(frozen=True, slots=True)
class RoomInfo:
    name: str
    seq: int
    clients: int


@dataclass(frozen=True, slots=True)
class DirectDelivery:
    """A private message for every connection of its addressee and of its sender, but for the one that sent it."""

    message: DirectMessage
    sender_session: str


@dataclass(frozen=True, slots=True)
class LogReset:
    """A followed room's log does not go on from what was delivered: it began anew, or a part of it is gone.

    Delivery goes on after `page`. Whoever was given publications must be told, since nothing fills the hole.
    """

    room: str
    page: Page


@dataclass(frozen=True, slots=True)
class Kick:
    """An operator ends the connection with this session id, wherever it is."""

    session_id: str


Event = Publication | DirectDelivery | PresenceChange | LogReset | Kick
Deliver = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """How a bus is doing."""

    up: bool = True
    reconnects: int = 0
    """Connections made again, since the start."""
    waiting_publishes: int = 0
    waiting_bytes: int = 0
    """Publishes that have no position yet."""
    lag_s: float = 0.0
    """From a publication's append to its delivery on this node, newest one; across machines their clocks are in it."""


class Bus(Protocol):
    """What the server needs of a bus; see the module's docstring for the promises."""

    async def run(self, deliver: Deliver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Give events to `deliver` until cancelled. `deliver` must not block and must not raise."""

    async def publish(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt:
        """Append a message to the room's log. Raises `BusError`."""

    async def send_direct(self, delivery: DirectDelivery) -> bool:
        """Hand a private message to every node; it is not kept. Raises `BusError`.

        False when the bus is sure that the addressee is on no other node; True when it is there or nobody knows.
        """

    async def kick(self, session_id: str) -> None:
        """Hand a `Kick` to every node. Raises `BusError`."""

    async def wait_caught_up(self) -> None:
        """Wait until whatever had its place before this call has been delivered here, as far as it is followed.

        Raises `BusError` when nobody can say.
        """

    async def follow(self, room: str) -> Page:
        """Begin delivery of the room and return the newest part of its log, all of it before the first delivery.

        Following a room twice is an error of ours.
        """

    def unfollow(self, room: str) -> None:
        """End delivery of the room on this node."""

    async def history(self, room: str, *, before: int | None = None, limit: int = 50) -> Page:
        """The newest `limit` messages, or those just below position `before`."""

    async def enter(self, room: str, client_id: str) -> None:
        """One more connection of `client_id` is in the room."""

    def exit(self, room: str, client_id: str) -> None:
        """One connection fewer. Never waits: it runs while connections die."""

    async def presence(self, room: str) -> dict[str, int]:
        """Connections per client in the room, over all nodes."""

    async def population(self, room: str) -> int:
        """How many clients are in the room: `presence` without the list."""

    async def rooms(self) -> list[RoomInfo]:
        """Every room with members or messages, by name."""

    @property
    def not_ready(self) -> str | None:
        """Why clients should not be sent to this node now, or None."""

    def statistics(self) -> BusStatistics:
        """How it is doing now."""

    @property
    def spans_nodes(self) -> bool:
        """Whether other nodes may take part: then what this node does not have may still exist."""


@runtime_checkable
class ImmediateBus(Protocol):
    """A bus whose publish needs no I/O may be one of these as well: no task has to wait for it then."""

    def publish_nowait(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt:
        """See `Bus.publish`."""
