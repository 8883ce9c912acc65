"""One connection's conversation with the server, as a transition table. Sans-IO.

Theory of operation: a `Session` is in one phase. What the client sends is decoded by its dialect into a command;
``_RULES[phase][kind of command]`` names the rule that turns it into one `Effect`: what the caller is to do. An
anonymous client speaks the plain dialect, whose one command is to publish. The session remembers who speaks, the rooms
joined and how often the client was wrong lately; it never performs anything, so every rule is tested without a socket.

    ANONYMOUS   plain client that has not said its name yet; its first message names it
    SPEAKING    the speaker is known and does not change any more
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from scalechat.wire import closing
from scalechat.wire.codec import decode_command, decode_plain
from scalechat.wire.messages import (
    BadMessage,
    Command,
    ErrorAnswer,
    Join,
    Leave,
    Position,
    Publish,
    ReadHistory,
    ReadPresence,
    SendDirect,
    parse_name,
)

MAX_ROOMS = 64
"""Rooms one connection may be in: memory per connection stays bounded, and a person reads fewer."""
BAD_MESSAGES = 3
BAD_MESSAGES_WITHIN_S = 10.0
"""So many bad messages in so many seconds end the connection with 1008."""


class Dialect(enum.Enum):
    """How a connection speaks; chosen by ``Sec-WebSocket-Protocol``. The value is the metric label."""

    PLAIN = "plain"
    V1 = "v1"


class Phase(enum.Enum):
    ANONYMOUS = enum.auto()
    SPEAKING = enum.auto()


# --- effects: what the caller is to do ------------------------------------------------------------------------------


class _Effect(msgspec.Struct, frozen=True):
    """Made once a message: a msgspec struct takes 0.06 µs to make, a frozen dataclass 1.3. None refers to itself."""


class PublishIn(_Effect, frozen=True, gc=False):
    """Give the message its place in the room's log; answer ``ack`` when `id` is set."""

    room: str
    client_id: str
    text: str
    id: str | None
    named: bool = False
    """True when this message told us who the speaker is: the caller enters it in the room's presence first."""


class DeliverDirect(_Effect, frozen=True, gc=False):
    client_id: str
    to: str
    text: str
    id: str | None


class JoinRoom(_Effect, frozen=True, gc=False):
    room: str
    since: Position | None
    history: int
    presence: bool
    id: str | None


class LeaveRoom(_Effect, frozen=True, gc=False):
    room: str
    id: str | None


class AnswerHistory(_Effect, frozen=True, gc=False):
    room: str
    before: int | None
    limit: int
    id: str | None


class AnswerPresence(_Effect, frozen=True, gc=False):
    room: str
    id: str | None


class SayError(_Effect, frozen=True, gc=False):
    """Tell the client what was wrong; nothing else happened."""

    answer: ErrorAnswer


class End(_Effect, frozen=True, gc=False):
    """Close the connection."""

    closing: closing.Closing
    detail: str = ""


Effect = PublishIn | DeliverDirect | JoinRoom | LeaveRoom | AnswerHistory | AnswerPresence | SayError | End


