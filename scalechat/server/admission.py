"""Who may come in: limits, origin, names and token, decided from the request alone. And how fast one may then speak.

Pure but for the two counts it keeps (connections, and connections per address): no I/O, no clock of its own.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import jwt

from scalechat.wire import closing
from scalechat.wire.messages import DEFAULT_ROOM, SUBPROTOCOL, BadMessage, Position, parse_name
from scalechat.wire.session import Dialect

REFUSALS: Final = (
    "no_request",
    "bad_request",
    "bad_name",
    "bad_token",
    "origin",
    "subprotocol",
    "max_connections",
    "max_connections_per_address",
    "forbidden_room",
    "handshake_timeout",
    "wrong_path",
    "draining",
    "no_descriptor",
)
"""Every reason to be refused: the values of the metric's label."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the handshake with this status; nothing of the connection remains."""

    reason: str
    status: HTTPStatus
    detail: str


@dataclass(frozen=True, slots=True)
class AcceptAndClose:
    """Accept, then close with a code: the only way to tell a browser's WebSocket *why* it may not stay."""

    reason: str
    closing: closing.Closing
    dialect: Dialect
    retry_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Admit:
    """Come in. `client_id` None: a plain client that will name itself; `room` empty: in no room at first."""

    dialect: Dialect
    client_id: str | None
    room: str
    since: Position | None
    history: int
    watch: bool
    allowed_rooms: frozenset[str] | None
    token_expires_unix_s: float | None


Decision = Admit | AcceptAndClose | Refuse


@dataclass(frozen=True, slots=True)
class Handshake:
    """The parts of an upgrade request that admission looks at. Header names are lower case."""

    target: str
    headers: Mapping[str, str]
    subprotocols: tuple[str, ...]
    address: str


