"""Bars of block characters say which value is higher."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.display.sparkline import drawn, linear, logarithmic

VALUES = st.lists(st.none() | st.floats(0, 1e9))


def test_the_highest_bar_leaves_a_gap_to_the_line_above() -> None:
    assert drawn([0.0, 0.5, 1.0, None]) == ["▁▄▇ "]


def test_a_bar_of_several_lines_is_full_below_its_end() -> None:
    assert drawn([0.0, 0.5, 1.0], lines=2) == ["  ▇", "▁██"]


def test_noise_does_not_look_like_mountains() -> None:
    """Less than a factor of two from the least to the greatest does not fill the height."""
    assert logarithmic([10.0, 11.0, 20.0]) != logarithmic([10.0, 11.0])
    assert max(height or 0 for height in logarithmic([10.0, 11.0])) < 0.2


def test_a_linear_scale_begins_at_zero_and_can_have_a_fixed_top() -> None:
    assert linear([0.0, 5.0, 10.0]) == [0.0, 0.5, 1.0]
    assert linear([0.25], top=1.0) == [0.25]
    assert linear([2.0], top=1.0) == [1.0]
    assert linear([0.0]) == [0.0]


@given(VALUES, st.integers(1, 4))
def test_there_is_a_column_for_every_value_and_none_is_lower_than_a_smaller_one(
    values: list[float | None], lines: int
) -> None:
    for scaled in (logarithmic(values), linear(values)):
        rows = drawn(scaled, lines=lines)
        assert len(rows) == lines
        assert all(len(row) == len(values) for row in rows)
        heights = [sum(" ▁▂▃▄▅▆▇█".index(row[column]) for row in rows) for column in range(len(values))]
        shown = sorted((value, height) for value, height in zip(values, heights, strict=True) if value and height)
        assert [height for _, height in shown] == sorted(height for _, height in shown)
        assert all(height == 0 for value, height in zip(values, heights, strict=True) if value is None)
