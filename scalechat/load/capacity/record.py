"""The directory of a search: `search.csv` as it goes, the probes' runs below `probes/`, the answer in `run.json`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Final

from scalechat.config import CapacityConfig, public_values
from scalechat.load.capacity.decision import AGAINST, Observation, Probe, Verdict
from scalechat.load.capacity.telling import answer_text
from scalechat.load.capacity.yardstick import caution
from scalechat.load.conclusion import RunOutcome
from scalechat.load.results import (
    ConfigValue,
    Figure,
    Ledger,
    Manifest,
    Objective,
    Reason,
    RunWriter,
    SearchAnswer,
    SearchRow,
    Summary,
    Validity,
)
from scalechat.load.results import Verdict as RunVerdict
from scalechat.load.verdict import EXIT_GENERATOR, EXIT_INTERRUPTED, EXIT_MISSED, EXIT_PASS, EXIT_SAMPLES

_WORKER_ID: Final = "0"
"""A search is led by one process, whatever its probes have."""
_VERDICTS: Final[dict[str, tuple[RunVerdict, int]]] = {
    "found": ("pass", EXIT_PASS),
    "ceiling": ("pass", EXIT_PASS),
    "generator": ("invalid", EXIT_GENERATOR),
    "unclear": ("invalid", EXIT_SAMPLES),
    "none": ("fail", EXIT_MISSED),
    "unfinished": ("interrupted", EXIT_INTERRUPTED),
}


class SearchRecord:
    """Writes down one search."""

    def __init__(self, writer: RunWriter, config: CapacityConfig, unit: str) -> None:
        self.writer = writer
        self._config = config
        self._unit = unit
        self._began_unix_ns = time.time_ns()
        self._outcomes: list[tuple[float, RunOutcome]] = []
        self._probes = 0
        self._fastest_ms = math.inf
        self._against_ms: list[float] = []
        """The yardstick of each vote against a load."""

    def probed(self, probe: Probe, seen: Observation, outcome: RunOutcome | None, yardstick_ms: float) -> None:
        """A probe has ended; its row is on its way to the disk. `outcome` is None when there was no server to load."""
        self._probes += 1
        self._fastest_ms = min(self._fastest_ms, yardstick_ms)
        if seen.outcome in AGAINST:
            self._against_ms.append(yardstick_ms)
        now = time.time_ns()
        figures = {} if outcome is None else outcome.summary.figures
        if outcome is not None:
            self._outcomes.append((seen.value, outcome))

        def figure(name: str) -> float | None:
            return figures[name].value if name in figures else None

        self.writer.append(
            SearchRow(
                t_s=(now - self._began_unix_ns) / 1e9,
                ts_unix_ns=now,
                worker_id=_WORKER_ID,
                phase="search",
                probe=self._probes,
                quantity=self._config.vary,
                value=seen.value,
                verdict="fail" if outcome is None else outcome.summary.verdict,
                reason=seen.reason,
                step=probe.step,
                outcome=seen.outcome,
                run_id=None if outcome is None else outcome.run_dir.name,
                clients=figure("clients"),
                offered_per_s=figure("offered_per_s"),
                published_per_s=figure("published_per_s"),
                delivered_per_s=figure("delivered_per_s"),
                delivery_p50_ms=figure("delivery_p50"),
                delivery_p99_ms=figure("delivery_p99"),
                delivery_p99_9_ms=figure("delivery_p99_9"),
                missing=None if outcome is None else outcome.manifest.ledger.missing,
                generator_cpu_cores=figure("generator_cpu"),
                server_cpu_cores=figure("server_cpu"),
                server_rss_bytes=figure("server_rss"),
                yardstick_ms=yardstick_ms,
            )
        )
        self.writer.flush()

    def concluded(self, verdict: Verdict, sources: Mapping[str, str], why_stopped: str | None) -> Summary:
        """Write the answer; the search is finished. There must have been a run."""
        judged, exit_code = _VERDICTS[verdict.kind]
        if why_stopped is not None:
            judged, exit_code = "invalid", EXIT_SAMPLES
        last = self._outcomes[-1][1]
        best = self._best(verdict) or last
        text = answer_text(verdict, self._unit)
        reasons = [] if judged != "invalid" else [Reason(code=verdict.kind, text=why_stopped or text)]
        validity = Validity(valid=not reasons, reasons=reasons)
        interrupted = judged == "interrupted"
        objectives: list[Objective] = best.manifest.objectives
        manifest = Manifest(
            run_id=self.writer.run_id,
            started_unix_ns=self._began_unix_ns,
            ended_unix_ns=time.time_ns(),
            tool=last.manifest.tool,
            seed=last.manifest.seed,
            config={
                name: ConfigValue(value=value, source=sources.get(name, "default"))
                for name, value in public_values(self._config).items()
            },
            phases=[],
            target=last.manifest.target,
            workers=last.manifest.workers,
            ledger=_sum([outcome.manifest.ledger for _, outcome in self._outcomes]),
            validity=validity,
            verdict=judged,
            objectives=objectives,
            exit_code=exit_code,
            interrupted=interrupted,
            search=SearchAnswer(
                quantity=self._config.vary,
                unit=self._unit,
                kind=verdict.kind,
                held=verdict.held,
                failed=verdict.failed,
                confirmed=verdict.confirmed,
                resolution=self._config.resolution,
                confirm=self._config.confirm,
                confirm_of=self._config.confirm_of,
                text=text,
                probes=self._probes,
                caution=self.caution,
            ),
        )
        figures = {
            "capacity": Figure(value=verdict.held, unit=self._unit),
            "capacity_failed": Figure(value=verdict.failed, unit=self._unit),
            **({} if verdict.held is None else best.summary.figures),
        }
        summary = Summary(
            run_id=self.writer.run_id,
            figures=figures,
            objectives=objectives,
            validity=validity,
            verdict=judged,
            exit_code=exit_code,
            interrupted=interrupted,
        )
        self.writer.finish(manifest, summary)
        return summary

    @property
    def caution(self) -> str | None:
        """What is to be said of the machine."""
        return caution([self._fastest_ms, *self._against_ms]) if self._against_ms else None

    @property
    def has_run(self) -> bool:
        """Whether anything was measured."""
        return bool(self._outcomes)

    def _best(self, verdict: Verdict) -> RunOutcome | None:
        """The newest passed run of the load that held."""
        passed = (
            outcome
            for value, outcome in reversed(self._outcomes)
            if value == verdict.held and outcome.summary.verdict == "pass"
        )
        return next(passed, None)


def _sum(ledgers: Sequence[Ledger]) -> Ledger:
    """What happened to the messages of all probes; null where one of them cannot know."""

    def known(values: Sequence[int | None]) -> int | None:
        numbers = [value for value in values if value is not None]
        return sum(numbers) if len(numbers) == len(values) else None

    return Ledger(
        published=sum(ledger.published for ledger in ledgers),
        acked=known([ledger.acked for ledger in ledgers]),
        rejected=known([ledger.rejected for ledger in ledgers]),
        unacked=known([ledger.unacked for ledger in ledgers]),
        expected=sum(ledger.expected for ledger in ledgers),
        delivered=sum(ledger.delivered for ledger in ledgers),
        missing=sum(ledger.missing for ledger in ledgers),
        duplicated=sum(ledger.duplicated for ledger in ledgers),
        reordered=sum(ledger.reordered for ledger in ledgers),
        corrupted=sum(ledger.corrupted for ledger in ledgers),
        phantom=sum(ledger.phantom for ledger in ledgers),
        early=sum(ledger.early for ledger in ledgers),
        unknown_frames=sum(ledger.unknown_frames for ledger in ledgers),
    )
