"""The course of a run: every moment is in one phase, and only what is meant to be measured is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load.course import Course, PhaseNumber
from scalechat.load.tempo import SECOND_NS
from scalechat.scenario import Step

STEPS = st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=6).filter(
    lambda steps: any(measured for _length, measured in steps)
)


def course_of(steps: list[tuple[int, bool]], warmup_s: float = 1.5) -> Course:
    phases = tuple(
        Step(name=f"step-{index}", duration_s=length, measured=measured)
        for index, (length, measured) in enumerate(steps)
    )
    return Course.of(LoadConfig(warmup_s=warmup_s, phases=phases))


@given(STEPS, st.floats(-2, 130))
def test_a_moment_is_in_the_step_that_holds_it(steps: list[tuple[int, bool]], at_s: float) -> None:
    """Before the first one it is warm-up; what is late beyond the last one belongs to the last one."""
    course = course_of(steps)
    number = course.phase_at(round(at_s * SECOND_NS))
    ends, name = 0.0, "warmup"
    for index, (length, _measured) in enumerate(steps):
        if round(at_s * SECOND_NS) >= ends * SECOND_NS:
            name = f"step-{index}"
        ends += length
    assert course.names[number] == name
    assert (number in course.measured) == (name != "warmup" and steps[int(name.partition("-")[2])][1])
    assert course.length_ns == (1.5 + sum(length for length, _ in steps)) * SECOND_NS


@given(STEPS)
def test_every_phase_has_a_number_of_its_own(steps: list[tuple[int, bool]]) -> None:
    """Those that every run has keep theirs."""
    names = course_of(steps).names
    assert len(names) == 3 + len(steps) == len(set(names.values()))
    assert [names[number] for number in (PhaseNumber.RAMP, PhaseNumber.WARMUP, PhaseNumber.DRAIN)] == [
        *("ramp", "warmup", "drain")
    ]


def test_without_steps_there_is_one_and_it_is_measured() -> None:
    """It is called steady."""
    course = Course.of(LoadConfig(warmup_s=0, duration_s=7))
    assert [(leg.name, leg.measured, leg.begin_ns, leg.end_ns) for leg in course.legs] == [
        ("steady", True, 0, 7 * SECOND_NS)
    ]
    assert course.phase_at(0) == course.phase_at(10 * SECOND_NS) == PhaseNumber.STEADY


def test_a_course_of_which_nothing_is_measured_is_refused() -> None:
    """One line says so before anything is connected."""
    with pytest.raises(Exception, match="nothing would be measured"):
        course_of([(1, False)])
