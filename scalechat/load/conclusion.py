"""The end of a run: its figures, its verdict, and the two documents that say so."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from scalechat import __version__
from scalechat.config import public_values
from scalechat.load.assignment import Assignment
from scalechat.load.errors import ErrorLog
from scalechat.load.health import cpu_model, cpu_quota_cores
from scalechat.load.histogram import Histogram
from scalechat.load.observer import ServerObserver
from scalechat.load.recorder import Recorder
from scalechat.load.results import (
    FIGURES,
    ConfigValue,
    Figure,
    Ledger,
    Manifest,
    RunWriter,
    Summary,
    Target,
    Tool,
    Worker,
)
from scalechat.load.rows import WORKER_ID
from scalechat.load.slo import Slo
from scalechat.load.timeline import PhaseNumber, Timeline
from scalechat.load.verdict import Facts, Judgement, judge

_GIT_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run that was written."""

    run_dir: Path
    exit_code: int
    summary: Summary
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Steady:
    """What was measured about the measured phase itself."""

    duration_s: float
    peak_clients: int
    published: int
    delivered: int
    server_cpu_cores: float | None
    server_rss_bytes: float | None


def ledger_of(recorder: Recorder) -> Ledger:
    """What happened to every message, over all phases; after the last window."""
    counters, acknowledged = recorder.counters, recorder.acknowledged
    return Ledger(
        published=counters.published,
        acked=counters.acked if acknowledged else None,
        rejected=counters.rejected if acknowledged else None,
        unacked=counters.published - counters.acked - counters.rejected if acknowledged else None,
        expected=counters.expected,
        delivered=counters.delivered,
        missing=recorder.missing,
        duplicated=counters.duplicated,
        reordered=counters.reordered,
        corrupted=counters.corrupted,
        phantom=counters.phantom,
    )


def judgement_of(facts: Facts, slos: tuple[Slo, ...], recorder: Recorder, *, errors: int) -> Judgement:
    """The verdict on a run whose last window is closed."""
    ledger, counters = ledger_of(recorder), recorder.counters
    counted: dict[str, int | None] = {
        "missing": ledger.missing,
        "duplicated": ledger.duplicated,
        "reordered": ledger.reordered,
        "corrupted": ledger.corrupted,
        "phantom": ledger.phantom,
        "rejected": ledger.rejected,
        "unacked": ledger.unacked,
        "evicted": counters.evicted,
        "disconnects": counters.disconnects,
        "connect_failures": sum(counters.connect_failures.values()),
        "errors": errors,
    }
    return judge(facts, slos, [slo.judge(_measured(recorder, slo.subject), counted) for slo in slos])


def figures_of(recorder: Recorder, facts: Facts, steady: Steady) -> dict[str, Figure]:
    """The headline; what could not be measured is null."""
    delivery = recorder.total(PhaseNumber.STEADY, "delivery")
    ack_rtt = recorder.total(PhaseNumber.STEADY, "ack_rtt")
    connect = recorder.merged("connect")
    seconds = steady.duration_s or None
    values: dict[str, float | None] = {
        "clients": steady.peak_clients,
        "rooms": recorder.plan.rooms,
        "offered_per_s": facts.intended / seconds if seconds else None,
        "published_per_s": steady.published / seconds if seconds else None,
        "delivered_per_s": steady.delivered / seconds if seconds else None,
        "delivery_p50": _ms(delivery.quantile_ns(0.5)),
        "delivery_p90": _ms(delivery.quantile_ns(0.9)),
        "delivery_p99": _ms(delivery.quantile_ns(0.99)),
        "delivery_p99_9": _ms(delivery.quantile_ns(0.999)),
        "delivery_p99_99": _ms(delivery.quantile_ns(0.9999)),
        "delivery_max": _ms(delivery.max_ns),
        "ack_rtt_p50": _ms(ack_rtt.quantile_ns(0.5)),
        "ack_rtt_p99": _ms(ack_rtt.quantile_ns(0.99)),
        "connect_p50": _ms(connect.quantile_ns(0.5)),
        "connect_p99": _ms(connect.quantile_ns(0.99)),
        "send_lag_p50": _ms(facts.send_lag_p50_ns),
        "loop_lag_p99": _ms(facts.loop_lag_p99_ns),
        "generator_cpu": facts.cpu_ratio,
        "server_cpu": steady.server_cpu_cores,
        "server_rss": steady.server_rss_bytes,
    }
    return {name: Figure(value=values[name], unit=unit) for name, unit in FIGURES.items() if name in values}


def conclude(
    writer: RunWriter,
    todo: Assignment,
    *,
    timeline: Timeline,
    recorder: Recorder,
    errors: ErrorLog,
    observer: ServerObserver | None,
    steady: Steady,
    facts: Facts,
    ended_ns: int,
) -> RunOutcome:
    """Judge the run and write `summary.json` and `run.json`: it is finished."""
    judgement = judgement_of(facts, todo.slos, recorder, errors=errors.total)
    manifest = Manifest(
        run_id=writer.run_id,
        started_unix_ns=timeline.unix_ns(timeline.start_ns),
        ended_unix_ns=timeline.unix_ns(ended_ns),
        tool=Tool(name="scalechat", version=__version__, git_commit=_git_commit()),
        seed=todo.plan.seed,
        config={
            name: ConfigValue(value=value, source=todo.sources.get(name, "default"))
            for name, value in public_values(todo.config).items()
        },
        phases=timeline.phases(ended_ns),
        target=_target(todo, observer),
        workers=[_this_worker()],
        ledger=ledger_of(recorder),
        validity=judgement.validity,
        verdict=judgement.verdict,
        objectives=judgement.objectives,
        exit_code=judgement.exit_code,
        interrupted=facts.interrupted,
    )
    summary = Summary(
        run_id=writer.run_id,
        figures=figures_of(recorder, facts, steady),
        objectives=judgement.objectives,
        validity=judgement.validity,
        verdict=judgement.verdict,
        exit_code=judgement.exit_code,
        interrupted=facts.interrupted,
    )
    written = writer.finish(manifest, summary)
    return RunOutcome(writer.run_dir, judgement.exit_code, summary, written)


def _this_worker() -> Worker:
    """This process and its machine. The clock of worker 0 is the reference: its offset is 0."""
    system = platform.uname()
    return Worker(
        worker_id=WORKER_ID,
        host=system.node,
        pid=os.getpid(),
        cpu_model=cpu_model(),
        cpu_count=os.cpu_count() or 1,
        cpu_quota_cores=cpu_quota_cores(),
        kernel=f"{system.system} {system.release}",
        python=platform.python_version(),
        trio=trio.__version__,
        clock_offset_ns=0,
        clock_error_ns=0,
    )


def _target(todo: Assignment, observer: ServerObserver | None) -> Target:
    """The server under load, as it describes itself."""
    return Target(
        url=str(public_values(todo.config)["server_url"]),
        dialect="v1" if todo.config.target == "scalechat" else todo.config.target,
        version=None if observer is None else observer.version,
        config=dict(todo.stated) | ({} if observer is None else observer.stated),
    )


def _measured(recorder: Recorder, metric: str) -> Histogram:
    # Connections are made before the measured phase; an objective about them means all of them.
    return recorder.merged(metric) if metric == "connect" else recorder.total(PhaseNumber.STEADY, metric)


def _ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6


def _git_commit() -> str | None:
    """The commit this program was run from; None when it was installed."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=tree, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