class Admission:
    """`max_connections` and `max_connections_per_address` 0 mean no limit; so many HTTP connections count as well."""

    def __init__(
        self,
        *,
        max_connections: int,
        max_connections_per_address: int,
        origins: tuple[str, ...],
        token_secret: str | None,
        max_history: int,
    ) -> None:
        self.max_connections = max_connections
        self._max_per_address = max_connections_per_address
        self._origins = frozenset(origins)
        self._token_secret = token_secret
        self._max_history = max_history
        self._per_address: Counter[str] = Counter()
        self.connections = 0
        self.draining = False

    # --- counting ---------------------------------------------------------------------------------------------------

    def enter(self, address: str) -> None:
        self.connections += 1
        if self._max_per_address:
            self._per_address[address] += 1

    def leave(self, address: str) -> None:
        self.connections -= 1
        if self._max_per_address:
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    def over_limit(self, address: str) -> str | None:
        """The reason why a connection already counted by `enter` is one too many; None when it is not."""
        if self.max_connections and self.connections > self.max_connections:
            return "max_connections"
        if self._max_per_address and self._per_address[address] > self._max_per_address:
            return "max_connections_per_address"
        return None

    # --- deciding ---------------------------------------------------------------------------------------------------

    def decide(self, handshake: Handshake) -> Decision:
        """Decide about one WebSocket handshake."""
        if self.draining:
            return Refuse("draining", HTTPStatus.SERVICE_UNAVAILABLE, "the server is draining")
        if not self._origin_allowed(handshake.headers):
            return Refuse("origin", HTTPStatus.FORBIDDEN, "this Origin is not allowed; see --origins")
        if handshake.subprotocols and SUBPROTOCOL not in handshake.subprotocols:
            return Refuse("subprotocol", HTTPStatus.BAD_REQUEST, f"the only subprotocol is {SUBPROTOCOL}")
        dialect = Dialect.V1 if handshake.subprotocols else Dialect.PLAIN
        query = dict(parse_qsl(urlsplit(handshake.target).query, keep_blank_values=True))
        try:
            return self._decide_query(query, dialect, handshake.address)
        except BadMessage as bad:
            return Refuse("bad_name", HTTPStatus.BAD_REQUEST, bad.detail)
        except OverflowError:
            return Refuse("bad_token", HTTPStatus.UNAUTHORIZED, "a valid token is needed (exp is no time)")
        except ValueError:
            return Refuse("bad_request", HTTPStatus.BAD_REQUEST, "history, since_seq and presence are whole numbers")
        except jwt.InvalidTokenError as exc:
            # The class name, not the text: no part of a token may reach a log or an answer.
            return Refuse("bad_token", HTTPStatus.UNAUTHORIZED, f"a valid token is needed ({type(exc).__name__})")

    def _decide_query(self, query: Mapping[str, str], dialect: Dialect, address: str) -> Decision:
        bearer = _NOBODY if self._token_secret is None else _read_token(query.get("token", ""), self._token_secret)
        client_id = parse_name(query["clientId"], "clientId") if query.get("clientId") else bearer.client_id
        if bearer.client_id not in (None, client_id):
            raise jwt.InvalidTokenError
        room = query.get("room", DEFAULT_ROOM)
        if room or dialect is Dialect.PLAIN:
            room = parse_name(room, "room")
        since = Position(query["since_epoch"], int(query.get("since_seq", ""))) if "since_epoch" in query else None
        history = min(max(0, int(query.get("history", "0"))), self._max_history)
        watch = bool(int(query.get("presence", "0")))
        if reason := self.over_limit(address):
            return AcceptAndClose(reason, closing.TOO_MANY, dialect, RETRY_AFTER_MS)
        if room and bearer.rooms is not None and room not in bearer.rooms:
            return AcceptAndClose("forbidden_room", closing.FORBIDDEN_ROOM, dialect, None)
        return Admit(dialect, client_id, room, since, history, watch, bearer.rooms, bearer.expires_unix_s)

    def _origin_allowed(self, headers: Mapping[str, str]) -> bool:
        """Same origin, loopback and those listed; a program that is no browser sends none and is not the danger
        here."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            return False
        return parts.netloc.lower() == headers.get("host", "").lower() or is_loopback(parts.hostname)


@dataclass(frozen=True, slots=True)
class _Bearer:
    """What a valid token says of the one who brings it. `rooms` None means every room."""

    client_id: str | None
    rooms: frozenset[str] | None
    expires_unix_s: float | None


_NOBODY: Final = _Bearer(None, None, None)


def _read_token(token: str, secret: str) -> _Bearer:
    """Raises `jwt.InvalidTokenError`, `BadMessage` for a `sub` that is no name, OverflowError for an absurd `exp`."""
    claims = jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["sub"]})
    if not isinstance(claims.get("rooms", []), list):
        raise jwt.InvalidTokenError
    return _Bearer(
        parse_name(claims["sub"], "sub"),
        # Compared with names in their normal form, so brought into it; one that is no name just never matches.
        frozenset(unicodedata.normalize("NFC", str(room)) for room in claims["rooms"]) if "rooms" in claims else None,
        float(claims["exp"]) if "exp" in claims else None,  # PyJWT also lets digits in quotes pass.
    )


RETRY_AFTER_MS: Final = 5000
"""When those turned away for want of room are asked to come back: long against a handshake, short for a person."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class TokenBucket:
    """How fast one connection may speak: `rate_per_s` on average, twice that at once.

    Debt is counted too: whoever goes on at full speed while being refused runs up a second burst of debt, and is cut.
    """

    __slots__ = ("_at_s", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._tokens = 2 * rate_per_s + 1
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Spend one token; False when there is none, which adds to the debt."""
        burst = 2 * self._rate_per_s + 1
        self._tokens = min(burst, self._tokens + (now_s - self._at_s) * self._rate_per_s) - 1
        self._at_s = now_s
        return self._tokens >= 0

    @property
    def hopeless(self) -> bool:
        """Whether the debt is as large as a full burst."""
        return self._tokens < -(2 * self._rate_per_s + 1)
