"""A finished run → what it says about its level: a verdict counts only when the windows of the run agree with it.

The measured phase is cut into equal windows and the latency objectives are judged in each. Objectives that held over
the whole phase and failed in a window, or failed over the whole (by one bad second, say) and held in the last window,
describe neither a server that carries the load nor one that does not: the probe is *unsteady* and is repeated. A run
that gets worse to its end has failed: a queue that grows for six seconds will not shrink in the seventh.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from scalechat.load.capacity.decision import Observation
from scalechat.load.capacity.telling import number
from scalechat.load.conclusion import RunOutcome
from scalechat.load.histogram import Histogram
from scalechat.load.results import HistogramRow, Objective, Phase, read_run
from scalechat.load.slo import Slo

WINDOWS: Final = 3
"""Two cannot tell a trend from a bad moment; with more, a window of a short probe has too few samples for a p99."""
_GENERATOR: Final = "generator"
_SAMPLES: Final = "samples"


def observe(value: float, outcome: RunOutcome, slos: Sequence[Slo]) -> Observation:
    """What the run shows. Reads the run's directory."""
    manifest = outcome.manifest
    missed = [objective for objective in manifest.objectives if objective.ok is False]
    if manifest.verdict == "invalid":
        # What several reasons have in common (it waited for its core) is said once.
        parts = dict.fromkeys(part for reason in manifest.validity.reasons for part in reason.text.split("; "))
        reasons = "; ".join(parts)
        codes = {reason.code for reason in manifest.validity.reasons}
        if any(code.startswith(_GENERATOR) for code in codes):
            return Observation(value, "generator", reasons)
        return Observation(value, "sparse" if codes == {_SAMPLES} else "unclear", reasons or None)
    latency = [slo for slo in slos if slo.is_latency]
    windows = _windows(outcome, latency)
    if manifest.verdict == "pass":
        if all(windows):
            return Observation(value, "held")
        return Observation(value, "unsteady", f"held, but not in {_count(windows)}")
    only_late = {objective.expression for objective in missed} <= {slo.expression for slo in latency}
    if only_late and windows and windows[-1]:
        return Observation(value, "unsteady", f"{said(missed)}, but only in {_count(windows)}")
    return Observation(value, "failed", said(missed))


def said(objectives: Iterable[Objective]) -> str:
    """Objectives that were missed, with what was seen instead: ``p99(delivery) < 200ms: 231 ms``."""
    return ", ".join(_missed(objective) for objective in objectives)


def _missed(objective: Objective) -> str:
    if objective.observed is None or not objective.unit:
        return f"{objective.expression} did not hold" + (f" ({objective.reason})" if objective.reason else "")
    unit = "" if objective.unit == "ratio" else f" {objective.unit}"
    return f"{objective.expression}: {number(objective.observed)}{unit}"


def _count(windows: Sequence[bool]) -> str:
    return f"{windows.count(False)} of {len(windows)} windows"


def _windows(outcome: RunOutcome, slos: Sequence[Slo]) -> list[bool]:
    """For each window of the measured phase, whether the latency objectives held; too few samples miss nothing."""
    phases = [phase for phase in outcome.manifest.phases if phase.measured]
    if not slos or not phases:
        return []
    histograms = _histograms(outcome, {slo.subject for slo in slos}, phases[0])
    return [
        all(slo.judge(histograms[number].get(slo.subject), {}).ok is not False for slo in slos)
        for number in range(WINDOWS)
    ]


def _histograms(outcome: RunOutcome, metrics: set[str], phase: Phase) -> list[dict[str, Histogram]]:
    edges = [phase.start_s + (phase.end_s - phase.start_s) * n / WINDOWS for n in range(WINDOWS + 1)]
    found: list[dict[str, Histogram]] = [{} for _ in range(WINDOWS)]
    for row in read_run(outcome.run_dir).rows(HistogramRow):
        if row.phase != phase.name or row.metric not in metrics:
            continue
        middle = row.t_s - row.dt_s / 2
        # What is due at the end of the phase arrives after it, and belongs to the last window.
        number = next((n for n, (_, end) in enumerate(pairwise(edges)) if middle < end), WINDOWS - 1)
        found[number].setdefault(row.metric, Histogram()).add_many(row.bucket_high_ns - 1, row.count)
    return found
