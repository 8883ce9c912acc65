"""How a target is spoken to: the address of a room, how a message is published, what the server's frames mean.

`Plain` is the two-key JSON that any broadcast server can speak; `ScaleChatV1` adds acknowledgements and positions;
`template.ByTemplate` is whatever a scenario file describes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from scalechat.client.shared_reader import SharedReader
from scalechat.config import LoadConfig
from scalechat.tables import PLACEHOLDER
from scalechat.wire.codec import decode_plain, decode_server_text
from scalechat.wire.messages import SUBPROTOCOL, PlainMessage, Publication, ServerSays

Publish = Callable[[bytes, int], bytes]
"""(text of a message, the publisher's number for it) → the frame's payload."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entered:
    """The client is a member of its room."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The client's message `number` was taken."""

    number: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The server complains; about what exactly is for a person to read."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Has to be answered by `text`, in which every client puts its own names."""

    text: bytes

    def of(self, names: Names, client: int, room: str) -> bytes:
        """What this client answers."""
        return filled(self.text.decode(), names.about(client, room)).encode()


@dataclass(frozen=True, slots=True)
class Nothing:
    """A frame that is known and tells nothing."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame that nobody described."""


UNKNOWN: Final = Unknown()
Says = Entered | Acknowledged | Refused | Reply | Nothing | Unknown
"""What is no message, in a language that is not ours."""


class Dialect(Protocol):
    """The language of a target."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the handshake asks for, and must get one of."""
        ...

    @property
    def binary(self) -> bool:
        """Whether frames are binary ones; else they are text."""
        ...

    @property
    def heartbeat(self) -> tuple[int, Reply] | None:
        """What clients have to say every so many seconds; None where nothing is asked of them."""
        ...

    @property
    def acknowledges(self) -> bool:
        """Whether each message is answered."""
        ...

    @property
    def confirms(self) -> bool:
        """Whether the server says when a client is in its room; else it is when the last `hello` is sent."""
        ...

    def resource(self, names: Names, client: int, room: str) -> str:
        """Path and query the client asks for."""
        ...

    def extra_headers(self, names: Names, client: int, room: str) -> list[tuple[bytes, bytes]]:
        """What else the handshake says."""
        ...

    def hello(self, names: Names, client: int, room: str) -> list[bytes]:
        """Frames to send as soon as the WebSocket is open."""
        ...

    def publish(self, names: Names, client: int, room: str) -> Publish:
        """How the client publishes. Texts are ASCII without anything JSON escapes."""
        ...

    def reader(self, decode: Callable[[Sequence[bytes]], T], shared: SharedReader[T]) -> SharedReader[T]:
        """What reads one connection: `shared`, unless frames are no borders of what they carry."""
        ...

    def read(self, payload: bytes) -> PlainMessage | Publication | ServerSays | Says:
        """What a frame of the server says. Raises `BadMessage`."""
        ...


class _OfOurs:
    """What `Plain` and `ScaleChatV1` have in common: room, name and token are in the URL, and a frame is a message."""

    __slots__ = ()

    binary = False
    heartbeat = None

    def resource(self, names: Names, client: int, room: str) -> str:
        """See `Dialect`."""
        return names.resource(client, room)

    def extra_headers(self, names: Names, client: int, room: str) -> list[tuple[bytes, bytes]]:  # noqa: ARG002
        """See `Dialect`."""
        return []

    def hello(self, names: Names, client: int, room: str) -> list[bytes]:  # noqa: ARG002
        """See `Dialect`."""
        return []

    def reader(self, decode: Callable[[Sequence[bytes]], T], shared: SharedReader[T]) -> SharedReader[T]:  # noqa: ARG002
        """See `Dialect`."""
        return shared


@dataclass(frozen=True, slots=True)
class Plain(_OfOurs):
    """``{"clientId": …, "Message": …}`` both ways; a member has joined when the handshake is complete."""

    subprotocols: tuple[str, ...] = ()
    acknowledges: bool = False
    confirms: bool = False

    def publish(self, names: Names, client: int, room: str) -> Publish:  # noqa: ARG002 - the room is in the URL
        """See `Dialect`."""
        head = msgspec.json.encode({"clientId": names.client_id(client)})[:-1] + b',"Message":"'
        return lambda text, _number: head + text + b'"}'

    def read(self, payload: bytes) -> PlainMessage | Publication | ServerSays:
        """See `Dialect`."""
        return decode_plain(payload)


@dataclass(frozen=True, slots=True)
class ScaleChatV1(_OfOurs):
    """Messages carry an id of ours and are acknowledged; a member has joined when ``joined`` was read."""

    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)
    acknowledges: bool = True
    confirms: bool = True

    def publish(self, names: Names, client: int, room: str) -> Publish:  # noqa: ARG002 - the connection vouches for it
        """See `Dialect`. The client's number is in the id, because connections with one token share a clientId."""
        head = msgspec.json.encode({"type": "message", "room": room})[:-1] + b',"Message":"'
        middle = b'","id":"%d-' % client
        return lambda text, number: head + text + middle + b"%d" % number + b'"}'

    def read(self, payload: bytes) -> PlainMessage | Publication | ServerSays:
        """See `Dialect`."""
        return decode_server_text(payload)


