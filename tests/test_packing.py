"""Parts on lines: what goes together stays together, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from scalechat.packing import packed


def plain(parts: list[str], width: int | None, separator: str = ", ") -> list[str]:
    return [line.plain for line in packed([Text(part) for part in parts], width, separator)]


def test_a_line_breaks_between_parts() -> None:
    assert plain(["0 missing", "0 duplicated", "0 reordered"], 25) == ["0 missing, 0 duplicated,", "0 reordered"]


def test_the_separator_at_the_end_of_a_line_needs_room_too() -> None:
    assert plain(["0 missing", "0 out of order", "0 twice"], 25) == ["0 missing,", "0 out of order, 0 twice"]


def test_without_a_width_everything_is_one_line() -> None:
    assert plain(["0 missing", "0 duplicated", "0 reordered"], None) == ["0 missing, 0 duplicated, 0 reordered"]


def test_a_part_that_is_too_long_for_a_line_of_its_own_is_broken_at_a_space() -> None:
    assert plain(["the run reached its end"], 12) == ["the run", "reached its", "end"]


def test_each_part_keeps_its_own_style() -> None:
    """The first one's is not everybody's."""
    (line,) = packed([Text("3 missing", style="red"), Text("0 twice")], None, ", ")
    assert [(line.plain[span.start : span.end], str(span.style)) for span in line.spans] == [("3 missing", "red")]


@given(st.lists(st.text("ab ", min_size=1, max_size=12)), st.integers(1, 40))
def test_no_line_is_too_wide_and_no_word_is_lost(parts: list[str], width: int) -> None:
    lines = plain(parts, width)
    assert all(len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "").replace(",", "") == "".join(parts).replace(" ", "")
