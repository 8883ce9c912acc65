"""The table of capacities: what each search found, and how far the answers are apart."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.capacity import Found, Record, block
from benchmarks.machine import look


def found(held: float | None, *, exit_code: int = 0, text: str = "") -> Found:
    return Found(text=text, exit_code=exit_code, held=held, failed=None if held is None else held + 10)


def record(*searches: Found, **fields: object) -> Record:
    whole = Record(
        name="x",
        title="X",
        unit="clients",
        load="one room",
        began="2026-01-01",
        commit="c",
        command="",
        machine=look(9),
    )
    return msgspec.structs.replace(whole, searches=list(searches), **fields)


def test_answers_are_apart_by_a_part_of_their_median() -> None:
    """Of one search, or when one found nothing, nobody can say."""
    assert record(found(100), found(110), found(90)).apart == pytest.approx(0.2)
    assert record(found(100)).apart is None
    assert record(found(100), found(90), found(80, exit_code=97)).apart is None


def test_a_row_has_every_bracket_or_what_the_search_said_instead() -> None:
    """What could not be searched for is named, with the reason."""
    limited = found(80, exit_code=97, text="at least 80 clients, generator-limited")
    lines = block([record(found(1000), limited), record(title="Y", skipped="needs cgroups")]).splitlines()
    cells = lines[2].split(" | ")
    assert cells[:2] == ["| X", "clients: one room"]
    assert cells[2].split("; ") == ["1,000 \N{EN DASH} 1,010", "at least 80 clients, generator-limited"]
    assert lines[-1] == "Not measured here: Y (needs cgroups)."
