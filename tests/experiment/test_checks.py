"""Checks decide whether a symptom was seen: they must be able to say no."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.experiment.checks import Check, check, names_in

NUMBERS = st.floats(0, 1e6, allow_nan=False)


def symptom(that: str) -> Check:
    return Check("symptom", that)


@given(NUMBERS, NUMBERS, st.integers(0, 100))
def test_a_figure_is_compared_with_a_multiple_of_the_other_runs(before: float, after: float, factor: int) -> None:
    """`before.x > k * after.x` holds exactly when it is so."""
    checked = check(symptom(f"before.p99 > {factor} * after.p99"), {"p99": before}, {"p99": after})
    assert checked.holds == (before > factor * after)


@given(NUMBERS)
def test_a_figure_is_compared_with_a_number(value: float) -> None:
    checked = check(symptom("after.server.queue_bytes.max <= 1_000.5"), {}, {"server.queue_bytes.max": value})
    assert checked.holds == (value <= 1000.5)
    assert (checked.left, checked.right) == (value, 1000.5)


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_silence_proves_nothing(operator: str) -> None:
    """A run that does not have the figure makes no check hold, whatever it compares."""
    checked = check(symptom(f"before.missing {operator} after.missing"), {}, {"missing": 0.0})
    assert not checked.holds
    assert "not measured" in str(checked)


def test_the_figures_a_check_speaks_of_are_known() -> None:
    assert names_in("before.a > 3 * after.server.b.max") == ["a", "server.b.max"]


@pytest.mark.parametrize("wrong", ["missing > 3", "before.missing", "before.x > y", "before.x > 3; after.y > 1", ""])
def test_what_cannot_be_read_is_refused_when_the_file_is_read(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="cannot read the check"):
        msgspec.convert({"kind": "symptom", "that": wrong}, Check)
