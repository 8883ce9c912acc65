"""Pass, fail, invalid or interrupted: what a run proves, decided from a handful of facts.

Validity comes before the verdict: a generator that was overloaded proves nothing about the server, in either
direction. Besides the user's objectives two go without saying, because under less load than asked for the others
prove nothing: the run reached its end, and the load was applied. Somebody who interrupts a run gets no verdict on the
server; too few samples are then no finding, but an overloaded generator is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from scalechat.load.results import Objective, Reason, Validity, Verdict
from scalechat.load.slo import Slo

T = TypeVar("T", int, float)

MAX_CPU_RATIO: Final = 0.8
MAX_SEND_LAG_NS: Final = 10_000_000
MAX_LAG_OF_OBJECTIVE: Final = 0.1
MAX_CLOCK_ERROR_OF_OBJECTIVE: Final = 0.1
MIN_ACHIEVED: Final = 0.98
STARVED_RATIO: Final = 0.02
"""From here on it is worth saying that the load client waited for its core."""

EXIT_PASS: Final = 0
EXIT_GENERATOR: Final = 97
EXIT_SAMPLES: Final = 98
EXIT_MISSED: Final = 99
EXIT_INTERRUPTED: Final = 105


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the measured phase, apart from the objectives."""

    interrupted: bool
    completed: bool
    """The measured phase was reached and lasted as long as it should."""
    why_not: str | None
    """Why the run ended early, for a person."""
    cpu_ratio: float
    """CPU time of the generator over the time that passed: 1 is a whole core."""
    cpu_wait_ratio: float | None
    """How much of the time it was ready to run and had no core (others, a quota); None if the system does not tell."""
    loop_lag_p99_ns: int | None
    send_lag_p50_ns: int | None
    intended: int
    """Messages intended in the measured phase."""
    in_time: int
    """Those published before it ended."""
    late: int
    """Those that were published later than that, or not at all, because the generator did not get to them."""

    clock_error_ns: int = 0
    """How wrong this process' clock may be where latencies are measured across machines."""
    failed_dials: int = 0
    """Connections that did not come about."""
    never_came: int = 0
    """Clients of which not one did."""
    own_failures: int = 0
    """Those of them for which this machine had no port, open file or memory left."""
    failure_example: str | None = None
    """What was said about one of them, of the latter if there are any."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a run."""

    verdict: Verdict
    exit_code: int
    validity: Validity
    objectives: list[Objective]


def whole_facts(each: Sequence[Facts]) -> Facts:
    """The facts of a run of several processes: loads add up, and of what a generator may suffer the worst counts."""
    by_blame = sorted(each, key=lambda facts: -facts.own_failures)
    return Facts(
        interrupted=any(facts.interrupted for facts in each),
        completed=all(facts.completed for facts in each),
        why_not=next((facts.why_not for facts in each if facts.why_not is not None), None),
        cpu_ratio=max(facts.cpu_ratio for facts in each),
        cpu_wait_ratio=_worst([facts.cpu_wait_ratio for facts in each]),
        loop_lag_p99_ns=_worst([facts.loop_lag_p99_ns for facts in each]),
        send_lag_p50_ns=_worst([facts.send_lag_p50_ns for facts in each]),
        intended=sum(facts.intended for facts in each),
        in_time=sum(facts.in_time for facts in each),
        late=sum(facts.late for facts in each),
        clock_error_ns=sum(sorted(facts.clock_error_ns for facts in each)[-2:]),  # of two clocks, one against the other
        failed_dials=sum(facts.failed_dials for facts in each),
        never_came=sum(facts.never_came for facts in each),
        own_failures=sum(facts.own_failures for facts in each),
        failure_example=next((facts.failure_example for facts in by_blame if facts.failure_example is not None), None),
    )


def _worst(values: Sequence[T | None]) -> T | None:
    return max((value for value in values if value is not None), default=None)


