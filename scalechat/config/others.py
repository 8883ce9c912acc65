"""What the commands for people can be told: chatting, reading results, demonstrations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from scalechat.config.shared import (
    CA_FILE,
    DAY_MS,
    DAY_S,
    DEFAULT_URL,
    MANY,
)
from scalechat.values import (
    NO_TWIN,
    NOT_BLANK,
    SEVERAL,
    SWITCH,
    WEBSOCKET_URL,
    WholeNumber,
    about,
    above_zero,
    between,
    named,
    unset,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """What `chat` can be told."""

    server_url: Annotated[str, WEBSOCKET_URL, about("Server to connect to.")] = DEFAULT_URL
    room: Annotated[str, NOT_BLANK, about("Room to enter first.")] = "global"
    client_id: Annotated[
        str | None, named("name"), NOT_BLANK, unset("your login name"), about("Name to speak under.")
    ] = None
    token: Annotated[str | None, NOT_BLANK, unset("none"), about("JWT to connect with.")] = field(
        default=None, repr=False
    )
    ca_file: Annotated[Path | None, unset("the system's authorities"), CA_FILE] = None
    history: Annotated[
        WholeNumber,
        named("last"),  # SCALECHAT_HISTORY already is the server's
        between(0, 1_000, "messages"),
        about("Messages shown from before you came."),
    ] = 20


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What `report` can be told."""

    runs: Annotated[
        tuple[str, ...],
        named("run"),
        SEVERAL,
        NO_TWIN,
        about("Run directory, such as runs/…; or a Prometheus server, such as http://127.0.0.1:9090."),
    ]
    out: Annotated[
        Path | None,
        NO_TWIN,  # SCALECHAT_OUT already is where runs go
        unset("report.html in the run, or here"),
        about("File to write the report to."),
    ] = field(default=None, kw_only=True)
    minutes: Annotated[
        WholeNumber, between(1, 527_040, "minutes"), about("How much of a Prometheus server's past is shown.")
    ] = field(default=15, kw_only=True)
    until: Annotated[
        str | None,
        NOT_BLANK,
        unset("now"),
        about("When that ends, such as 2026-01-31T14:05, in UTC where it does not say."),
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

    clients: Annotated[WholeNumber, between(1, MANY), about("Simulated clients.")] = 200
    rooms: Annotated[WholeNumber, between(1, MANY), about("Rooms; the clients are spread evenly over them.")] = 4
    duration_s: Annotated[
        float, named("duration"), above_zero(DAY_S, "seconds"), about("Seconds measured, after the warm-up.")
    ] = 10.0
    msg_frequency_ms: Annotated[
        float,
        named("msg-frequency"),
        above_zero(DAY_MS, "milliseconds"),
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
    docs: Annotated[
        Path | None,
        NO_TWIN,
        unset("none"),
        about("Folder with the problem's page, such as docs/scale-problems: table and picture go into it as well."),
    ] = field(default=None, kw_only=True)
    json: Annotated[bool, SWITCH, about("Print what was seen as JSON.")] = field(default=False, kw_only=True)
