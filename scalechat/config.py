"""Every knob, once: its name, type, default, unit, flag, help text and what it accepts.

A field's annotation is read by the command line (``cli.py``), which turns it into a flag
``--queue-age``, a variable ``SCALECHAT_QUEUE_AGE`` and a TOML key ``queue_age``; units are in the
Python names. A field with ``repr=False`` is a secret. Values are checked where they come from
outside; code that builds a config itself is trusted to know what it does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ScaleChatError(Exception):
    """A failure that is no bug: one line tells the user what happened and what to do."""

    exit_code: int = 1


class UsageError(ScaleChatError):
    """The request cannot be carried out as it was made: bad flag, variable, file or combination."""

    exit_code = 2


class OperationalError(ScaleChatError):
    """The request was fine and the surroundings were not: port taken, server away, disk full."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


# ---- what a value may be -----------------------------------------------------------------------


def _between(low: float, high: float, unit: str = "") -> Callable[[object, float | None], None]:
    """Accept finite numbers from `low` to `high`, both included; None means "not set"."""

    def check(_type: object, value: float | None) -> None:
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"must be from {low:g} to {high:g}{unit and ' ' + unit}")

    return check


def _above_zero(high: float, unit: str) -> Callable[[object, float | None], None]:
    """Accept finite numbers greater than zero, up to and including `high`."""

    def check(_type: object, value: float | None) -> None:
        if value is not None and not 0 < value <= high:  # NaN fails both comparisons
            raise ValueError(f"must be more than 0 and at most {high:g} {unit}")

    return check


