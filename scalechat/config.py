"""Every knob, once: its name, type, default, unit, help text and what it accepts.

A field's annotation is read by the command line (``cli.py``): ``queue_age_s`` named "queue-age" becomes the flag
``--queue-age``, the variable ``SCALECHAT_QUEUE_AGE`` and the TOML key ``queue_age``. A field with ``repr=False`` is a
secret. Values are checked where they come from outside; code that builds a config itself is trusted.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec
from cyclopts import Group, Parameter

from scalechat.scenario import AnyKind, Event, Step
from scalechat.tables import Template
from scalechat.values import (
    BUS,
    NO_TWIN,
    NOT_BLANK,
    ORIGINS,
    RENDEZVOUS,
    SEVERAL,
    SWITCH,
    TOKEN_SECRET,
    WEBSOCKET_URL,
    WholeNumber,
    about,
    above_zero,
    between,
    named,
    redact_url,
    room_rules,
    table,
    unset,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ScaleChatError(Exception):
    """A failure that is no bug: its one line tells the user what happened and what to do."""

    exit_code: int = 1


class UsageError(ScaleChatError):
    """The request cannot be carried out as it was made: bad flag, variable, file or combination."""

    exit_code = 2


class OperationalError(ScaleChatError):
    """The request was fine and the surroundings were not: port taken, server away, disk full."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


Fanout = Literal["coalesced", "encode-once", "per-client"]
SlowConsumer = Literal["disconnect", "drop_oldest", "drop_newest", "latest", "pause"]
HeartbeatPhase = Literal["spread", "together"]
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
Arrivals = Literal["fixed", "jittered", "poisson"]
Target = Literal["scalechat", "plain", "template"]
Vary = Literal["clients", "rate", "rooms"]

_DEFAULT_URL = "ws://localhost:8080/ws"

# Bounds end at figures nobody means, so that a typing error is caught before anything starts.
_HOUR_S = 3_600.0
_DAY_S = 24 * _HOUR_S
_DAY_MS = 1_000 * _DAY_S
_MANY = 1_000_000
_MIB = 1_048_576

_DURATION_S = 30.0


def _panel(title: str, position: int) -> Parameter:
    return Parameter(group=Group(title, sort_key=position))


_NETWORK = _panel("Where to listen", 1)
_ENGINE = _panel("Engine", 2)
_LIMITS = _panel("Limits", 3)
_ACCESS = _panel("Who may come in", 4)
_LOGS = _panel("Logs", 5)
_TUNING = _panel("Tuning, for those who measure", 6)

