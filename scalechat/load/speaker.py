"""What one simulated client says: its messages, published when they are due, or when it is back.

While it is away they wait, as they do in a person's client; their latency counts from when they were due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from scalechat.load import payload
from scalechat.load.inbox import Inbox
from scalechat.load.surroundings import Surroundings

MAX_WAITING: Final = 64
"""Messages that wait for a client to be back: as many as a person's client keeps (`scalechat.client.keeper`)."""


class Owner(Protocol):
    """The client that speaks."""

    @property
    def is_open(self) -> bool:
        """Whether it is in its room now."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether it will be again."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Sees its messages come back."""
        ...

    def send(self, payload: bytes) -> bool:
        """Put it on the connection; whether that took it. It is open."""
        ...


class Speaker:
    """The outgoing side of client `number`. All times are of the run's clock."""

    __slots__ = ("_asked", "_frame", "_number", "_owner", "_waiting", "_world")

    def __init__(self, number: int, world: Surroundings, owner: Owner) -> None:
        self._number = number
        self._world = world
        self._owner = owner
        self._frame = world.dialect.publish(world.names, number, world.names.room(world.recorder.plan.room_of(number)))
        self._waiting: list[tuple[int, int | None]] | None = None
        """(bytes, intended time) of what is due while it is away."""
        self._asked: tuple[int, Callable[[int], None]] | None = None
        """In a closed loop: its last message, and who is told of the answer."""

    def publish(self, size_bytes: int, intended_ns: int) -> None:
        """Publish the next message; while it is away, keep it until it is back."""
        if self._owner.is_open:
            self._say(self._next_number(), size_bytes, intended_ns, due_ns=intended_ns)
        elif self._owner.is_away:
            if self._waiting is None:
                self._waiting = []
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append((size_bytes, intended_ns))

    def ask(self, size_bytes: int, due_ns: int, answered: Callable[[int], None]) -> bool:
        """Publish the next message in a closed loop, now or when it is back; False when it is gone for good.

        `answered` is told the client's number when the answer is there.
        """
        is_open = self._owner.is_open
        if not is_open and not self._owner.is_away:
            return False
        number = self._next_number()
        self._asked = number, answered
        if not self._world.dialect.acknowledges:
            self._owner.inbox.awaited = number
        if is_open:
            self._say(number, size_bytes, None, due_ns=due_ns)
        else:
            self._waiting = [(size_bytes, None)]  # What was asked before and never said is given up.
        return True

    def answered(self, number: int) -> None:
        """Message `number` has its answer."""
        if self._asked is not None and self._asked[0] == number:
            _number, answered = self._asked
            self._asked = None
            answered(self._number)

    def catch_up(self) -> None:
        """It is back: say what has waited, unless that is too late."""
        waiting, self._waiting = self._waiting, None
        if self._world.recorder.is_silent:
            return
        for size_bytes, intended_ns in waiting or ():
            self._say(self._next_number(), size_bytes, intended_ns, due_ns=None)

    def _next_number(self) -> int:
        return self._world.recorder.roll.next_number(self._number)

    def _say(self, number: int, size_bytes: int, intended_ns: int | None, *, due_ns: int | None) -> None:
        """Without an intended time it is the one of the sending."""
        world = self._world
        sent_ns = world.clock()
        intended_ns = sent_ns if intended_ns is None else intended_ns
        header = payload.Header(
            world.names.run, self._number, number, intended_ns, sent_ns, sent_ns + world.unix_offset_ns
        )
        text = payload.encode(header, size_bytes)
        if self._owner.send(self._frame(text, number)):
            world.recorder.published(
                self._number, size_bytes=size_bytes, intended_ns=intended_ns, sent_ns=sent_ns, due_ns=due_ns
            )
            world.decoder.expect(text, self._number, number)
        else:
            world.error("send_refused", "the server does not read, or the connection is going")
