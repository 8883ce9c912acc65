"""What Scale-Chat has to reach, as ratios within one sitting on one machine, judged from the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks import scenarios, servers
from benchmarks.results import Comparison, Summary
from benchmarks.scenarios import cpu_us_per_connection, kb_per_connection

OURS = "scalechat"
Verdict = Literal["met", "not met", "not measured"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One bar and what became of it."""

    scenario: str
    what: str
    needed: str
    reached: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Ours divided by a peer's, in the scenario's unit."""

    scenario: str
    peer: str
    bound: float
    at_least: bool

    def judge(self, record: Comparison) -> Judged:
        ours, theirs = record.of(self.scenario, OURS), record.of(self.scenario, self.peer)
        needed = f"{'≥' if self.at_least else '≤'} {self.bound:g} ×"
        what = f"{scenarios.BY_NAME[self.scenario].unit}, against {servers.BY_NAME[self.peer].title}"
        if ours is None or theirs is None or not theirs.value:
            return Judged(self.scenario, what, needed, "–", "not measured")
        ratio = ours.value / theirs.value
        # Where the meter was the limit our own throughput is a lower bound, and the peer's too.
        mark = "≥ " if self.at_least and ours.meter_limited and not theirs.meter_limited else ""
        met = ratio >= self.bound if self.at_least else ratio <= self.bound
        return Judged(self.scenario, what, needed, f"{mark}{ratio:.2f} ×", "met" if met else "not met")


@dataclass(frozen=True, slots=True)
class _Limit:
    """A figure of ours that must not be exceeded."""

    scenario: str
    what: str
    figure: Callable[[Summary], float | None]
    bound: float
    unit: str

    def judge(self, record: Comparison) -> Judged:
        summary = record.of(self.scenario, OURS)
        value = None if summary is None else self.figure(summary)
        needed = f"≤ {self.bound:g} {self.unit}".rstrip()
        if value is None:
            skipped = next((s.skipped for s in record.scenarios if s.name == self.scenario), None)
            return Judged(self.scenario, self.what, needed, skipped or "–", "not measured")
        verdict: Verdict = "met" if value <= self.bound else "not met"
        return Judged(self.scenario, self.what, needed, f"{value:,.3g} {self.unit}".rstrip(), verdict)


@dataclass(frozen=True, slots=True)
class _Stalled:
    """Everybody else's p99 with one reader stopped, over the same without."""

    bound: float

    def judge(self, record: Comparison) -> Judged:
        without, stopped = record.of("stalled-none", OURS), record.of("stalled-one", OURS)
        what, needed = "the others' p99, one reader stopped, against none", f"≤ {self.bound:g} ×"
        if without is None or stopped is None or not without.value:
            return Judged("stalled-one", what, needed, "–", "not measured")
        ratio = stopped.value / without.value
        return Judged("stalled-one", what, needed, f"{ratio:.2f} ×", "met" if ratio <= self.bound else "not met")


def _lost(summary: Summary) -> float:
    return float(summary.lost + summary.unopened + summary.undelivered)


def _each(figure: Callable[..., float]) -> Callable[[Summary], float]:
    def middle(summary: Summary) -> float:
        values = sorted(figure(reading) for reading in summary.readings)
        return values[len(values) // 2]

    return middle


BARS: tuple[_Ratio | _Limit | _Stalled, ...] = (
    _Ratio("fan-out", "gorilla", 5, at_least=True),
    _Ratio("fan-out", "websockets", 10, at_least=True),
    _Ratio("fan-out", "uwebsockets", 0.75, at_least=True),
    _Ratio("many-publishers", "gorilla", 5, at_least=True),
    _Ratio("many-publishers", "uwebsockets", 3, at_least=True),
    _Limit("many-publishers", "clients or messages lost", _lost, 0, ""),
    _Ratio("latency", "gorilla", 0.8, at_least=False),
    _Ratio("latency", "uwebsockets", 1.3, at_least=False),
    _Ratio("rooms", "gorilla", 2.5, at_least=True),
    _Ratio("wide", "gorilla", 1, at_least=False),
    _Limit("wide", "loop lag p99", lambda summary: summary.loop_lag_p99_ms, 5, "ms"),
    _Limit("connect", "CPU per connection opened and upgraded", _each(cpu_us_per_connection), 150, "µs"),
    _Limit("connect", "idle memory per connection at 5,000", _each(kb_per_connection), 16, "kB"),
    _Limit("idle", "idle memory per connection at 20,000", _each(kb_per_connection), 16, "kB"),
    _Limit("growth-50000", "clients or messages lost at 50,000", _lost, 0, ""),
    _Stalled(1.1),
)


def judge(record: Comparison) -> list[Judged]:
    """The bars of the scenarios that were asked for, in order."""
    asked = {scenario.name for scenario in record.scenarios}
    return [judged for bar in BARS if (judged := bar.judge(record)).scenario in asked]