class Session:
    """The state of one conversation.

    `client_id` None means a plain client that has not named itself. `allowed_rooms` None means every room.
    """

    __slots__ = ("_allowed_rooms", "_bad_at_s", "client_id", "dialect", "phase", "plain_room", "rooms")

    def __init__(
        self,
        dialect: Dialect,
        *,
        client_id: str | None,
        plain_room: str = "",
        allowed_rooms: frozenset[str] | None = None,
    ) -> None:
        self.dialect = dialect
        self.client_id = client_id
        self.plain_room = plain_room  # Where a message without a room goes: the room named in the URL.
        self.rooms: set[str] = set()
        self.phase = Phase.ANONYMOUS if client_id is None else Phase.SPEAKING
        self._allowed_rooms = allowed_rooms
        self._bad_at_s: deque[float] | None = None  # Made for those who err: most clients never do.

    def may_enter(self, room: str) -> bool:
        """Whether this connection's token lets it into `room`."""
        return self._allowed_rooms is None or room in self._allowed_rooms

    def receive(self, payload: bytes, now_s: float) -> Effect:
        """Decide what one text message (valid UTF-8) leads to; `now_s` from any monotonic clock."""
        try:
            command: Command
            if self.dialect is Dialect.V1:
                command = decode_command(payload)
            else:
                said = decode_plain(payload)
                command = Publish(said.text, None, said.client_id)
            return _RULES[self.phase][type(command)](self, command)
        except BadMessage as bad:
            return self.blame(bad, now_s)

    def blame(self, bad: BadMessage, now_s: float) -> Effect:
        """Decide about a bad message: an ``error`` answer, or the end for one who keeps sending them.

        A plain client has no error answers in its dialect, so its connection ends with the reason in the Close frame.
        """
        if self.dialect is Dialect.PLAIN:
            return End(closing.POLICY, bad.detail)
        if self._bad_at_s is None:
            self._bad_at_s = deque(maxlen=BAD_MESSAGES)
        self._bad_at_s.append(now_s)
        if len(self._bad_at_s) == BAD_MESSAGES and now_s - self._bad_at_s[0] < BAD_MESSAGES_WITHIN_S:
            return End(closing.POLICY, f"{BAD_MESSAGES} bad messages within {BAD_MESSAGES_WITHIN_S:.0f} s")
        return SayError(ErrorAnswer.of(bad.code, bad.detail, bad.id))

    # --- rules ------------------------------------------------------------------------------------------------------

    def _name_and_publish(self, command: Publish) -> Effect:
        self.client_id = parse_name(command.client_id or "", "clientId")
        self.phase = Phase.SPEAKING
        return PublishIn(self.plain_room, self.client_id, command.text, None, named=True)

    def _publish(self, command: Publish) -> Effect:
        assert self.client_id is not None
        claimed = command.client_id
        if claimed is not None and claimed != self.client_id and parse_name(claimed, "clientId") != self.client_id:
            raise BadMessage("forbidden", "this connection speaks under another clientId", command.id)
        room = command.room or self.plain_room
        if room not in self.rooms:
            raise BadMessage("not_a_member", "join the room first", command.id)
        return PublishIn(room, self.client_id, command.text, command.id)

    def _direct(self, command: SendDirect) -> Effect:
        assert self.client_id is not None
        return DeliverDirect(self.client_id, command.to, command.text, command.id)

    def _join(self, command: Join) -> Effect:
        self._check_entry(command.room, command.id)
        if command.room not in self.rooms and len(self.rooms) >= MAX_ROOMS:
            raise BadMessage("forbidden", f"a connection may be in {MAX_ROOMS} rooms", command.id)
        return JoinRoom(command.room, command.since, command.history, command.presence, command.id)

    def _leave(self, command: Leave) -> Effect:
        if command.room not in self.rooms:
            raise BadMessage("not_a_member", "not in that room", command.id)
        return LeaveRoom(command.room, command.id)

    def _read_history(self, command: ReadHistory) -> Effect:
        self._check_entry(command.room, command.id)
        return AnswerHistory(command.room, command.before, command.limit, command.id)

    def _read_presence(self, command: ReadPresence) -> Effect:
        self._check_entry(command.room, command.id)
        return AnswerPresence(command.room, command.id)

    def _check_entry(self, room: str, id: str | None) -> None:
        if not self.may_enter(room):
            raise BadMessage("forbidden", "your token does not name that room", id)


_Rule = Callable[[Session, Command], Effect]
_C = TypeVar("_C", bound=Command)


def _on(kind: type[_C], rule: Callable[[Session, _C], Effect]) -> tuple[type[object], _Rule]:
    def apply(session: Session, command: Command) -> Effect:
        assert isinstance(command, kind)
        return rule(session, command)

    return kind, apply


_RULES: Final[dict[Phase, dict[type[object], _Rule]]] = {
    Phase.ANONYMOUS: dict([_on(Publish, Session._name_and_publish)]),
    Phase.SPEAKING: dict(
        [
            _on(Publish, Session._publish),
            _on(SendDirect, Session._direct),
            _on(Join, Session._join),
            _on(Leave, Session._leave),
            _on(ReadHistory, Session._read_history),
            _on(ReadPresence, Session._read_presence),
        ]
    ),
}
