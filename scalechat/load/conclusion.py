"""The end of a run: its figures, its verdict, and the two documents that say so."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scalechat import __version__
from scalechat.config import public_values
from scalechat.intervals import bounds
from scalechat.load.assignment import Assignment
from scalechat.load.histogram import Histogram
from scalechat.load.part import (
    COUNTED,
    Part,
    total_measured,
    total_of_all_phases,
    whole_ledger,
    whole_steady,
    whole_stretches,
)
from scalechat.load.plan import Plan
from scalechat.load.results import (
    FIGURES,
    ConfigValue,
    Figure,
    Manifest,
    Reason,
    RunWriter,
    Summary,
    Target,
    Tool,
)
from scalechat.load.slo import Slo
from scalechat.load.verdict import Facts, Judgement, judge, whole_facts

_GIT_TIMEOUT_S: Final = 2.0
_PERCENTILES: Final = {
    "delivery": {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999},
    "ack_rtt": {"p50": 0.5, "p99": 0.99},
    "send_lag": {"p50": 0.5},
}


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run that was written."""

    run_dir: Path
    exit_code: int
    summary: Summary
    manifest: Manifest
    failed_dials: str | None = None
    """What a person should know about connections that the server did not take, and who was never there."""


def judgement_of(parts: Sequence[Part], slos: tuple[Slo, ...], distrust: Sequence[Reason]) -> Judgement:
    """The verdict on a run whose parts are complete."""
    ledger = whole_ledger(parts)
    counted: dict[str, int | None] = {
        "missing": ledger.missing,
        "duplicated": ledger.duplicated,
        "reordered": ledger.reordered,
        "corrupted": ledger.corrupted,
        "phantom": ledger.phantom,
        "rejected": ledger.rejected,
        "unacked": ledger.unacked,
        **{name: sum(part.counted[name] for part in parts) for name in COUNTED},
    }
    judged = [slo.judge(_measured(parts, slo.subject), counted) for slo in slos]
    return judge([part.facts for part in parts], slos, judged, distrust)


def figures_of(parts: Sequence[Part], plan: Plan) -> dict[str, Figure]:
    """The headline; what could not be measured is null."""
    facts, steady = whole_facts([part.facts for part in parts]), whole_steady(parts)
    delivery = total_measured(parts, "delivery")
    connect = total_of_all_phases(parts, "connect")
    seconds = steady.duration_s or None
    values: dict[str, float | None] = {
        "clients": steady.peak_clients,
        "rooms": plan.rooms,
        "offered_per_s": facts.intended / seconds if seconds else None,
        "published_per_s": steady.published / seconds if seconds else None,
        "delivered_per_s": steady.delivered / seconds if seconds else None,
        "delivery_max": _ms(delivery.max_ns),
        "connect_p50": _ms(connect.quantile_ns(0.5)),
        "connect_p99": _ms(connect.quantile_ns(0.99)),
        "loop_lag_p99": _ms(facts.loop_lag_p99_ns),
        "generator_cpu": facts.cpu_ratio,
        "server_cpu": steady.server_cpu_cores,
        "server_rss": steady.server_rss_bytes,
    }
    measured = {name: Figure(value=value, unit=FIGURES[name]) for name, value in values.items()} | _percentiles(parts)
    return {name: measured[name] for name in FIGURES if name in measured}


def _percentiles(parts: Sequence[Part]) -> dict[str, Figure]:
    """Those that are measured all along, each with its interval where there is enough to say one."""
    stretches, found = whole_stretches(parts), {}
    for metric, ranks in _PERCENTILES.items():
        whole = total_measured(parts, metric)
        for (name, rank), estimate in zip(
            ranks.items(), stretches.estimates(metric, whole, list(ranks.values())), strict=True
        ):
            value = _ms(whole.quantile_ns(rank))
            interval = None
            if value is not None:
                # Around the figure that is told: inside its bucket the estimate may lie elsewhere.
                low, high = bounds(replace(estimate, value=value))
                interval = None if math.isnan(low) else (low, high)
            found[f"{metric}_{name}"] = Figure(value=value, unit="ms", interval=interval)
    return found


def conclude(
    writer: RunWriter, todo: Assignment, parts: Sequence[Part], *, distrust: Sequence[Reason] = ()
) -> RunOutcome:
    """Judge the run and write `summary.json` and `run.json`: it is finished.

    `parts`: one for each process that reached the end. `distrust`: why they are not all there.
    """
    judgement = judgement_of(parts, todo.slos, distrust)
    interrupted = any(part.facts.interrupted for part in parts)
    manifest = Manifest(
        run_id=writer.run_id,
        started_unix_ns=min(part.started_unix_ns for part in parts),
        ended_unix_ns=max(part.ended_unix_ns for part in parts),
        tool=Tool(name="scalechat", version=__version__, git_commit=_git_commit()),
        seed=todo.plan.seed,
        config={
            name: ConfigValue(value=value, source=todo.sources.get(name, "default"))
            for name, value in public_values(todo.config).items()
        },
        phases=list(parts[0].phases),
        target=_target(todo, parts),
        workers=[part.worker for part in parts],
        ledger=whole_ledger(parts),
        validity=judgement.validity,
        verdict=judgement.verdict,
        objectives=judgement.objectives,
        exit_code=judgement.exit_code,
        interrupted=interrupted,
        loop=todo.config.loop,
    )
    summary = Summary(
        run_id=writer.run_id,
        figures=figures_of(parts, todo.plan),
        objectives=judgement.objectives,
        validity=judgement.validity,
        verdict=judgement.verdict,
        exit_code=judgement.exit_code,
        interrupted=interrupted,
        loop=todo.config.loop,
    )
    written = writer.finish(manifest, summary)
    told = _failed_dials(whole_facts([part.facts for part in parts]), todo.config.clients)
    return RunOutcome(writer.run_dir, judgement.exit_code, summary, written, told)


def _failed_dials(facts: Facts, clients: int) -> str | None:
    told = []
    if refused := facts.failed_dials - facts.own_failures:
        why = "" if facts.own_failures else f" ({facts.failure_example})"  # The example is of those, if there are any.
        told.append(f"connections that did not come about: {refused:,}{why}")
    if facts.never_came:
        told.append(f"{facts.never_came:,} of {clients:,} clients never connected")
    return "; ".join(told) or None


def _target(todo: Assignment, parts: Sequence[Part]) -> Target:
    """The server under load, as it describes itself."""
    return Target(
        url=str(public_values(todo.config)["server_url"]),
        dialect="v1" if todo.config.target == "scalechat" else todo.config.target,
        version=next((part.target_version for part in parts if part.target_version is not None), None),
        config=dict(todo.stated) | {name: value for part in parts for name, value in part.target_config.items()},
    )


def _measured(parts: Sequence[Part], metric: str) -> Histogram:
    # Connections are made before the measured phase; an objective about them means all of them.
    if metric == "connect":
        return total_of_all_phases(parts, metric)
    return total_measured(parts, metric)


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
