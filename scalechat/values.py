"""What a setting's value may be: small rules for the annotations in ``config``.

Each rule is a Cyclopts `Parameter`, and an annotation lists as many as it needs. A rule's complaint goes on after the
flag and the value, so it starts with a verb: ``--port 70000 must be from 0 to 65535``.
"""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from cyclopts import Parameter, Token


def about(text: str) -> Parameter:
    """Say in the help what the setting means, with its unit."""
    return Parameter(help=text)


def named(flag: str) -> Parameter:
    """Give the flag another name than the field, which also carries the unit."""
    return Parameter(name=flag)


def unset(means: str) -> Parameter:
    """Say in the help what happens when the setting is not given."""
    return Parameter(show_default=lambda _: means)


@dataclass(frozen=True, slots=True)
class Between:
    """A rule: finite and from `low` to `high`."""

    low: float
    high: float
    unit: str

    def __call__(self, _type: object, value: float | None) -> None:
        """Raise ValueError for a value that is not."""
        if value is not None and not (math.isfinite(value) and self.low <= value <= self.high):
            unit = self.unit and " " + self.unit
            raise ValueError(f"must be from {_digits(self.low)} to {_digits(self.high)}{unit}")


@dataclass(frozen=True, slots=True)
class AboveZero:
    """A rule: more than 0 and at most `high`."""

    high: float
    unit: str

    def __call__(self, _type: object, value: float | None) -> None:
        """Raise ValueError for a value that is not."""
        if value is not None and not 0 < value <= self.high:  # NaN fails both comparisons
            raise ValueError(f"must be more than 0 and at most {_digits(self.high)} {self.unit}")


def between(low: float, high: float, unit: str = "") -> Parameter:
    """Accept finite numbers from `low` to `high`, both included."""

    return _measured(Between(low, high, unit), unit)


def above_zero(high: float, unit: str) -> Parameter:
    """Accept numbers greater than zero, up to and including `high`."""

    return _measured(AboveZero(high, unit), unit)


def _measured(check: Callable[[object, float | None], None], unit: str) -> Parameter:
    """A rule whose unit, when it is short, stands in the help: ``--drain SECONDS``, ``--ramp PER_SECOND``."""
    if unit.isalpha():
        return Parameter(validator=check, metavar=unit.upper())
    return Parameter(validator=check, metavar="PER_SECOND" if unit.endswith(" per second") else None)