_TARGET = _panel("Target", 1)
_LOAD = _panel("Load", 2)
_PHASES = _panel("Phases", 3)
_RESULT = _panel("Result", 4)
_SEARCH = _panel("Search", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What `serve` can be told."""

    host: Annotated[str, _NETWORK, NOT_BLANK, about("Address or name to listen on.")] = "127.0.0.1"
    port: Annotated[
        WholeNumber,
        _NETWORK,
        between(0, 65_535),
        about("TCP port of the page, the WebSocket, the API and /metrics; 0 takes any free one."),
    ] = 8080

    bus: Annotated[
        str,
        _ENGINE,
        BUS,
        about("What carries a message to every node: 'memory' (this process alone) or a Redis, redis://host:port."),
    ] = "memory"
    workers: Annotated[
        WholeNumber,
        _ENGINE,
        between(1, 64, "processes"),
        about("Server processes that share the port; with the bus 'memory' a private redis-server runs between them."),
    ] = 1
    fanout: Annotated[Fanout, _ENGINE, about("How a publication becomes frames for the members of a room.")] = (
        "coalesced"
    )
    slow_consumer: Annotated[
        SlowConsumer,
        _ENGINE,
        about("What happens to a client whose queue is full, in every room without its own policy."),
    ] = "disconnect"
    room_policies: Annotated[
        tuple[str, ...],
        _ENGINE,
        named("room-policy"),
        room_rules(get_args(SlowConsumer)),
        unset("none"),
        about(
            "ROOM=POLICY: another --slow-consumer for that room, or with ROOM* for rooms that begin so; the first wins."
        ),
    ] = ()
    history_messages: Annotated[
        WholeNumber,
        _ENGINE,
        named("history"),
        between(0, _MANY, "messages"),
        about("Messages kept for each room, for history and resume."),
    ] = 200

    presence_limit: Annotated[
        WholeNumber,
        _LIMITS,
        between(0, 10_000, "clients"),
        about("Clients of a room that are told by name; of a larger room only the count is told."),
    ] = 1_000
    presence_debounce_s: Annotated[
        float,
        _LIMITS,
        named("presence-debounce"),
        between(0, 60, "seconds"),
        about("Seconds for which who comes and goes is collected before it is told; 0: told at once."),
    ] = 0.5
    max_connections: Annotated[
        WholeNumber,
        _LIMITS,
        between(0, 10 * _MANY),
        about("Connections at a time; 0: what the open-file limit allows."),
    ] = 0
    max_connections_per_address: Annotated[
        WholeNumber, _LIMITS, between(0, 10 * _MANY), about("Connections at a time from one address; 0: no limit.")
    ] = 0
    message_rate_per_s: Annotated[
        float,
        _LIMITS,
        named("message-rate"),
        between(0, _MANY, "messages per second"),
        about("Messages per second that one connection may send; 0: no limit."),
    ] = 100.0
    max_message_size_bytes: Annotated[
        WholeNumber,
        _LIMITS,
        named("max-message-size"),
        between(256, 16 * _MIB, "bytes"),
        about("Largest frame accepted, in bytes."),
    ] = 65_536
    queue_frames: Annotated[
        WholeNumber, _LIMITS, between(1, _MANY), about("Frames that may wait for one slow client.")
    ] = 1_024
    queue_bytes: Annotated[
        WholeNumber, _LIMITS, between(1_024, 1_024 * _MIB, "bytes"), about("Bytes that may wait for one slow client.")
    ] = _MIB
    queue_age_s: Annotated[
        float,
        _LIMITS,
        named("queue-age"),
        above_zero(_DAY_S, "seconds"),
        about("Age in seconds that the oldest waiting frame may reach."),
    ] = 10.0
    handshake_timeout_s: Annotated[
        float,
        _LIMITS,
        named("handshake-timeout"),
        above_zero(_HOUR_S, "seconds"),
        about("Seconds that a new connection has to state its request."),
    ] = 5.0
    heartbeat_s: Annotated[
        float,
        _LIMITS,
        named("heartbeat"),
        between(0.1, _DAY_S, "seconds"),
        about("Seconds between two pings of a connection."),
    ] = 25.0
    drain_s: Annotated[
        float,
        _LIMITS,
        named("drain"),
        between(0, _HOUR_S, "seconds"),
        about("Seconds that clients have to leave after SIGTERM or Ctrl-C."),
    ] = 10.0

    origins: Annotated[
        tuple[str, ...],
        _ACCESS,
        ORIGINS,
        unset("none"),
        about("Web origins allowed besides our own page and loopback; give it once for each."),
    ] = ()
    api_key: Annotated[
        str | None, _ACCESS, NOT_BLANK, unset("API closed"), about("Secret that opens the HTTP API.")
    ] = field(default=None, repr=False)
    token_secret: Annotated[
        str | None,
        _ACCESS,
        TOKEN_SECRET,
        unset("no token needed"),
        about("Secret that signs the JWT (HS256) which every connection then needs."),
    ] = field(default=None, repr=False)
    public_pages: Annotated[
        bool, _ACCESS, SWITCH, about("Show the read-only pages also when not bound to loopback.")
    ] = False

    backlog: Annotated[
        WholeNumber,
        _TUNING,
        between(1, 65_535),
        about("Connections the kernel completes while the server is busy; it caps this at net.core.somaxconn."),
    ] = 4_096
    send_buffer_bytes: Annotated[
        WholeNumber,
        _TUNING,
        named("send-buffer"),
        between(0, 64 * _MIB, "bytes"),
        about("Bytes the kernel may hold for one client before our own queue begins; 0: as it likes."),
    ] = 0
    heartbeat_phase: Annotated[
        HeartbeatPhase,
        _TUNING,
        about("When clients are pinged: 'spread' over the period, or 'together' at one moment of it."),
    ] = "spread"

    log_format: Annotated[LogFormat, _LOGS, about("'auto': 'console' on a terminal, 'json' elsewhere.")] = "auto"
    log_level: Annotated[LogLevel, _LOGS, about("Least severe event that is logged.")] = "info"
    log_period_s: Annotated[
        float,
        _LOGS,
        named("log-period"),
        between(0.1, _DAY_S, "seconds"),
        about("Seconds between two lines of live figures."),
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfig:
    """What `load` can be told."""

    server_url: Annotated[str, _TARGET, WEBSOCKET_URL, about("Server to connect to.")] = _DEFAULT_URL
    target: Annotated[
        Target,
        _TARGET,
        about(
            "Dialect: 'scalechat' has acknowledgements; 'plain' is the two-key JSON that any server can speak; "
            "'template' is what the scenario's [template] table describes."
        ),
    ] = "scalechat"
    template: Annotated[Template | None, _TARGET, table(Template)] = None
    token: Annotated[str | None, _TARGET, NOT_BLANK, unset("none"), about("JWT to connect with.")] = field(
        default=None, repr=False
    )
    connect_timeout_s: Annotated[
        float,
        _TARGET,
        named("connect-timeout"),
        above_zero(_HOUR_S, "seconds"),
        about("Seconds that one connection may take to be established."),
    ] = 10.0
    no_reconnect: Annotated[
        bool, _TARGET, SWITCH, about("A client whose connection is lost stays away; otherwise it dials again.")
    ] = False

    clients: Annotated[WholeNumber, _LOAD, between(1, _MANY), about("Simulated clients.")] = 1
    msg_frequency_ms: Annotated[
        float,
        _LOAD,
        named("msg-frequency"),
        above_zero(_DAY_MS, "milliseconds"),
        about("Each publishing client sends one message every so many milliseconds."),
    ] = 1_000.0
    msg_size: Annotated[
        str, _LOAD, NOT_BLANK, about("Bytes of a message: a number, or a distribution such as uniform:64-1024.")
    ] = "256"
    publishers: Annotated[
        WholeNumber | None,
        _LOAD,
        between(0, _MANY),
        unset("all"),
        about("How many of the clients publish; the others only read."),
    ] = None
    rooms: Annotated[
        WholeNumber, _LOAD, between(1, _MANY), about("Rooms; the clients are spread evenly over them.")
    ] = 1
    arrivals: Annotated[
        Arrivals, _LOAD, about("When a client's messages are due: on a grid, jittered on the grid, or at random.")
    ] = "jittered"
    seed: Annotated[
        WholeNumber | None,
        _LOAD,
        between(0, 2**63 - 1),
        unset("drawn and recorded"),
        about("Seed of the plan: the same seed gives the same plan."),
    ] = None
    scenario: Annotated[
        Path | None,
        _LOAD,
        unset("none"),
        about(
            "TOML file with any of these settings and the tables [[kinds]], [[events]] and [[phases]], "
            "as in configs/scenarios."
        ),
    ] = None
    kinds: Annotated[
        tuple[AnyKind, ...], _LOAD, table(tuple[AnyKind, ...]), about("Clients that are not normal ones.")
    ] = ()
    events: Annotated[
        tuple[Event, ...], _LOAD, table(tuple[Event, ...]), about("What happens once, at a time of the measured phase.")
    ] = ()

    processes: Annotated[
        WholeNumber,
        _LOAD,
        between(1, 256),
        about("Load processes on this machine that share the clients; each uses one core."),
    ] = 1
    rendezvous: Annotated[
        str | None,
        _LOAD,
        RENDEZVOUS,
        unset("none"),
        about("Redis through which several containers or machines meet for one run."),
    ] = None
    rendezvous_key: Annotated[
        str, _LOAD, NOT_BLANK, about("The run's name in that Redis: runs at the same time need different ones.")
    ] = "load"
    rendezvous_timeout_s: Annotated[
        float,
        _LOAD,
        named("rendezvous-timeout"),
        above_zero(_HOUR_S, "seconds"),
        about("Seconds to wait until all instances are there."),
    ] = 60.0
    expected_instances: Annotated[
        WholeNumber | None, _LOAD, between(1, 256), unset("none"), about("How many instances meet.")
    ] = None
    instance: Annotated[
        WholeNumber | None,
        _LOAD,
        between(0, 255),
        unset("the first free one"),
        about("Number of this instance; 0 coordinates and gets the run directory."),
    ] = None

    ramp_per_s: Annotated[
        float,
        _PHASES,
        named("ramp"),
        above_zero(_MANY, "connections per second"),
        about("Connections opened per second at the start."),
    ] = 500.0
    warmup_s: Annotated[
        float,
        _PHASES,
        named("warmup"),
        between(0, _DAY_S, "seconds"),
        about("Seconds under load before anything is measured."),
    ] = 3.0
    duration_s: Annotated[
        float,
        _PHASES,
        named("duration"),
        above_zero(7 * _DAY_S, "seconds"),
        about("Seconds measured, after the warm-up."),
    ] = _DURATION_S
    phases: Annotated[
        tuple[Step, ...], _PHASES, table(tuple[Step, ...]), about("Steps after the warm-up, instead of a duration.")
    ] = ()
    drain_s: Annotated[
        float,
        _PHASES,
        named("drain-timeout"),  # SCALECHAT_DRAIN already is the server's
        between(0, _HOUR_S, "seconds"),
        about("Seconds to wait at the end for messages still under way."),
    ] = 5.0

    out: Annotated[Path, _RESULT, about("Where run directories go.")] = Path("runs")
    slo: Annotated[
        tuple[str, ...],
        _RESULT,
        SEVERAL,
        unset("none"),
        about("Objective such as 'p99(delivery) < 200ms' or 'missing == 0'; give it once for each."),
    ] = ()
    metrics_port: Annotated[
        WholeNumber | None,
        _RESULT,
        between(0, 65_535),
        unset("off"),
        about("Port of the load client's own /metrics; 0 takes any free one."),
    ] = None
    quiet: Annotated[bool, _RESULT, SWITCH, about("Show no progress, only the summary.")] = False
    json: Annotated[bool, _RESULT, SWITCH, about("Print the summary as JSON.")] = False

    def __post_init__(self) -> None:
        """Refuse combinations that no plan can be made for."""
        if self.phases and self.duration_s != _DURATION_S:
            raise UsageError("the scenario's [[phases]] say how long the run takes: leave --duration out")
        names = [step.name for step in self.steps]
        if len({*names, "ramp", "warmup", "drain"}) != len(names) + 3:
            raise UsageError("[[phases]] need names of their own: each another, and none ramp, warmup or drain")
        if (self.target == "template") != (self.template is not None):
            raise UsageError("--target template and the scenario's [template] table go together: give both or neither")
        if self.publishers is not None and self.publishers > self.clients:
            raise UsageError(
                f"{self.publishers} publishers are more than {self.clients} clients: "
                "lower --publishers or raise --clients"
            )
        self._require_a_fleet()
        if self.processes > self.clients:
            raise UsageError(
                f"{self.processes} processes are more than {self.clients} clients: lower --processes or raise --clients"
            )
        if self.rooms > self.clients:
            raise UsageError(
                f"{self.rooms} rooms are more than {self.clients} clients: lower --rooms or raise --clients"
            )

    @property
    def steady_s(self) -> float:
        """Seconds under load after the warm-up."""
        return sum(step.duration_s for step in self.steps)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What follows the warm-up: the scenario's phases, or one of `duration_s` seconds."""
        return self.phases or (Step(name="steady", duration_s=self.duration_s),)

    def _require_a_fleet(self) -> None:
        if (self.rendezvous is None) != (self.expected_instances is None):
            raise UsageError("--rendezvous and --expected-instances go together: give both or neither")
        if self.expected_instances is None:
            if self.instance is not None:
                raise UsageError("--instance means something with --rendezvous only: give both or neither")
            return
        if self.instance is not None and self.instance >= self.expected_instances:
            raise UsageError(
                f"instance {self.instance} is none of {self.expected_instances}, which count from 0: "
                "lower --instance or raise --expected-instances"
            )
        if self.processes > 1:
            raise UsageError("--processes and --rendezvous exclude each other: start more instances")
        if self.expected_instances > self.clients:
            raise UsageError(
                f"{self.expected_instances} instances are more than {self.clients} clients: "
                "lower --expected-instances or raise --clients"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityConfig(LoadConfig):
    """What `capacity` can be told: how to search, and with every setting of `load` what a probe is.

    A probe is much shorter than a run that stands for itself, and has objectives; otherwise it is the same run.
    """

    vary: Annotated[
        Vary,
        _SEARCH,
        about(
            "What is raised: 'clients' in the same rooms, the 'rate' of messages/s of all publishers together, or "
            "'rooms' of the same size. The search starts from what --clients, --msg-frequency and --rooms say."
        ),
    ] = "clients"
    max_value: Annotated[
        float | None,
        _SEARCH,
        named("max"),
        above_zero(_MANY, "of what is varied"),
        unset("1,000,000"),
        about("Load that is not exceeded; when it holds, the answer is 'at least'."),
    ] = None
    resolution: Annotated[
        float,
        _SEARCH,
        between(0.001, 0.5),
        about("How wide the answer's bracket may be, as a part of its upper end."),
    ] = 0.05
    confirm: Annotated[
        WholeNumber, _SEARCH, between(1, 100), about("How often the answer must hold before it is given …")
    ] = 2
    confirm_of: Annotated[WholeNumber, _SEARCH, between(1, 100), about("… out of so many probes of that load.")] = 3
    calm_timeout_s: Annotated[
        float,
        _SEARCH,
        named("calm-timeout"),
        between(0, _HOUR_S, "seconds"),
        about("Seconds to wait between two probes until the server is as quick to greet as before the first."),
    ] = 30.0

    clients: Annotated[WholeNumber, _LOAD, between(1, _MANY), about("Simulated clients of the first probe.")] = 100
    ramp_per_s: Annotated[
        float,
        _PHASES,
        named("ramp"),
        above_zero(_MANY, "connections per second"),
        about("Connections opened per second at the start."),
    ] = 1_000.0
    warmup_s: Annotated[
        float,
        _PHASES,
        named("warmup"),
        between(0, _DAY_S, "seconds"),
        about("Seconds of each probe under load before anything is measured."),
    ] = 2.0
    duration_s: Annotated[
        float,
        _PHASES,
        named("duration"),
        above_zero(_DAY_S, "seconds"),
        about("Seconds of each probe that are measured, after the warm-up."),
    ] = 6.0
    slo: Annotated[
        tuple[str, ...],
        _RESULT,
        SEVERAL,
        about("Objective such as 'p99(delivery) < 200ms' or 'missing == 0'; give it once for each."),
    ] = ("p99(delivery) < 200ms", "missing == 0")

    def __post_init__(self) -> None:
        """Refuse combinations that no search can be made for."""
        LoadConfig.__post_init__(self)  # super() finds no cell in a class that `slots` has made anew
        if self.rendezvous is not None:
            raise UsageError("a capacity search runs on one machine: leave --rendezvous out, raise --processes")
        if self.confirm > self.confirm_of:
            raise UsageError(
                f"--confirm {self.confirm} is more than --confirm-of {self.confirm_of}: nothing could hold so often"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """What `chat` can be told."""

    server_url: Annotated[str, WEBSOCKET_URL, about("Server to connect to.")] = _DEFAULT_URL
    room: Annotated[str, NOT_BLANK, about("Room to enter first.")] = "global"
    client_id: Annotated[
        str | None, named("name"), NOT_BLANK, unset("your login name"), about("Name to speak under.")
    ] = None
    token: Annotated[str | None, NOT_BLANK, unset("none"), about("JWT to connect with.")] = field(
        default=None, repr=False
    )
    history: Annotated[
        WholeNumber,
        named("last"),  # SCALECHAT_HISTORY already is the server's
        between(0, 1_000, "messages"),
        about("Messages shown from before you came."),
    ] = 20


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What `report` can be told."""

    runs: Annotated[tuple[Path, ...], named("run"), SEVERAL, NO_TWIN, about("Run directory, such as runs/….")]
    out: Annotated[
        Path | None,
        NO_TWIN,  # SCALECHAT_OUT already is where runs go
        unset("report.html in the run"),
        about("File to write the report to."),
    ] = field(default=None, kw_only=True)
    open: Annotated[bool, SWITCH, about("Show the report in the web browser.")] = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class CompareConfig:
    """What `compare` can be told."""

    base: Annotated[Path, NO_TWIN, about("The system as it was: a run directory, a directory of runs, or a pattern.")]
    new: Annotated[Path, NO_TWIN, about("The system as it is now: the same.")]
    margin: Annotated[float, between(0, 1), about("Relative change that does not matter.")] = field(
        default=0.05, kw_only=True
    )
    confidence: Annotated[float, between(0.5, 0.9999), about("Confidence of all the intervals together.")] = field(
        default=0.95, kw_only=True
    )
    allow_different: Annotated[
        bool, SWITCH, about("Compare runs of different machines, Pythons or loads, and say so.")
    ] = field(default=False, kw_only=True)
    json: Annotated[bool, SWITCH, about("Print the comparison as JSON.")] = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """What `demo` can be told."""

    clients: Annotated[WholeNumber, between(1, _MANY), about("Simulated clients.")] = 200
    rooms: Annotated[WholeNumber, between(1, _MANY), about("Rooms; the clients are spread evenly over them.")] = 4
    duration_s: Annotated[
        float, named("duration"), above_zero(_DAY_S, "seconds"), about("Seconds measured, after the warm-up.")
    ] = 10.0
    msg_frequency_ms: Annotated[
        float,
        named("msg-frequency"),
        above_zero(_DAY_MS, "milliseconds"),
        about("Each client sends one message every so many milliseconds."),
    ] = 1_000.0
    out: Annotated[Path, about("Where the run directory goes.")] = Path("runs")
    open: Annotated[bool, SWITCH, about("Show the report in the web browser.")] = False


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """What `experiment` can be told."""

    names: Annotated[
        tuple[str, ...],
        named("name"),
        SEVERAL,
        NO_TWIN,
        about("'list', 'all', names from the list, or files like those in configs/experiments."),
    ]
    out: Annotated[Path, about("Where the results go.")] = field(default=Path("runs"), kw_only=True)


SECRETS = frozenset(
    f.name
    for config in (
        ServeConfig,
        LoadConfig,
        CapacityConfig,
        ChatConfig,
        ReportConfig,
        CompareConfig,
        DemoConfig,
        ExperimentConfig,
    )
    for f in fields(config)
    if not f.repr
)
"""Names of the fields whose values must not be shown."""

PlainValue = str | int | float | bool | list[str] | None


def public_values(config: "DataclassInstance") -> dict[str, PlainValue]:
    """Every field of `config` by name, as plain values, secrets as ``***``: safe to write down."""
    return {f.name: _public(getattr(config, f.name), secret=f.name in SECRETS) for f in fields(config)}


def _public(value: object, *, secret: bool) -> PlainValue:
    if value is None:
        return None
    if secret:
        return "***"
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value[0] if isinstance(value, tuple) and value else value, msgspec.Struct):
        return msgspec.json.encode(value).decode()
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return redact_url(str(value))
