"""What `load` can be told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from scalechat.config.errors import UsageError
from scalechat.config.shared import (
    CA_FILE,
    DAY_MS,
    DAY_S,
    DEFAULT_URL,
    DURATION_S,
    HOUR_S,
    LOAD,
    MANY,
    PHASES,
    RESULT,
    TARGET,
    Arrivals,
    Loop,
    Target,
)
from scalechat.scenario import AnyKind, Event, Step
from scalechat.tables import Template
from scalechat.values import (
    NOT_BLANK,
    RENDEZVOUS,
    SEVERAL,
    SWITCH,
    WEBSOCKET_URL,
    WholeNumber,
    about,
    above_zero,
    between,
    named,
    table,
    unset,
)

RampPerS: TypeAlias = Annotated[
    float,
    PHASES,
    named("ramp"),
    above_zero(MANY, "connections per second"),
    about("Connections opened per second at the start."),
]
WarmupS: TypeAlias = Annotated[
    float,
    PHASES,
    named("warmup"),
    between(0, DAY_S, "seconds"),
    about("Seconds under load before anything is measured."),
]
DurationS: TypeAlias = Annotated[
    float,
    PHASES,
    named("duration"),
    above_zero(7 * DAY_S, "seconds"),
    about("Seconds measured, after the warm-up."),
]
Slo: TypeAlias = Annotated[
    tuple[str, ...],
    RESULT,
    SEVERAL,
    about("Objective such as 'p99(delivery) < 200ms' or 'missing == 0'; give it once for each."),
]
"""These are settings of every command that loads; each has a default of its own."""


ANSWER_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfig:
    """What `load` can be told."""

    server_url: Annotated[str, TARGET, WEBSOCKET_URL, about("Server to connect to.")] = DEFAULT_URL
    target: Annotated[
        Target,
        TARGET,
        about(
            "Dialect: 'scalechat' has acknowledgements; 'plain' is the two-key JSON that any server can speak; "
            "'template' is what the scenario's [template] table describes."
        ),
    ] = "scalechat"
    template: Annotated[Template | None, TARGET, table(Template)] = None
    token: Annotated[str | None, TARGET, NOT_BLANK, unset("none"), about("JWT to connect with.")] = field(
        default=None, repr=False
    )
    ca_file: Annotated[Path | None, TARGET, unset("the system's authorities"), CA_FILE] = None
    insecure: Annotated[
        bool, TARGET, SWITCH, about("Take any certificate of the server: expired, of another name, signed by nobody.")
    ] = False
    connect_timeout_s: Annotated[
        float,
        TARGET,
        named("connect-timeout"),
        above_zero(HOUR_S, "seconds"),
        about("Seconds that one connection may take to be established."),
    ] = 10.0
    clients_per_address: Annotated[
        WholeNumber,
        TARGET,
        between(1, 60_000),
        about("Clients that share a source address, to a target on loopback: those beyond it dial from 127.0.0.2, …"),
    ] = 20_000
    no_reconnect: Annotated[
        bool, TARGET, SWITCH, about("A client whose connection is lost stays away; otherwise it dials again.")
    ] = False

    clients: Annotated[WholeNumber, LOAD, between(1, MANY), about("Simulated clients.")] = 1
    msg_frequency_ms: Annotated[
        float,
        LOAD,
        named("msg-frequency"),
        above_zero(DAY_MS, "milliseconds"),
        about("Each publishing client sends one message every so many milliseconds."),
    ] = 1_000.0
    msg_size: Annotated[
        str, LOAD, NOT_BLANK, about("Bytes of a message: a number, or a distribution such as uniform:64-1024.")
    ] = "256"
    publishers: Annotated[
        WholeNumber | None,
        LOAD,
        between(0, MANY),
        unset("all"),
        about("How many of the clients publish; the others only read."),
    ] = None
    rooms: Annotated[WholeNumber, LOAD, between(1, MANY), about("Rooms; the clients are spread evenly over them.")] = 1
    arrivals: Annotated[
        Arrivals, LOAD, about("When a client's messages are due: on a grid, jittered on the grid, or at random.")
    ] = "jittered"
    loop: Annotated[
        Loop,
        LOAD,
        about(
            "'open': messages are due by the plan, whatever the server does. 'closed': a client sends its next one "
            "when it has the answer to its last, and not before its period is over; that hides stalls."
        ),
    ] = "open"
    answer_timeout_s: Annotated[
        float,
        LOAD,
        named("answer-timeout"),
        above_zero(HOUR_S, "seconds"),
        about("Seconds that a client of a closed loop waits for an answer, before it sends its next message anyway."),
    ] = ANSWER_TIMEOUT_S
    seed: Annotated[
        WholeNumber | None,
        LOAD,
        between(0, 2**63 - 1),
        unset("drawn and recorded"),
        about("Seed of the plan: the same seed gives the same plan."),
    ] = None
    scenario: Annotated[
        Path | None,
        LOAD,
        unset("none"),
        about(
            "TOML file with any of these settings and the tables [[kinds]], [[events]] and [[phases]], "
            "as in configs/scenarios."
        ),
    ] = None
    kinds: Annotated[
        tuple[AnyKind, ...], LOAD, table(tuple[AnyKind, ...]), about("Clients that are not normal ones.")
    ] = ()
    events: Annotated[
        tuple[Event, ...], LOAD, table(tuple[Event, ...]), about("What happens once, at a time of the measured phase.")
    ] = ()

    processes: Annotated[
        WholeNumber,
        LOAD,
        between(1, 256),
        about("Load processes on this machine that share the clients; each uses one core."),
    ] = 1
    rendezvous: Annotated[
        str | None,
        LOAD,
        RENDEZVOUS,
        unset("none"),
        about("Redis through which several containers or machines meet for one run."),
    ] = None
    rendezvous_key: Annotated[
        str, LOAD, NOT_BLANK, about("The run's name in that Redis: runs at the same time need different ones.")
    ] = "load"
    rendezvous_timeout_s: Annotated[
        float,
        LOAD,
        named("rendezvous-timeout"),
        above_zero(HOUR_S, "seconds"),
        about("Seconds to wait until all instances are there."),
    ] = 60.0
    expected_instances: Annotated[
        WholeNumber | None, LOAD, between(1, 256), unset("none"), about("How many instances meet.")
    ] = None
    instance: Annotated[
        WholeNumber | None,
        LOAD,
        between(0, 255),
        unset("the pod's index in a Kubernetes Indexed Job, else the first free one"),
        about("Number of this instance; 0 coordinates and gets the run directory."),
    ] = None

    ramp_per_s: RampPerS = 500.0
    warmup_s: WarmupS = 3.0
    duration_s: DurationS = DURATION_S
    phases: Annotated[
        tuple[Step, ...], PHASES, table(tuple[Step, ...]), about("Steps after the warm-up, instead of a duration.")
    ] = ()
    shorten_to_s: Annotated[
        float | None,
        PHASES,
        named("shorten-to"),
        above_zero(7 * DAY_S, "seconds"),
        unset("what they say"),
        about("Seconds that all [[phases]] together take; they and the times of [[events]] shrink in proportion."),
    ] = None
    drain_s: Annotated[
        float,
        PHASES,
        named("drain-timeout"),  # SCALECHAT_DRAIN already is the server's
        between(0, HOUR_S, "seconds"),
        about("Seconds to wait at the end for messages still under way."),
    ] = 5.0

    out: Annotated[Path, RESULT, about("Where run directories go.")] = Path("runs")
    slo: Annotated[Slo, unset("none")] = ()
    metrics_port: Annotated[
        WholeNumber | None,
        RESULT,
        between(0, 65_535),
        unset("off"),
        about("Port of the load client's own /metrics; 0 takes any free one."),
    ] = None
    quiet: Annotated[bool, RESULT, SWITCH, about("Show no progress, only the summary.")] = False
    json: Annotated[bool, RESULT, SWITCH, about("Print the summary as JSON.")] = False

    def __post_init__(self) -> None:
        """Refuse combinations that no plan can be made for."""
        if self.phases and self.duration_s != DURATION_S:
            raise UsageError(
                "the scenario's [[phases]] say how long the run takes: leave --duration out, or give --shorten-to"
            )
        if self.shorten_to_s is not None and not self.phases:
            raise UsageError("--shorten-to is for scenarios with [[phases]]: --duration says how long this run takes")
        if self._scale > 1:
            raise UsageError(
                f"the scenario's [[phases]] take {self._planned_s:g} s: --shorten-to must be less than that"
            )
        if not any(step.measured for step in self.steps):
            raise UsageError("every one of the [[phases]] has measured = false: nothing would be measured")
        most = max((step.clients or 0 for step in self.steps), default=0)
        if most > self.clients:
            raise UsageError(f"one of the [[phases]] has {most} clients and there are {self.clients}: raise --clients")
        names = [step.name for step in self.steps]
        if len({*names, "ramp", "warmup", "drain"}) != len(names) + 3:
            raise UsageError("[[phases]] need names of their own: each another, and none ramp, warmup or drain")
        if (self.target == "template") != (self.template is not None):
            raise UsageError("--target template and the scenario's [template] table go together: give both or neither")
        if self.insecure and self.ca_file is not None:
            raise UsageError("--ca-file says whom to trust and --insecure to trust anybody: give one of them")
        if self.loop == "open" and self.answer_timeout_s != ANSWER_TIMEOUT_S:
            raise UsageError("--answer-timeout means something with --loop closed only: an open loop waits for nobody")
        if self.loop == "closed" and self.arrivals == "poisson":
            raise UsageError("in a closed loop a message is due after the last one: leave --arrivals poisson out")
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
    def steps(self) -> tuple[Step, ...]:
        """What follows the warm-up, as long as it really takes: the scenario's phases, or one of `duration_s`."""
        if not self.phases:
            return (Step(name="steady", duration_s=self.duration_s),)
        return tuple(step.scaled(self._scale) for step in self.phases)

    @property
    def happenings(self) -> tuple[Event, ...]:
        """The events, at the times when they really happen."""
        return tuple(event.scaled(self._scale) for event in self.events)

    @property
    def _planned_s(self) -> float:
        return sum(step.duration_s for step in self.phases)

    @property
    def _scale(self) -> float:
        """How much of the scenario's time is taken."""
        return 1.0 if self.shorten_to_s is None else self.shorten_to_s / self._planned_s

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