def _digits(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _whole(_type: object, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError("is not a whole number") from None


WholeNumber = Annotated[int, Parameter(converter=_whole)]
"""An integer that is written as one: Cyclopts alone would read 80.5 as 80."""


def _not_blank(_type: object, value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError("must not be empty")


def _websocket_url(_type: object, value: str) -> None:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises outside 0…65535
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme in ("http", "https") and parts.hostname:
        meant = urlunsplit(parts._replace(scheme="ws" + parts.scheme[4:], path=parts.path.rstrip("/") or "/ws"))
        raise ValueError(f"is a web address; the WebSocket address is probably {redact_url(meant)}")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("must look like ws://host:port/ws or wss://host:port/ws")


def _origins(_type: object, value: tuple[str, ...]) -> None:
    for origin in value:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            raise ValueError("must each look like https://chat.example.org (no path)")


def room_rules(choices: Sequence[str]) -> Parameter:
    """Accept any number of ``ROOM=CHOICE``, where ROOM is a room's name or, with a trailing ``*``, how names begin."""

    def check(_type: object, value: tuple[str, ...]) -> None:
        for rule in value:
            room, equals, choice = rule.rpartition("=")
            if not equals or not room or "=" in room or "*" in room[:-1] or any(map(str.isspace, room)):
                raise ValueError(f"must each look like ROOM=POLICY or ROOM*=POLICY: {rule!r} does not")
            if choice not in choices:
                near = difflib.get_close_matches(choice, choices, n=1)
                raise ValueError(
                    f"must each name {' or '.join(choices)}: {rule!r} does not"
                    + (f"; did you mean {near[0]}?" if near else "")
                )

    return Parameter(validator=check, negative=(), env_var_split=_at_commas)


_REDIS = ("redis", "rediss")
_CLUSTERS = ("redis+cluster", "rediss+cluster")


def _bus(_type: object, value: str) -> None:
    if value != "memory":
        _redis(value, (*_REDIS, *_CLUSTERS), "'memory', redis[+cluster]://host:port")


def _rendezvous(_type: object, value: str | None) -> None:
    if value is not None:
        _redis(value, _REDIS, "redis://host:port")


def _redis(value: str, schemes: Sequence[str], meant: str) -> None:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises outside 0…65535
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if not ((parts.scheme in schemes and parts.hostname) or (parts.scheme == "unix" and parts.path)):
        raise ValueError(f"must be {meant}, rediss://… (TLS) or unix:///path/of/redis.sock")
    if parts.scheme.endswith("+cluster") and parts.path.strip("/") not in ("", "0"):
        raise ValueError("must not name a database: a Redis Cluster has only one")
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d+", parts.path):
        raise ValueError(f"must have the number of a database after the '/', not {parts.path[1:]!r}")


class _FromTable:
    """Reads the value of a `table` setting out of its one token, which is JSON."""

    def __init__(self, shape: object) -> None:
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)

    def __call__(self, _type: object, tokens: Sequence[Token]) -> object:
        if tokens[0].source == "cli":
            raise ValueError("is a table of a file and has no flag")
        try:
            return self._decoder.decode(tokens[0].value)
        except msgspec.ValidationError as error:
            # A field is named as msgspec names it: `$.delivery` is [table.delivery] in the file.
            complaint = f"{str(error)[:1].lower()}{str(error)[1:]}"
            raise ValueError(f"cannot be used: {complaint}{self._meant(complaint)}") from None
        except msgspec.DecodeError:
            raise ValueError("must be a table") from None

    def _meant(self, complaint: str) -> str:
        """The known word nearest to the one complained about, if there is one."""
        unknown = _UNKNOWN.match(complaint)
        if unknown is None:
            return ""
        known = _WORDS.findall(msgspec.json.encode(msgspec.json.schema(self._shape)).decode())
        near = difflib.get_close_matches(unknown[1], {word for pair in known for word in pair if word}, n=1)
        return f"; did you mean {near[0]}?" if near else ""


_UNKNOWN = re.compile(r"(?:object contains unknown field|invalid value) [`'](.*?)[`']")
_WORDS = re.compile(r'"(\w+)":\{|"enum":\["([\w-]+)"\]')


def table(shape: object) -> Parameter:
    """A setting that is a table of the TOML file (or several of one name), and only there; `shape` is its type."""
    return Parameter(
        converter=_FromTable(shape),
        accepts_keys=False,
        json_list=False,
        n_tokens=1,
        show=False,
        show_env_var=False,
    )


def is_table(parameter: Parameter) -> bool:
    """Whether it was made by `table`."""
    return isinstance(parameter.converter, _FromTable)


def _token_secret(_type: object, value: str | None) -> None:
    # RFC 7518 section 3.2: an HS256 key has at least as many bits as the hash.
    if value is not None and len(value.encode()) < 32:
        raise ValueError("must have at least 32 bytes; `openssl rand -hex 32` makes a good one")


def _at_commas(_type: object, value: str, delimiter: str | None = None) -> list[str]:
    return [item.strip() for item in value.split(delimiter or ",") if item.strip()]


NOT_BLANK = Parameter(validator=_not_blank)
WEBSOCKET_URL = Parameter(validator=_websocket_url)
ORIGINS = Parameter(validator=_origins, negative=(), env_var_split=_at_commas)
SEVERAL = Parameter(negative=(), env_var_split=_at_commas)
"""May be given more than once; in a variable, commas separate the values."""
BUS = Parameter(validator=_bus)
RENDEZVOUS = Parameter(validator=_rendezvous)
TOKEN_SECRET = Parameter(validator=_token_secret)
NO_TWIN = Parameter(show_env_var=False)
"""Has no environment variable: it belongs to one call, not to a place."""
SWITCH = Parameter(negative=(), show_default=False)
"""A flag that is off unless given: no ``--no-…`` twin."""


def redact_url(url: str) -> str:
    """`url` without what must not be written down: a password, or a token in the query. Other text stays as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"***@{host}" if at and user else parts.netloc
    query = parse_qsl(parts.query, keep_blank_values=True)
    shown = parts.query
    if any(key == "token" for key, _ in query):
        shown = urlencode([(key, "***" if key == "token" else value) for key, value in query], safe="*")
    if (netloc, shown) == (parts.netloc, parts.query):
        return url  # Put together again it may read otherwise: unix:/path instead of unix:///path.
    return urlunsplit(parts._replace(netloc=netloc, query=shown))
