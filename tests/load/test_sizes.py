"""Sizes of messages: each spec means a distribution, and a wrong one is one line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import UsageError
from scalechat.load.sizes import DEFAULT_LOGNORMAL_MAX_BYTES, parse_sizes

UNIFORM = st.floats(0, 1, exclude_max=True)
MINIMUM = 56


@given(st.integers(MINIMUM, 10_000), UNIFORM)
def test_a_number_is_that_size_always(size: int, uniform: float) -> None:
    """The seed has no influence on a fixed size."""
    assert parse_sizes(str(size), minimum_bytes=MINIMUM).pick(uniform) == size


@given(st.integers(MINIMUM, 10_000), st.integers(0, 10_000), UNIFORM)
def test_uniform_sizes_lie_between_their_bounds(low: int, more: int, uniform: float) -> None:
    """Both bounds belong to the distribution and nothing outside does."""
    sizes = parse_sizes(f"uniform:{low}-{low + more}", minimum_bytes=MINIMUM)
    assert low <= sizes.pick(uniform) <= low + more


def test_uniform_sizes_reach_both_bounds() -> None:
    """The smallest draw is the lower bound, the largest the upper."""
    sizes = parse_sizes("uniform:64-66", minimum_bytes=MINIMUM)
    assert [sizes.pick(u) for u in (0.0, 0.34, 0.999)] == [64, 65, 66]


@given(st.floats(0, 12), st.floats(0, 3), UNIFORM)
def test_lognormal_sizes_stay_between_the_header_and_their_maximum(mu: float, sigma: float, uniform: float) -> None:
    """A tail has no end, a message has."""
    sizes = parse_sizes(f"lognormal:{mu},{sigma}", minimum_bytes=MINIMUM)
    assert MINIMUM <= sizes.pick(uniform) <= DEFAULT_LOGNORMAL_MAX_BYTES


def test_the_median_of_lognormal_sizes_is_exp_mu() -> None:
    """exp(5.5) is 245 bytes."""
    assert parse_sizes("lognormal:5.5,0.8,16000", minimum_bytes=MINIMUM).pick(0.5) == 245


def test_weighted_sizes_come_as_often_as_their_weights_say() -> None:
    """Weights need not add up to one."""
    sizes = parse_sizes("weighted:64=3,1024=1", minimum_bytes=MINIMUM)
    drawn = [sizes.pick(number / 100) for number in range(100)]
    assert (drawn.count(64), drawn.count(1024)) == (75, 25)


@pytest.mark.parametrize(
    "spec",
    [
        *("", "x", "20", "-5", "99999999999", "1e3", "uniform:", "uniform:9", "uniform:100-64", "uniform:a-b"),
        *("lognormal:", "lognormal:1", "lognormal:nan,1", "lognormal:5,-1", "lognormal:5,1,10", "lognormal:1,2,3,4"),
        *(
            "weighted:",
            "weighted:64",
            "weighted:64=0",
            "weighted:64=-1",
            "weighted:64=nan",
            "weighted:20=1",
            "pareto:3",
        ),
    ],
)
def test_a_spec_that_cannot_be_is_refused_in_one_line(spec: str) -> None:
    """The line repeats what was given, so that a person finds it."""
    with pytest.raises(UsageError) as refused:
        parse_sizes(spec, minimum_bytes=MINIMUM)
    assert repr(spec) in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text(max_size=30))
def test_no_spec_ends_in_anything_but_sizes_or_a_usage_error(spec: str) -> None:
    """Whatever a shell passes."""
    with contextlib.suppress(UsageError):
        parse_sizes(spec, minimum_bytes=MINIMUM).pick(0.5)
