"""What `serve` can be told."""

from dataclasses import dataclass, field
from typing import Annotated, get_args

from scalechat.config.shared import (
    ACCESS,
    DAY_S,
    ENGINE,
    HOUR_S,
    LIMITS,
    LOGS,
    MANY,
    MIB,
    NETWORK,
    TUNING,
    Fanout,
    HeartbeatPhase,
    LogFormat,
    LogLevel,
    SlowConsumer,
)
from scalechat.values import (
    BUS,
    NOT_BLANK,
    ORIGINS,
    SWITCH,
    TOKEN_SECRET,
    WholeNumber,
    about,
    above_zero,
    between,
    named,
    room_rules,
    unset,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What `serve` can be told."""

    host: Annotated[str, NETWORK, NOT_BLANK, about("Address or name to listen on.")] = "127.0.0.1"
    port: Annotated[
        WholeNumber,
        NETWORK,
        between(0, 65_535),
        about("TCP port of the page, the WebSocket, the API and /metrics; 0 takes any free one."),
    ] = 8080

    bus: Annotated[
        str,
        ENGINE,
        BUS,
        about("What carries a message to every node: 'memory' (this process alone) or a Redis, redis://host:port."),
    ] = "memory"
    workers: Annotated[
        WholeNumber,
        ENGINE,
        between(1, 64, "processes"),
        about("Server processes that share the port; with the bus 'memory' a private redis-server runs between them."),
    ] = 1
    fanout: Annotated[Fanout, ENGINE, about("How a publication becomes frames for the members of a room.")] = (
        "coalesced"
    )
    slow_consumer: Annotated[
        SlowConsumer,
        ENGINE,
        about("What happens to a client whose queue is full, in every room without its own policy."),
    ] = "disconnect"
    room_policies: Annotated[
        tuple[str, ...],
        ENGINE,
        named("room-policy"),
        room_rules(get_args(SlowConsumer)),
        unset("none"),
        about(
            "ROOM=POLICY: another --slow-consumer for that room, or with ROOM* for rooms that begin so; the first wins."
        ),
    ] = ()
    history_messages: Annotated[
        WholeNumber,
        ENGINE,
        named("history"),
        between(0, MANY, "messages"),
        about("Messages kept for each room, for history and resume."),
    ] = 200

    presence_limit: Annotated[
        WholeNumber,
        LIMITS,
        between(0, 10_000, "clients"),
        about("Clients of a room that are told by name; of a larger room only the count is told."),
    ] = 1_000
    presence_debounce_s: Annotated[
        float,
        LIMITS,
        named("presence-debounce"),
        between(0, 60, "seconds"),
        about("Seconds for which who comes and goes is collected before it is told; 0: told at once."),
    ] = 0.5
    max_connections: Annotated[
        WholeNumber,
        LIMITS,
        between(0, 10 * MANY),
        about("Connections at a time; 0: what open files and the container's memory leave room for."),
    ] = 0
    max_connections_per_address: Annotated[
        WholeNumber, LIMITS, between(0, 10 * MANY), about("Connections at a time from one address; 0: no limit.")
    ] = 0
    message_rate_per_s: Annotated[
        float,
        LIMITS,
        named("message-rate"),
        between(0, MANY, "messages per second"),
        about("Messages per second that one connection may send; 0: no limit."),
    ] = 100.0
    max_message_size_bytes: Annotated[
        WholeNumber,
        LIMITS,
        named("max-message-size"),
        between(256, 16 * MIB, "bytes"),
        about("Largest frame accepted, in bytes."),
    ] = 65_536
    queue_frames: Annotated[
        WholeNumber, LIMITS, between(1, MANY), about("Frames that may wait for one slow client.")
    ] = 1_024
    queue_bytes: Annotated[
        WholeNumber, LIMITS, between(1_024, 1_024 * MIB, "bytes"), about("Bytes that may wait for one slow client.")
    ] = MIB
    queue_age_s: Annotated[
        float,
        LIMITS,
        named("queue-age"),
        above_zero(DAY_S, "seconds"),
        about("Age in seconds that the oldest waiting frame may reach."),
    ] = 10.0
    handshake_timeout_s: Annotated[
        float,
        LIMITS,
        named("handshake-timeout"),
        above_zero(HOUR_S, "seconds"),
        about("Seconds that a new connection has to state its request."),
    ] = 5.0
    heartbeat_s: Annotated[
        float,
        LIMITS,
        named("heartbeat"),
        between(0.1, DAY_S, "seconds"),
        about("Seconds between two pings of a connection."),
    ] = 25.0
    drain_s: Annotated[
        float,
        LIMITS,
        named("drain"),
        between(0, HOUR_S, "seconds"),
        about("Seconds that clients have to leave after SIGTERM or Ctrl-C."),
    ] = 10.0

    origins: Annotated[
        tuple[str, ...],
        ACCESS,
        ORIGINS,
        unset("none"),
        about("Web origins allowed besides our own page and loopback; give it once for each."),
    ] = ()
    api_key: Annotated[str | None, ACCESS, NOT_BLANK, unset("API closed"), about("Secret that opens the HTTP API.")] = (
        field(default=None, repr=False)
    )
    token_secret: Annotated[
        str | None,
        ACCESS,
        TOKEN_SECRET,
        unset("no token needed"),
        about("Secret that signs the JWT (HS256) which every connection then needs."),
    ] = field(default=None, repr=False)
    public_pages: Annotated[
        bool, ACCESS, SWITCH, about("Show the read-only pages also when not bound to loopback.")
    ] = False

    backlog: Annotated[
        WholeNumber,
        TUNING,
        between(1, 65_535),
        about("Connections the kernel completes while the server is busy; it caps this at net.core.somaxconn."),
    ] = 4_096
    send_buffer_bytes: Annotated[
        WholeNumber,
        TUNING,
        named("send-buffer"),
        between(0, 64 * MIB, "bytes"),
        about("Bytes the kernel may hold for one client before our own queue begins; 0: as it likes."),
    ] = 0
    heartbeat_phase: Annotated[
        HeartbeatPhase,
        TUNING,
        about("When clients are pinged: 'spread' over the period, or 'together' at one moment of it."),
    ] = "spread"

    log_format: Annotated[LogFormat, LOGS, about("'auto': 'console' on a terminal, 'json' elsewhere.")] = "auto"
    log_level: Annotated[LogLevel, LOGS, about("Least severe event that is logged.")] = "info"
    log_period_s: Annotated[
        float,
        LOGS,
        named("log-period"),
        between(0.1, DAY_S, "seconds"),
        about("Seconds between two lines of live figures."),
    ] = 10.0
