"""The verdict: validity first, then the objectives; nothing passes that was not shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalechat.load.histogram import Histogram
from scalechat.load.slo import Slo, parse_slo
from scalechat.load.verdict import Facts, Judgement, judge

GOOD = Facts(
    interrupted=False,
    completed=True,
    why_not=None,
    cpu_ratio=0.4,
    cpu_wait_ratio=0.01,
    loop_lag_p99_ns=2_000_000,
    send_lag_p50_ns=500_000,
    intended=1000,
    in_time=1000,
    late=0,
)
FAST, EXACT = parse_slo("p99(delivery) < 50ms"), parse_slo("missing == 0")


def judged(facts: Facts, *slos: Slo, latency_ms: float = 5.0, samples: int = 5000, missing: int = 0) -> Judgement:
    histogram = Histogram()
    histogram.add_many(int(latency_ms * 1e6), samples)
    return judge([facts], slos, [slo.judge(histogram, {"missing": missing}) for slo in slos])


def outcome(judgement: Judgement) -> tuple[str, int]:
    return judgement.verdict, judgement.exit_code


def test_a_run_that_met_everything_passes() -> None:
    """Exit code 0, also without any objective."""
    assert outcome(judged(GOOD, FAST, EXACT)) == ("pass", 0)
    assert outcome(judged(GOOD)) == ("pass", 0)


def test_a_missed_objective_fails_the_run() -> None:
    """Exit code 99."""
    assert outcome(judged(GOOD, FAST, EXACT, latency_ms=80)) == ("fail", 99)
    assert outcome(judged(GOOD, FAST, EXACT, missing=1)) == ("fail", 99)


@pytest.mark.parametrize(
    "facts, code",
    [
        (replace(GOOD, cpu_ratio=0.8), "generator_cpu"),
        (replace(GOOD, loop_lag_p99_ns=5_000_001), "generator_loop_lag"),
        (replace(GOOD, send_lag_p50_ns=10_000_001), "generator_send_lag"),
        (replace(GOOD, in_time=979, late=21), "generator_behind"),
        (replace(GOOD, failed_dials=2, own_failures=1, failure_example="no port"), "generator_connections"),
    ],
)
@pytest.mark.parametrize("missing", [0, 1])
def test_an_overloaded_generator_proves_nothing_either_way(facts: Facts, code: str, missing: int) -> None:
    """Exit code 97, with a reason, whether the objectives look met or missed."""
    result = judged(facts, FAST, EXACT, missing=missing)
    assert outcome(result) == ("invalid", 97)
    assert [reason.code for reason in result.validity.reasons] == [code]
    assert not result.validity.valid


@pytest.mark.parametrize(
    "facts",
    [
        replace(GOOD, cpu_ratio=0.799),
        replace(GOOD, loop_lag_p99_ns=5_000_000),
        replace(GOOD, send_lag_p50_ns=10_000_000),
        replace(GOOD, in_time=980, late=20),
        replace(GOOD, failed_dials=2, failure_example="connection refused"),
        replace(GOOD, clock_error_ns=5_000_000),
    ],
)
def test_a_generator_just_within_its_limits_is_believed(facts: Facts) -> None:
    """The value beside each limit is a healthy one, and the verdict is the server's, either way."""
    assert outcome(judged(facts, FAST, EXACT)) == ("pass", 0)
    assert outcome(judged(facts, FAST, EXACT, missing=1)) == ("fail", 99)


@pytest.mark.parametrize("missing", [0, 1])
def test_clocks_that_may_be_wrong_by_more_than_a_tenth_of_the_objective_prove_nothing(missing: int) -> None:
    """Exit code 98, and without an objective about time there is nothing they could spoil."""
    facts = replace(GOOD, clock_error_ns=5_000_001)
    result = judged(facts, FAST, EXACT, missing=missing)
    assert outcome(result) == ("invalid", 98)
    assert [reason.code for reason in result.validity.reasons] == ["clock"]
    assert outcome(judged(facts, EXACT, missing=missing)) == (("fail", 99) if missing else ("pass", 0))
    assert outcome(judged(replace(facts, cpu_ratio=0.9), FAST)) == ("invalid", 97), "the generator comes first"


