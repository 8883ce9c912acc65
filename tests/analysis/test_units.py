"""Numbers as a person reads them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.analysis import units


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    "ns, text",
    [
        (0, "0 ns"),
        (812_400, "812 µs"),
        (999_600, "1.00 ms"),
        (4_213_000, "4.21 ms"),
        (12_340_000, "12.3 ms"),
        (999_999_999, "1.00 s"),
        (75e9, "75.0 s"),
        (-2_500_000, "-2.50 ms"),
        (math.nan, units.MISSING),
    ],
)
def test_durations_have_three_digits_and_the_fitting_unit(ns: float, text: str) -> None:
    """A duration is never `1000 ms` nor `0.81 ms`."""
    assert plain(units.duration_text(ns)) == text


@pytest.mark.parametrize(
    "ratio, text",
    [(0.0, "0 %"), (0.002, "0.200 %"), (0.384, "38 %"), (0.99999, "99.99 %"), (1.0, "100 %"), (1.5, "150 %")],
)
def test_less_than_all_is_never_rounded_up_to_all(ratio: float, text: str) -> None:
    """99.999 % is not 100 %."""
    assert plain(units.percent_text(ratio)) == text


def test_rates_and_sizes_and_counts() -> None:
    """Thousands are `k`, sizes are powers of ten, counts have separators."""
    assert plain(units.rate_text(10_012.0, "deliveries")) == "10.0 k deliveries/s"
    assert plain(units.rate_text(200.0)) == "200/s"
    assert plain(units.rate_text(1_540_000.0)) == "1.54 M/s"
    assert plain(units.bytes_text(95_400_000)) == "95.4 MB"
    assert units.count_text(1234567.0) == "1,234,567"
    assert [units.counted(count, "client") for count in (1, 2)] == ["1 client", "2 clients"]


@given(st.floats(1e-6, 1e15))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    """Rounding never moves a figure by more than half of its third digit."""
    assert float(units.significant(value).replace(",", "")) == pytest.approx(value, rel=0.0051)