def id_of(client: int, number: int) -> str:
    """What `ScaleChatV1` calls the client's message."""
    return f"{client}-{number}"


def number_of(message_id: str | None) -> int | None:
    """The publisher's number in an id of ours; None for any other id."""
    _client, _dash, number = (message_id or "").partition("-")
    return int(number) if number.isascii() and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Names:
    """What clients and rooms of one run are called; two runs never meet, whatever seeds they have."""

    run: int
    """32 random bits; also in each message's header."""
    path: str
    token: str | None = None
    subject: str | None = None
    """Whom the token speaks for: then every client has this clientId."""
    prefix: str = field(init=False)
    """How each name of the run begins."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", f"load-{self.run:08x}-")

    @classmethod
    def of(cls, config: LoadConfig, run: int) -> Names:
        """The names for a configuration."""
        address = config.server_url.partition("://")[2]
        _host, slash, path = address.partition("/")
        return cls(run, slash + path or "/", config.token, None if config.token is None else _subject(config.token))

    def member(self, client: int) -> str:
        """The client's own name, whatever it is called on the server."""
        return f"{self.prefix}c{client}"

    def client_id(self, client: int) -> str:
        """Its name on the server: its own, or with a token the token's subject."""
        return self.subject or self.member(client)

    def room(self, room: int) -> str:
        """The room's name."""
        return f"{self.prefix}r{room}"

    def about(self, client: int, room: str) -> dict[str, str]:
        """What may stand in the texts of a template."""
        return {"room": room, "client_id": self.client_id(client), "client": str(client), "token": self.token or ""}

    def resource(self, client: int, room: str) -> str:
        """Path and query the client asks for; parameters of the configured URL stay, but for these three."""
        path, _, query = self.path.partition("#")[0].partition("?")
        ours = {"clientId": None if self.subject else self.client_id(client), "room": room, "token": self.token}
        kept = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key not in ours]
        given = [(key, value) for key, value in ours.items() if value is not None]
        return f"{path}?{urlencode(kept + given, quote_via=quote)}"


def filled(text: str, facts: Mapping[str, str]) -> str:
    """The text with what is known in place of its placeholders; braces around anything else stay."""
    return PLACEHOLDER.sub(lambda found: facts.get(found[1], found[0]), text)


def _subject(token: str) -> str | None:
    """The `sub` of a JWT. Not verified: that is the server's business, we only speak under the name it will expect."""
    try:
        body = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, binascii.Error, msgspec.DecodeError):
        return None
    return str(claims["sub"]) if isinstance(claims, dict) and "sub" in claims else None
