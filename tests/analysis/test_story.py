"""The catalogue as a story: each problem has its place, and the notebook tells those that were played."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import nbformat
import pytest

from scalechat.analysis.execution import execute
from scalechat.analysis.story import CHAPTERS, load_story
from scalechat.config import OperationalError

from .played import play_with
from .synthetic import Case

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "scale-problems.ipynb"


def test_each_of_of_the_22_problems_has_one_place_in_the_story() -> None:
    """No problem is told twice."""
    assert sorted(chain.from_iterable(CHAPTERS.values())) == list(range(1, 23))


def test_a_directory_without_experiments_says_what_to_do(tmp_path: Path) -> None:
    """The command that plays them."""
    with pytest.raises(OperationalError, match="experiment all"):
        load_story(tmp_path)


def test_the_notebook_tells_what_was_played(tmp_path: Path) -> None:
    """Really executed: verdict, picture, table and paragraph."""
    play_with(tmp_path / "one", Case(steady_s=5, latency_ms=30.0), Case(steady_s=5))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells[1].source = f"directory = {str(tmp_path)!r}"
    execute(notebook)
    shown = str([cell.get("outputs") for cell in notebook.cells])
    assert "Problem 3 of the catalogue" in shown
    assert shown.count("<figure>") == 1