def judge(
    each: Sequence[Facts], slos: Sequence[Slo], judged: Sequence[Objective], distrust: Sequence[Reason] = ()
) -> Judgement:
    """Decide; `each` is a process of the generator, `judged` are the `slos`, in their order.

    `distrust` is what else speaks against the generator: processes of it that were lost.
    """
    facts = whole_facts(each)
    generator = [*distrust]
    for index, one in enumerate(each):
        who = f"worker {index}: " if len(each) > 1 else ""
        generator += [Reason(code=reason.code, text=who + reason.text) for reason in _generator_reasons(one, slos)]
    implied = _implied(facts)
    objectives = [*judged, *implied]
    missed = any(objective.ok is False for objective in objectives)
    unsure = [
        Reason(code="samples", text=f"{objective.expression}: {objective.reason}")
        for objective in judged
        if objective.ok is None
    ]
    verdict: Verdict
    clock = _clock_reasons(facts, slos)
    if facts.interrupted:
        verdict, exit_code = "interrupted", EXIT_INTERRUPTED
    elif generator:
        verdict, exit_code = "invalid", EXIT_GENERATOR
    elif clock:
        verdict, exit_code = "invalid", EXIT_SAMPLES
    elif missed:  # No further samples would have made that good.
        verdict, exit_code = "fail", EXIT_MISSED
    elif unsure:
        verdict, exit_code = "invalid", EXIT_SAMPLES
    else:
        verdict, exit_code = "pass", EXIT_PASS
    reasons = generator + clock if missed or facts.interrupted else generator + clock + unsure
    return Judgement(
        verdict=verdict,
        exit_code=exit_code,
        validity=Validity(valid=not reasons, reasons=reasons),
        objectives=objectives,
    )


def allowed_loop_lag_ns(slos: Sequence[Slo]) -> float | None:
    """How late the generator's loop may be for these objectives; None when none is about latency."""
    bounds_ns = [slo.bound for slo in slos if slo.is_latency and slo.bound > 0]
    return MAX_LAG_OF_OBJECTIVE * min(bounds_ns) if bounds_ns else None


def _implied(facts: Facts) -> list[Objective]:
    # Whoever interrupts a run knows that it was cut short; that is not the server's failure.
    completed = Objective(
        expression="the run reached its end",
        observed=float(facts.completed),
        bound=1.0,
        unit="",
        ok=facts.completed,
        reason=facts.why_not,
    )
    implied = [] if facts.interrupted else [completed]
    if not facts.intended:
        return implied
    achieved = facts.in_time / facts.intended
    applied = Objective(
        expression=f"published / offered >= {MIN_ACHIEVED}",
        observed=achieved,
        bound=MIN_ACHIEVED,
        unit="ratio",
        ok=achieved >= MIN_ACHIEVED,
        reason=None if achieved >= MIN_ACHIEVED else "the other objectives were met under less load than asked for",
    )
    return [*implied, applied]


def _clock_reasons(facts: Facts, slos: Sequence[Slo]) -> list[Reason]:
    bounds_ns = [slo.bound for slo in slos if slo.is_latency and slo.bound > 0]
    if not bounds_ns or facts.clock_error_ns <= MAX_CLOCK_ERROR_OF_OBJECTIVE * min(bounds_ns):
        return []
    text = (
        f"the clocks of the load machines may be {facts.clock_error_ns / 1e6:.1f} ms apart, more than a tenth of the "
        f"tightest objective ({min(bounds_ns) / 1e6:g} ms)"
    )
    return [Reason(code="clock", text=text)]


def _generator_reasons(facts: Facts, slos: Sequence[Slo]) -> list[Reason]:
    reasons = []
    starved = ""
    if facts.cpu_wait_ratio is not None and facts.cpu_wait_ratio >= STARVED_RATIO:
        starved = f"; it waited for its core {facts.cpu_wait_ratio:.0%} of the time (other programs, or a CPU quota)"
    if facts.cpu_ratio >= MAX_CPU_RATIO:
        text = f"the load client used {facts.cpu_ratio:.0%} of its core; from {MAX_CPU_RATIO:.0%} on it measures itself"
        reasons.append(Reason(code="generator_cpu", text=text))
    allowed_ns = allowed_loop_lag_ns(slos)
    if allowed_ns is not None and facts.loop_lag_p99_ns is not None and facts.loop_lag_p99_ns > allowed_ns:
        text = (
            f"the load client's loop lag p99 is {facts.loop_lag_p99_ns / 1e6:.1f} ms, more than a tenth of the "
            f"tightest objective ({allowed_ns / MAX_LAG_OF_OBJECTIVE / 1e6:g} ms)"
        )
        reasons.append(Reason(code="generator_loop_lag", text=text + starved))
    if facts.send_lag_p50_ns is not None and facts.send_lag_p50_ns > MAX_SEND_LAG_NS:
        text = f"half of the messages left the load client more than {facts.send_lag_p50_ns / 1e6:.1f} ms late"
        reasons.append(Reason(code="generator_send_lag", text=text + starved))
    if facts.own_failures:
        text = (
            f"connections that failed on the load client's own machine: {facts.own_failures:,} "
            f"({facts.failure_example})"
        )
        reasons.append(Reason(code="generator_connections", text=text))
    if facts.intended and facts.late / facts.intended > 1 - MIN_ACHIEVED:
        text = f"the load client did not get to {facts.late:,} of {facts.intended:,} messages in time"
        reasons.append(Reason(code="generator_behind", text=text + starved))
    return reasons