def test_a_percentile_is_judged_from_ten_samples_beyond_it_on() -> None:
    """A thousand for a p99; with one less it is null."""
    assert outcome(judged(GOOD, FAST, samples=1_000)) == ("pass", 0)
    result = judged(GOOD, FAST, samples=999)
    assert outcome(result) == ("invalid", 98)
    assert result.objectives[0].observed is None


def test_loop_lag_is_judged_against_the_tightest_objective() -> None:
    """Without an objective about time there is nothing it could spoil."""
    facts = replace(GOOD, loop_lag_p99_ns=6_000_000)
    assert outcome(judged(facts, parse_slo("p99(delivery) < 60ms"))) == ("pass", 0)
    assert outcome(judged(facts, parse_slo("p99(delivery) < 60ms"), FAST)) == ("invalid", 97)
    assert outcome(judged(facts, EXACT)) == ("pass", 0)


def test_too_few_samples_are_neither_pass_nor_fail() -> None:
    """Exit code 98, unless another objective was missed anyway."""
    result = judged(GOOD, FAST, EXACT, samples=100)
    assert outcome(result) == ("invalid", 98)
    assert [reason.code for reason in result.validity.reasons] == ["samples"]
    assert outcome(judged(GOOD, FAST, EXACT, samples=100, missing=1)) == ("fail", 99)


def test_a_run_that_the_server_cut_short_fails() -> None:
    """Whatever was measured until then was met by a server that is gone."""
    result = judged(replace(GOOD, completed=False, why_not="the server is gone"), EXACT)
    assert outcome(result) == ("fail", 99)
    assert [(o.ok, o.reason) for o in result.objectives][1] == (False, "the server is gone")


def test_objectives_met_under_less_load_than_asked_for_are_not_met() -> None:
    """When the server would not take the load, that is its failure and not the generator's."""
    assert outcome(judged(replace(GOOD, in_time=979), EXACT)) == ("fail", 99)
    assert outcome(judged(replace(GOOD, in_time=980), EXACT)) == ("pass", 0)


def test_an_interrupted_run_says_so() -> None:
    """Exit code 105 and that verdict, whatever was met or missed before; the objectives say how they stood."""
    facts = replace(GOOD, interrupted=True, completed=False, why_not="interrupted")
    for missing in (0, 1):
        judgement = judged(facts, EXACT, missing=missing)
        assert outcome(judgement) == ("interrupted", 105)
        assert judgement.validity.valid
        assert judgement.objectives[0].ok is (missing == 0)


def test_an_interrupted_run_with_too_few_samples_is_not_called_invalid() -> None:
    """They would have come; a generator that was overloaded until then is doubted all the same."""
    facts = replace(GOOD, interrupted=True, completed=False, why_not="interrupted", intended=0, in_time=0)
    assert judged(facts, FAST, samples=3).validity.valid
    judgement = judged(replace(facts, cpu_ratio=0.9), FAST, samples=3)
    assert outcome(judgement) == ("interrupted", 105)
    assert [reason.code for reason in judgement.validity.reasons] == ["generator_cpu"]


def test_readers_alone_are_a_run_as_well() -> None:
    """Nothing was intended, so nothing can have fallen short."""
    assert outcome(judged(replace(GOOD, intended=0, in_time=0))) == ("pass", 0)


def test_a_starved_generator_says_who_had_its_core() -> None:
    """Nothing is wrong with the load client then, and nothing about it will help."""
    (reason,) = judged(replace(GOOD, send_lag_p50_ns=20_000_000, cpu_wait_ratio=0.31)).validity.reasons
    assert reason.text.endswith("; it waited for its core 31% of the time (other programs, or a CPU quota)")
    (reason,) = judged(replace(GOOD, send_lag_p50_ns=20_000_000, cpu_wait_ratio=None)).validity.reasons
    assert reason.text.endswith("ms late")
