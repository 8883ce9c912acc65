"""What may be said over ``/ws``: one struct per message, its JSON keys written beside its Python names.

Commands are what a client may ask (``codec.decode_command`` makes them); answers are what a server says back. A chat
message (`Publication`) has no ``type`` key, because both dialects receive the same bytes of it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

import msgspec

SUBPROTOCOL = "scalechat.v1"
DEFAULT_ROOM = "global"
MAX_NAME_CHARS = 64
MAX_ID_CHARS = 64
_INVISIBLE = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that show nothing (Default_Ignorable_Code_Point, Unicode Standard Annex 44): with them two names
could look the same."""
_ASCII_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,63}")


ErrorCode = Literal[
    "bad_json",
    "bad_message",
    "bad_name",
    "unknown_type",
    "not_a_member",
    "forbidden",
    "rate_limited",
    "busy",
    "not_found",
]
ERRORS: Final[dict[ErrorCode, str]] = {
    "bad_json": "not JSON, or nested too deeply",
    "bad_message": "a field is missing, of another type, too long or negative",
    "bad_name": "no name of a room or client",
    "unknown_type": "no command is called so",
    "not_a_member": "join the room first",
    "forbidden": "another clientId, a room that the token does not name, or too many rooms",
    "rate_limited": "more messages a second than one connection may send",
    "busy": "the bus is away, full or too far behind: send it again",
    "not_found": "a private message to a name that no connection has",
}
"""What an ``error`` answer's code means."""


class BadMessage(ValueError):
    """Their fault: what a peer sent cannot be understood or is not allowed.

    `code` is the machine-readable word of the ``error`` answer, `detail` one human line, `id` the request's own id when
    it could be read.
    """

    def __init__(self, code: ErrorCode, detail: str, id: str | None = None) -> None:
        super().__init__(detail)
        self.code: ErrorCode = code
        self.detail = detail
        self.id = id


def parse_name(text: str, what: str) -> str:
    """Return the NFC form of a room or client name, or raise `BadMessage` ``bad_name``.

    Visible letters, marks and digits of any script and ``-_.``: nothing that means something to Redis, a log line, a
    path or a metric label, which is why a name also may not begin with a dot.
    """
    if _ASCII_NAME.fullmatch(text):  # Nearly all, at a tenth of the price.
        return text
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise BadMessage("bad_name", f"{what} must have 1 to {MAX_NAME_CHARS} characters")
    strange = any(char not in "-_." and unicodedata.category(char)[0] not in "LMN" for char in name)
    if name[0] == "." or strange or _INVISIBLE.search(name):
        raise BadMessage("bad_name", f"{what} may hold letters, digits and -_. and not begin with a dot")
    return name


# --- chat messages -------------------------------------------------------------------------------------------------


class Publication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One chat message with its place in its room's log; every member receives the same bytes of it."""

    client_id: str = msgspec.field(name="clientId")
    text: str = msgspec.field(name="Message")
    room: str
    seq: int
    """Position in the room's log: 1, 2, 3… without holes."""
    ts_unix_ms: int = msgspec.field(name="ts")
    id: str | None = None
    """The sender's own id for it, when it gave one."""


class PlainMessage(msgspec.Struct, frozen=True):
    """What a plain client says: the two keys of the origin's protocol."""

    client_id: str = msgspec.field(name="clientId")
    text: str = msgspec.field(name="Message")


# --- commands, client → server -------------------------------------------------------------------------------------


class Position(msgspec.Struct, frozen=True):
    """A place in a room's log: `seq` counts within `epoch`, and a new epoch means the log began anew."""

    epoch: str
    seq: int


class Publish(msgspec.Struct, frozen=True, gc=False):
    text: str
    room: str | None = None
    client_id: str | None = None
    id: str | None = None


class SendDirect(msgspec.Struct, frozen=True, gc=False):
    to: str
    text: str
    id: str | None = None


class Join(msgspec.Struct, frozen=True, gc=False):
    room: str
    since: Position | None = None
    history: int = 0
    presence: bool = False
    id: str | None = None


class Leave(msgspec.Struct, frozen=True, gc=False):
    room: str
    id: str | None = None


class ReadHistory(msgspec.Struct, frozen=True, gc=False):
    room: str
    before: int | None = None
    limit: int = 50
    id: str | None = None


class ReadPresence(msgspec.Struct, frozen=True, gc=False):
    room: str
    id: str | None = None


Command = Publish | SendDirect | Join | Leave | ReadHistory | ReadPresence


# --- answers and notices, server → client --------------------------------------------------------------------------


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what a server says besides chat messages; `id` echoes the request's."""

    id: str | None = None


class Limits(msgspec.Struct, frozen=True):
    message_size_bytes: int
    message_rate_per_s: float
    """0 means no limit."""


class Welcome(Answer, tag="welcome", frozen=True, kw_only=True):
    client_id: str = msgspec.field(name="clientId")
    session: str
    protocol: str
    limits: Limits
    heartbeat_ms: int


class Ack(Answer, tag="ack", frozen=True, kw_only=True):
    """The message has its place in the room's log; a direct message has no `room` and no `seq`."""

    room: str | None = None
    seq: int | None = None


class Joined(Answer, tag="joined", frozen=True, kw_only=True):
    room: str
    epoch: str
    seq: int
    """The last position before live messages begin; `history` ends here."""
    members: int
    recovered: bool
    """True when `since` was given and everything after it is in `history`."""
    history: list[msgspec.Raw]


class Left(Answer, tag="left", frozen=True, kw_only=True):
    room: str


class History(Answer, tag="history", frozen=True, kw_only=True):
    room: str
    epoch: str
    messages: list[msgspec.Raw]


class PresenceMember(msgspec.Struct, frozen=True):
    client_id: str = msgspec.field(name="clientId")
    connections: int


class Presence(Answer, tag="presence", frozen=True, kw_only=True):
    room: str
    members: list[PresenceMember]
    count: int


class PresenceEvent(Answer, tag="presence_event", frozen=True, kw_only=True):
    room: str
    client_id: str = msgspec.field(name="clientId")
    event: str
    """``join`` or ``leave``."""


class PresenceCount(Answer, tag="presence_count", frozen=True, kw_only=True):
    """In place of single `PresenceEvent`s, where the room is large or many come and go at once."""

    room: str
    count: int


class DirectMessage(Answer, tag="direct", frozen=True, kw_only=True):
    """A private message as its two parties see it."""

    client_id: str = msgspec.field(name="clientId")
    to: str
    text: str = msgspec.field(name="Message")
    ts_unix_ms: int = msgspec.field(name="ts")


class ErrorAnswer(Answer, tag="error", frozen=True, kw_only=True):
    code: str  # One of `ERRORS`; a client must get along with those of newer servers.
    detail: str

    @classmethod
    def of(cls, code: ErrorCode, detail: str, id: str | None = None) -> ErrorAnswer:
        """What the server says, with a code that is known."""
        return cls(code=code, detail=detail, id=id)


class Reconnect(Answer, tag="reconnect", frozen=True, kw_only=True):
    after_ms: int
    reason: str


ServerSays = (
    Welcome
    | Ack
    | Joined
    | Left
    | History
    | Presence
    | PresenceEvent
    | PresenceCount
    | DirectMessage
    | ErrorAnswer
    | Reconnect
)


class PlainDirect(msgspec.Struct, frozen=True):
    """A private message in the plain dialect, which has no word for `to`."""

    client_id: str = msgspec.field(name="clientId")
    text: str = msgspec.field(name="Message")
    ts_unix_ms: int = msgspec.field(name="ts")
