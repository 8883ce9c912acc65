"""Capacity searches with known answers, written with the real writer: no server was needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scalechat.load.results import (
    ConfigValue,
    Ledger,
    Manifest,
    Objective,
    RunWriter,
    SearchAnswer,
    SearchRow,
    Summary,
    Target,
    Tool,
    Validity,
)

from .synthetic import START_NS, Case, write_run

PROBES = (
    ("first", 1_000, "held", 4.0),
    ("double", 2_000, "held", 4.4),
    ("double", 4_000, "held", 5.1),
    ("double", 8_000, "failed", 950.0),
    ("repeat", 8_000, "failed", 870.0),
    ("bisect", 6_000, "unsteady", 190.0),
    ("repeat", 6_000, "held", 84.0),
    ("bisect", 7_000, "failed", 410.0),
    ("repeat", 7_000, "failed", 430.0),
    ("confirm", 6_000, "held", 88.0),
)


@dataclass(frozen=True, kw_only=True)
class SearchCase:
    """What the search is to look like."""

    kind: str = "found"
    finished: bool = True
    caution: str | None = None
    probes: int = len(PROBES)
    foreign: bool = False
    server_cores: float = 0.99
    """Of the lowest load that failed."""


def write_search(out: Path, case: SearchCase | None = None) -> Path:
    """Write the search and return its directory; the run of its lowest failed probe is there, with a full core."""
    case = case or SearchCase()
    with RunWriter.create(out, run_id="search-1", only=[SearchRow]) as writer:
        probe_run = write_run(writer.run_dir / "probes", Case(server_cores=case.server_cores, foreign=case.foreign), 7)
        for number, (step, value, outcome, p99) in enumerate(PROBES[: case.probes], start=1):
            writer.append(
                SearchRow(
                    t_s=10.0 * number,
                    ts_unix_ns=START_NS + number,
                    worker_id="0",
                    phase="search",
                    probe=number,
                    quantity="clients",
                    value=float(value),
                    verdict="pass" if outcome == "held" else "fail",
                    reason=None if outcome == "held" else f"p99(delivery) < 200ms: {p99:g} ms",
                    step=step,
                    outcome=outcome,
                    run_id=probe_run.name if value == 7_000 else None,
                    clients=float(value),
                    published_per_s=20.0,
                    delivered_per_s=20.0 * value,
                    delivery_p50_ms=p99 / 4,
                    delivery_p99_ms=p99,
                    delivery_p99_9_ms=p99 * 1.5,
                    missing=0,
                    generator_cpu_cores=value / 12_000,
                    server_cpu_cores=None if case.foreign else min(1.0, value / 6_500),
                    server_rss_bytes=None if case.foreign else 60e6 + 15e3 * value,
                )
            )
        if case.finished:
            writer.finish(_manifest(case), _summary())
        return writer.run_dir


def _objectives() -> list[Objective]:
    return [Objective(expression="p99(delivery) < 200ms", observed=88.0, bound=200.0, unit="ms", ok=True)]


def _summary() -> Summary:
    return Summary(
        run_id="search-1",
        figures={},
        objectives=_objectives(),
        validity=Validity(valid=True),
        verdict="pass",
        exit_code=0,
    )


def _manifest(case: SearchCase) -> Manifest:
    none = case.kind == "none"
    return Manifest(
        run_id="search-1",
        started_unix_ns=START_NS,
        ended_unix_ns=START_NS + 100_000_000_000,
        tool=Tool(name="scalechat", version="0.1.0"),
        seed=7,
        config={"slo": ConfigValue(value=["p99(delivery) < 200ms", "missing == 0"], source="default")},
        phases=[],
        target=Target(url="ws://127.0.0.1:8080/ws", dialect="v1"),
        workers=[],
        ledger=Ledger(
            published=1,
            acked=1,
            rejected=0,
            unacked=0,
            expected=1,
            delivered=1,
            missing=0,
            duplicated=0,
            reordered=0,
            corrupted=0,
            phantom=0,
        ),
        validity=Validity(valid=True),
        verdict="pass",
        objectives=_objectives(),
        exit_code=0,
        search=SearchAnswer(
            quantity="clients",
            unit="clients",
            kind=case.kind,  # type: ignore[arg-type]
            held=None if none else 6_000.0,
            failed=None if case.kind == "ceiling" else 7_000.0,
            confirmed=True,
            resolution=0.15,
            confirm=2,
            confirm_of=3,
            text="not even 7,000 clients held" if none else "6,000 clients held, 7,000 did not",
            probes=case.probes,
            caution=case.caution,
        ),
    )
