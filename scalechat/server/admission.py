"""Who may come in: limits, origin, names and token, decided from the request alone. And how fast one may then speak.

Pure but for the two counts it keeps (connections, and connections per address): no I/O, no clock of its own.
"""

from __future__ import annotations

import ipaddress
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
        allowed_rooms: frozenset[str] | None = None
        expires: float | None = None
        claimed = query.get("clientId") or None
        if self._token_secret is not None:
            claims = jwt.decode(
                query.get("token", ""), self._token_secret, algorithms=["HS256"], options={"require": ["sub"]}
            )
            if claimed is not None and claimed != claims["sub"]:
                raise jwt.InvalidTokenError
            claimed = claims["sub"]
            if "exp" in claims:
                expires = float(claims["exp"])  # PyJWT also lets digits in quotes pass.
            if "rooms" in claims:
                if not isinstance(claims["rooms"], list):
                    raise jwt.InvalidTokenError
                allowed_rooms = frozenset(map(str, claims["rooms"]))
        client_id = None if claimed is None else parse_name(claimed, "clientId")
        room = query.get("room", DEFAULT_ROOM)
        if room or dialect is Dialect.PLAIN:
            room = parse_name(room, "room")
        since = Position(query["since_epoch"], int(query.get("since_seq", ""))) if "since_epoch" in query else None
        history = min(max(0, int(query.get("history", "0"))), self._max_history)
        watch = bool(int(query.get("presence", "0")))
        if reason := self.over_limit(address):
            return AcceptAndClose(reason, closing.TOO_MANY, dialect, RETRY_AFTER_MS)
        if room and allowed_rooms is not None and room not in allowed_rooms:
            return AcceptAndClose("forbidden_room", closing.FORBIDDEN_ROOM, dialect, None)
        return Admit(dialect, client_id, room, since, history, watch, allowed_rooms, expires)

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
