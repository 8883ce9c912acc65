"""`run.json` and `summary.json`: what was run, and what came out, as typed values."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "CLOSED_LOOP",
    "FIGURES",
    "SCHEMA_VERSION",
    "ConfigValue",
    "Figure",
    "FileEntry",
    "Ledger",
    "Manifest",
    "Objective",
    "Phase",
    "PhaseKind",
    "Reason",
    "Scalar",
    "SearchAnswer",
    "Summary",
    "Target",
    "Tool",
    "Validity",
    "Verdict",
    "Worker",
]

SCHEMA_VERSION = "1.3"
"""Minor: something was added.  Major: something was renamed, removed or changed its meaning."""

FIGURES = {
    "clients": "clients",  # most connections open at once in the measured phases
    "rooms": "rooms",
    "offered_per_s": "messages/s",  # by the plan; this and all below: measured phases only
    "published_per_s": "messages/s",
    "delivered_per_s": "deliveries/s",
    "delivery_p50": "ms",
    "delivery_p90": "ms",
    "delivery_p99": "ms",
    "delivery_p99_9": "ms",
    "delivery_p99_99": "ms",
    "delivery_max": "ms",
    "ack_rtt_p50": "ms",
    "ack_rtt_p99": "ms",
    "connect_p50": "ms",
    "connect_p99": "ms",
    "send_lag_p50": "ms",
    "loop_lag_p99": "ms",  # of the generator
    "generator_cpu": "cores",  # busiest worker
    "server_cpu": "cores",  # by the server's own metrics
    "server_rss": "bytes",
}
"""Names and units of the figures in `summary.json`; a run may lack some and may add others."""

Verdict = Literal["pass", "fail", "invalid", "interrupted"]
"""An interrupted run has no other: it was not seen to its end, and its objectives say how they stood so far."""
Loop = Literal["open", "closed"]
CLOSED_LOOP = (
    "closed loop: each client waits for its answer before it sends again, so a server that stalls is asked less, "
    "and its stalls are hidden from these latencies"
)
"""For a person, wherever results of one are shown."""
PhaseKind = Literal["ramp", "warmup", "steady", "drain"]
Scalar = str | int | float | bool | None


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything in the two documents; unknown keys of newer writers are ignored."""


class Tool(_Part, frozen=True, kw_only=True):
    """The program that made the run."""

    name: str
    version: str
    git_commit: str | None = None


class ConfigValue(_Part, frozen=True, kw_only=True):
    """A resolved option and where it came from (flag, environment, file …, default)."""

    value: Scalar | list[str]
    source: str


class Phase(_Part, frozen=True, kw_only=True):
    """A stretch of the run; only `measured` phases count for latency objectives."""

    name: str
    kind: PhaseKind
    start_s: float
    end_s: float
    measured: bool


class Target(_Part, frozen=True, kw_only=True):
    """The server under load; `config` holds what it says about itself (limits, build)."""

    url: str
    dialect: str
    version: str | None = None
    config: dict[str, Scalar] = {}


class Worker(_Part, frozen=True, kw_only=True):
    """A load process and the machine it ran on; clock figures are against worker 0."""

    worker_id: str
    host: str
    pid: int
    cpu_model: str | None
    cpu_count: int
    cpu_quota_cores: float | None
    kernel: str
    python: str
    trio: str
    clock_offset_ns: int | None = None
    clock_error_ns: int | None = None


class Ledger(_Part, frozen=True, kw_only=True):
    """What happened to every message, over all phases; null where it cannot be known.

    `published = acked + rejected + unacked` where the server acknowledges, and
    `expected = delivered + missing` once the drain is over. Refused and unacknowledged messages are promised to nobody:
    they are expected by exactly those who got them.
    """

    published: int
    acked: int | None
    rejected: int | None
    unacked: int | None
    expected: int
    delivered: int
    missing: int
    duplicated: int
    reordered: int
    corrupted: int
    phantom: int
    early: int = 0
    """Deliveries to members that joined after the message was published: promised to nobody."""
    unknown_frames: int = 0
    """Frames of the server that are neither messages of the run nor anything the target's language knows."""
    refused_delivered: int = 0
    """Those of `delivered` that brought messages which the server had refused, or refused later."""


class Reason(_Part, frozen=True, kw_only=True):
    """Why a measurement cannot be trusted: a stable code and a sentence."""

    code: str
    text: str


class Validity(_Part, frozen=True, kw_only=True):
    """Whether the figures may be believed at all."""

    valid: bool
    reasons: list[Reason] = []


class Objective(_Part, frozen=True, kw_only=True):
    """A `--slo` and how it went; `ok` is null when it could not be judged."""

    expression: str
    observed: float | None
    bound: float
    unit: str
    ok: bool | None
    reason: str | None = None


class FileEntry(_Part, frozen=True, kw_only=True):
    """A file of the run; `rows` without the header, null for files that have no rows."""

    rows: int | None
    sha256: str
    size_bytes: int


class SearchAnswer(_Part, frozen=True, kw_only=True):
    """What a capacity search found: the highest load that held, the lowest that did not."""

    quantity: Literal["clients", "rate", "rooms"]
    unit: str
    kind: Literal["found", "ceiling", "generator", "unclear", "none", "unfinished"]
    held: float | None
    failed: float | None
    confirmed: bool
    resolution: float
    confirm: int
    confirm_of: int
    text: str
    """The answer in one line, for a person."""
    probes: int
    caution: str | None = None
    """Why another search may find something else: the machine itself was not the same all along."""


class Manifest(_Part, frozen=True, kw_only=True):
    """`run.json`; its presence says that the run was finished.

    `files` is filled in by the writer.  `interrupted` runs ended before their time but are whole;
    their verdict is that word.
    """

    run_id: str
    started_unix_ns: int
    ended_unix_ns: int
    tool: Tool
    seed: int
    config: dict[str, ConfigValue]
    phases: list[Phase]
    target: Target
    workers: list[Worker]
    ledger: Ledger
    validity: Validity
    verdict: Verdict
    objectives: list[Objective]
    exit_code: int
    interrupted: bool = False
    loop: Loop = "open"
    """Whether messages were due by the plan, or when their publisher had the answer to its last one."""
    files: dict[str, FileEntry] = {}
    schema_version: str = SCHEMA_VERSION
    search: SearchAnswer | None = None
    """Only a capacity search has one; its ledger is the sum over its probes."""


class Figure(_Part, frozen=True, kw_only=True):
    """A value with its unit; null when it could not be measured."""

    value: float | None
    unit: str
    interval: tuple[float, float] | None = None
    """Of a percentile, at 95 %; null when there is too little to say how sure it is."""


class Summary(_Part, frozen=True, kw_only=True):
    """`summary.json`: the few figures that a person or a CI job asks for first."""

    run_id: str
    figures: dict[str, Figure]
    objectives: list[Objective]
    validity: Validity
    verdict: Verdict
    exit_code: int
    interrupted: bool = False
    loop: Loop = "open"
    """Latencies of a closed loop hide stalls."""
    schema_version: str = SCHEMA_VERSION