def _not_blank(_type: object, value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError("must not be empty")


def _websocket_url(_type: object, value: str) -> None:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises outside 0…65535
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme in ("http", "https"):
        meant = urlunsplit(parts._replace(scheme="ws" + parts.scheme[4:], path=parts.path or "/ws"))
        raise ValueError(f"is a web address; the WebSocket address is probably {redact_url(meant)}")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("must look like ws://host:port/ws or wss://host:port/ws")


def _origins(_type: object, value: tuple[str, ...]) -> None:
    for origin in value:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            raise ValueError(f"{origin!r} must look like https://chat.example.org (no path)")


def _bus(_type: object, value: str) -> None:
    if value.partition(":")[0] in ("redis", "rediss"):
        raise ValueError("a Redis bus is not in this release; use 'memory' (one process)")
    if value != "memory":
        raise ValueError("must be 'memory'")


def _workers(_type: object, value: int) -> None:
    if value > 1:
        raise ValueError("more than one worker needs a Redis bus, which is not in this release")
    if value < 1:
        raise ValueError("must be 1")


def _token_secret(_type: object, value: str | None) -> None:
    # RFC 7518 section 3.2: an HS256 key has at least as many bits as the hash.
    if value is not None and len(value.encode()) < 32:
        raise ValueError("must have at least 32 bytes (try: openssl rand -hex 32)")


# Durations and rates end at figures nobody means: a typing error is then caught at the start.
_DAY_S = 86_400.0
_WEEK_S = 7 * _DAY_S
_MAX_CLIENTS = 1_000_000

_NETWORK = Group("Where to listen", sort_key=1)
_ENGINE = Group("Engine", sort_key=2)
_LIMITS = Group("Limits", sort_key=3)
_ACCESS = Group("Who may come in", sort_key=4)
_LOGS = Group("Logs", sort_key=5)

_TARGET = Group("Target", sort_key=1)
_LOAD = Group("Load", sort_key=2)
_PHASES = Group("Phases", sort_key=3)
_OUTPUT = Group("Result", sort_key=4)

Fanout = Literal["coalesced", "encode-once", "per-client"]
SlowConsumer = Literal["disconnect"]
Arrivals = Literal["fixed", "jittered", "poisson"]
Target = Literal["scalechat", "plain"]
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

_DEFAULT_URL = "ws://localhost:8080/ws"


# ---- the knobs ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What `serve` can be told."""

    host: Annotated[
        str,
        Parameter(group=_NETWORK, validator=_not_blank, help="Address or name to listen on."),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Parameter(
            group=_NETWORK,
            validator=_between(0, 65_535),
            help="TCP port of the page, the WebSocket, the API and /metrics; 0 takes any free one.",
        ),
    ] = 8080

    bus: Annotated[
        str,
        Parameter(
            group=_ENGINE,
            validator=_bus,
            help="What carries a message to every node: 'memory' serves from this process alone.",
        ),
    ] = "memory"
    workers: Annotated[
        int,
        Parameter(group=_ENGINE, validator=_workers, help="Server processes sharing the port."),
    ] = 1
    fanout: Annotated[
        Fanout,
        Parameter(group=_ENGINE, help="How a publication becomes frames for the room's members."),
    ] = "coalesced"
    slow_consumer: Annotated[
        SlowConsumer,
        Parameter(group=_ENGINE, help="What happens to a client whose queue reached its limit."),
    ] = "disconnect"
    history_messages: Annotated[
        int,
        Parameter(
            name="history",
            group=_ENGINE,
            validator=_between(0, 1_000_000),
            help="Messages kept for each room, for history and resume.",
        ),
    ] = 200

    max_connections: Annotated[
        int,
        Parameter(
            group=_LIMITS,
            validator=_between(0, 10_000_000),
            help="Connections at a time; 0 means what the open-file limit allows.",
        ),
    ] = 0
    max_connections_per_address: Annotated[
        int,
        Parameter(
            group=_LIMITS,
            validator=_between(0, 10_000_000),
            help="Connections from one address at a time; 0 means no limit.",
        ),
    ] = 0
    message_rate_per_s: Annotated[
        float,
        Parameter(
            name="message-rate",
            group=_LIMITS,
            validator=_between(0, 1_000_000),
            help="Messages per second that one connection may send; 0 means no limit.",
        ),
    ] = 100.0
    max_message_size_bytes: Annotated[
        int,
        Parameter(
            name="max-message-size",
            group=_LIMITS,
            validator=_between(256, 16 * 1024 * 1024, "bytes"),
            help="Largest frame that is accepted, in bytes.",
        ),
    ] = 65_536
    queue_frames: Annotated[
        int,
        Parameter(
            group=_LIMITS,
            validator=_between(1, 1_000_000),
            help="Frames that may wait for one slow client.",
        ),
    ] = 1_024
    queue_bytes: Annotated[
        int,
        Parameter(
            group=_LIMITS,
            validator=_between(1_024, 1024**3, "bytes"),
            help="Bytes that may wait for one slow client.",
        ),
    ] = 1_048_576
    queue_age_s: Annotated[
        float,
        Parameter(
            name="queue-age",
            group=_LIMITS,
            validator=_above_zero(_DAY_S, "seconds"),
            help="Seconds that the oldest waiting frame may be old.",
        ),
    ] = 10.0
    handshake_timeout_s: Annotated[
        float,
        Parameter(
            name="handshake-timeout",
            group=_LIMITS,
            validator=_above_zero(3_600, "seconds"),
            help="Seconds that a new connection has to state its request.",
        ),
    ] = 5.0
    heartbeat_s: Annotated[
        float,
        Parameter(
            name="heartbeat",
            group=_LIMITS,
            validator=_between(0.1, _DAY_S, "seconds"),
            help="Seconds between pings; a peer silent for two of them is gone.",
        ),
    ] = 25.0
    drain_s: Annotated[
        float,
        Parameter(
            name="drain",
            group=_LIMITS,
            validator=_between(0, 3_600, "seconds"),
            help="Seconds that clients have to leave after SIGTERM or Ctrl-C.",
        ),
    ] = 10.0

    origins: Annotated[
        tuple[str, ...],
        Parameter(
            group=_ACCESS,
            validator=_origins,
            negative=(),
            help="Web origins allowed besides our own page and loopback; repeat for several.",
        ),
    ] = ()
    api_key: Annotated[
        str | None,
        Parameter(
            group=_ACCESS,
            validator=_not_blank,
            help="Secret that opens the HTTP API; without one the API is closed.",
        ),
    ] = field(default=None, repr=False)
    token_secret: Annotated[
        str | None,
        Parameter(
            group=_ACCESS,
            validator=_token_secret,
            help="Secret that signs the JWTs (HS256) every connection then needs.",
        ),
    ] = field(default=None, repr=False)
    public_pages: Annotated[
        bool,
        Parameter(
            group=_ACCESS,
            help="Show the read-only pages also when not listening on loopback only.",
        ),
    ] = False

    log_format: Annotated[
        LogFormat,
        Parameter(group=_LOGS, help="'auto' is 'console' on a terminal and 'json' elsewhere."),
    ] = "auto"
    log_level: Annotated[LogLevel, Parameter(group=_LOGS, help="Least severe event logged.")] = (
        "info"
    )
    log_period_s: Annotated[
        float,
        Parameter(
            name="log-period",
            group=_LOGS,
            validator=_between(0.1, _DAY_S, "seconds"),
            help="Seconds between two lines of live figures.",
        ),
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfig:
    """What `load` can be told."""

    server_url: Annotated[
        str,
        Parameter(group=_TARGET, validator=_websocket_url, help="Server to connect to."),
    ] = _DEFAULT_URL
    target: Annotated[
        Target,
        Parameter(
            group=_TARGET,
            help="Dialect: 'scalechat' has acknowledgements and resume; 'plain' is the two-key "
            "JSON that any broadcast server can speak.",
        ),
    ] = "scalechat"
    token: Annotated[
        str | None,
        Parameter(group=_TARGET, validator=_not_blank, help="JWT to connect with."),
    ] = field(default=None, repr=False)
    connect_timeout_s: Annotated[
        float,
        Parameter(
            name="connect-timeout",
            group=_TARGET,
            validator=_above_zero(3_600, "seconds"),
            help="Seconds that one connection may take to be established.",
        ),
    ] = 10.0

    clients: Annotated[
        int,
        Parameter(group=_LOAD, validator=_between(1, _MAX_CLIENTS), help="Simulated clients."),
    ] = 1
    msg_frequency_ms: Annotated[
        float,
        Parameter(
            name="msg-frequency",
            group=_LOAD,
            validator=_above_zero(_DAY_S * 1000, "milliseconds"),
            help="Each publishing client sends one message every so many milliseconds.",
        ),
    ] = 1_000.0
    msg_size: Annotated[
        str,
        Parameter(
            group=_LOAD,
            validator=_not_blank,
            help="Bytes of a message: a number, or a distribution such as uniform:64-1024.",
        ),
    ] = "256"
    publishers: Annotated[
        int | None,
        Parameter(
            group=_LOAD,
            validator=_between(0, _MAX_CLIENTS),
            show_default=lambda _: "all",
            help="How many of the clients publish; the others only read.",
        ),
    ] = None
    rooms: Annotated[
        int,
        Parameter(
            group=_LOAD,
            validator=_between(1, _MAX_CLIENTS),
            help="Rooms; the clients are spread evenly over them.",
        ),
    ] = 1
    arrivals: Annotated[
        Arrivals,
        Parameter(
            group=_LOAD,
            help="When a client's messages are due: on a grid, jittered on it, or at random.",
        ),
    ] = "jittered"
    seed: Annotated[
        int | None,
        Parameter(
            group=_LOAD,
            validator=_between(0, 2**63 - 1),
            show_default=lambda _: "drawn and recorded",
            help="Seed of the plan: the same seed gives the same plan.",
        ),
    ] = None
    scenario: Annotated[
        Path | None,
        Parameter(
            group=_LOAD,
            help="TOML file with any of these settings, such as the ones in configs/scenarios.",
        ),
    ] = None

    ramp_per_s: Annotated[
        float,
        Parameter(
            name="ramp",
            group=_PHASES,
            validator=_above_zero(_MAX_CLIENTS, "connections per second"),
            help="Connections opened per second at the start.",
        ),
    ] = 500.0
    warmup_s: Annotated[
        float,
        Parameter(
            name="warmup",
            group=_PHASES,
            validator=_between(0, _DAY_S, "seconds"),
            help="Seconds under load before anything is measured.",
        ),
    ] = 3.0
    duration_s: Annotated[
        float,
        Parameter(
            name="duration",
            group=_PHASES,
            validator=_above_zero(_WEEK_S, "seconds"),
            help="Seconds measured, after the warm-up.",
        ),
    ] = 30.0
    drain_s: Annotated[
        float,
        Parameter(
            # Not --drain: SCALECHAT_DRAIN already is the server's.
            name="drain-timeout",
            group=_PHASES,
            validator=_between(0, 3_600, "seconds"),
            help="Seconds to wait at the end for messages still under way.",
        ),
    ] = 5.0

    out: Annotated[Path, Parameter(group=_OUTPUT, help="Where run directories go.")] = Path("runs")
    slo: Annotated[
        tuple[str, ...],
        Parameter(
            group=_OUTPUT,
            negative=(),
            help="Objective to meet, such as 'p99(delivery) < 200ms' or 'missing == 0'; repeat "
            "for several.",
        ),
    ] = ()
    metrics_port: Annotated[
        int | None,
        Parameter(
            group=_OUTPUT,
            validator=_between(0, 65_535),
            show_default=lambda _: "off",
            help="Port for the load client's own /metrics; 0 takes any free one.",
        ),
    ] = None
    quiet: Annotated[
        bool, Parameter(group=_OUTPUT, negative=(), help="Show no progress, only the summary.")
    ] = False
    json: Annotated[
        bool, Parameter(group=_OUTPUT, negative=(), help="Print the summary as JSON.")
    ] = False

    def __post_init__(self) -> None:
        """Refuse combinations that no plan can be made for."""
        if self.publishers is not None and self.publishers > self.clients:
            raise UsageError(
                f"{self.publishers} publishers are more than {self.clients} clients: "
                "lower --publishers or raise --clients"
            )
        if self.rooms > self.clients:
            raise UsageError(
                f"{self.rooms} rooms are more than {self.clients} clients and some would stay "
                "empty: lower --rooms or raise --clients"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """What `chat` can be told."""

    server_url: Annotated[
        str, Parameter(validator=_websocket_url, help="Server to connect to.")
    ] = _DEFAULT_URL
    room: Annotated[str, Parameter(validator=_not_blank, help="Room to enter first.")] = "global"
    client_id: Annotated[
        str | None,
        Parameter(
            name="name",
            validator=_not_blank,
            show_default=lambda _: "your login name",
            help="Name to speak under.",
        ),
    ] = None
    token: Annotated[str | None, Parameter(validator=_not_blank, help="JWT to connect with.")] = (
        field(default=None, repr=False)
    )
    history: Annotated[
        int,
        Parameter(
            # Not --history: SCALECHAT_HISTORY already is the server's.
            name="last",
            validator=_between(0, 1_000),
            help="Messages shown from before you came.",
        ),
    ] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """What `report` can be told."""

    runs: Annotated[
        tuple[Path, ...],
        Parameter(name="RUN", negative=(), help="Run directories, such as runs/2026…"),
    ]
    out: Annotated[
        Path | None,
        Parameter(
            show_default=lambda _: "report.html in the run",
            help="File to write the report to.",
        ),
    ] = None
    open: Annotated[bool, Parameter(negative=(), help="Show the report in the web browser.")] = (
        False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """What `demo` can be told."""

    clients: Annotated[
        int, Parameter(validator=_between(1, _MAX_CLIENTS), help="Simulated clients.")
    ] = 200
    rooms: Annotated[int, Parameter(validator=_between(1, _MAX_CLIENTS), help="Rooms.")] = 4
    duration_s: Annotated[
        float,
        Parameter(
            name="duration",
            validator=_above_zero(_DAY_S, "seconds"),
            help="Seconds measured, after the warm-up.",
        ),
    ] = 10.0
    msg_frequency_ms: Annotated[
        float,
        Parameter(
            name="msg-frequency",
            validator=_above_zero(_DAY_S * 1000, "milliseconds"),
            help="Each client sends one message every so many milliseconds.",
        ),
    ] = 1_000.0
    out: Annotated[Path, Parameter(help="Where the run directory goes.")] = Path("runs")
    open: Annotated[bool, Parameter(negative=(), help="Show the report in the web browser.")] = (
        False
    )


# ---- what may be shown -------------------------------------------------------------------------

PlainValue = str | int | float | bool | None | list[str]


def redact_url(url: str) -> str:
    """`url` without what must not be written down: a password, or a token in the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    host = parts.netloc.rpartition("@")[2]
    netloc = f"***@{host}" if "@" in parts.netloc else parts.netloc
    query = [(k, "***" if k == "token" else v) for k, v in parse_qsl(parts.query, True)]
    hidden = any(k == "token" for k, _ in query)
    return urlunsplit(
        parts._replace(netloc=netloc, query=urlencode(query, safe="*") if hidden else parts.query)
    )


def public_values(config: "DataclassInstance") -> dict[str, PlainValue]:
    """Every field of `config` by name, as plain values, secrets as ``***``: safe to write down."""
    return {f.name: _public(getattr(config, f.name), secret=not f.repr) for f in fields(config)}


def _public(value: object, *, secret: bool) -> PlainValue:
    if value is None or isinstance(value, bool | int | float):
        return value
    if secret:
        return "***"
    if isinstance(value, tuple):
        return [str(item) for item in value]
    text = str(value)
    return redact_url(text) if "://" in text else text
