"""Objectives: what may be written, what it means, and what is said about what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import UsageError
from scalechat.load.histogram import Histogram
from scalechat.load.slo import COUNTERS, parse_slo


def spread(*values_ms: float) -> Histogram:
    histogram = Histogram()
    for value in values_ms:
        histogram.add_many(int(value * 1e6), 10_000)
    return histogram


@pytest.mark.parametrize(
    "expression, observed, ok",
    [
        ("p50(delivery) < 30ms", 20, True),
        ("p50(delivery)<20ms", 20, False),
        ("p99(delivery) <= 0.03 s", 30, True),
        ("p99.9(delivery) < 29999us", 30, False),
        ("max(delivery) < 40000000ns", 30, True),
        ("min(delivery) >= 10ms", 10, True),
        ("mean(delivery) != 20ms", 20, False),
    ],
)
def test_a_latency_objective_is_judged_in_its_unit(expression: str, observed: float, ok: bool) -> None:
    """And the observed value is given in ms, whatever the bound was written in."""
    result = parse_slo(expression).judge(spread(10, 20, 30), {})
    assert result.observed == pytest.approx(observed, rel=1 / 64)
    assert (result.ok, result.unit) == (ok, "ms")


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_counter_is_compared_as_a_number(counter: str) -> None:
    """None of them has a unit in the expression."""
    slo = parse_slo(f"{counter} == 0")
    assert slo.judge(None, {counter: 0}).ok is True
    assert slo.judge(None, {counter: 3}).ok is False


def test_what_the_target_does_not_have_cannot_be_judged() -> None:
    """A plain server acknowledges nothing, so nothing is known about it."""
    result = parse_slo("unacked == 0").judge(None, {"unacked": None})
    assert (result.ok, result.observed, result.reason) == (None, None, "the target has no unacked")


def test_a_percentile_without_the_samples_for_it_is_neither_met_nor_missed() -> None:
    """The reason says how many there were."""
    few = Histogram()
    few.add_many(1, 999)
    result = parse_slo("p99(delivery) < 1s").judge(few, {})
    assert (result.ok, result.observed, result.reason) == (None, None, "999 samples are too few for p99")
    assert parse_slo("p50(delivery) < 1s").judge(few, {}).ok is True


@pytest.mark.parametrize(
    "expression, words",
    [
        ("p99(delivery) < 200", "give the bound a unit"),
        ("missing == 0ms", "takes no unit"),
        ("p99(latency) < 1s", "latency is not measured; known are delivery, "),
        ("lost == 0", "lost is not counted; known are missing, "),
        ("p999(delivery) < 1s", "cannot be read"),
        ("", "cannot be read"),
        ("missing = 0", "cannot be read"),
        ("missing == -1", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_would_help(expression: str, words: str) -> None:
    """One line that repeats the expression."""
    with pytest.raises(UsageError) as refused:
        parse_slo(expression)
    assert repr(expression) in str(refused.value)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text(alphabet="p9(dlivery)<>=! 0ms.", max_size=25) | st.text(max_size=25))
def test_nothing_else_than_an_objective_or_a_usage_error_comes_out(expression: str) -> None:
    """Whatever a shell passes."""
    try:
        slo = parse_slo(expression)
    except UsageError:
        return
    slo.judge(None, dict.fromkeys(COUNTERS, 0))
