"""The catalogue as a story: each problem has its place."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from scalechat.analysis.story import CHAPTERS, load_story
from scalechat.config import OperationalError


def test_each_of_the_23_problems_has_one_place_in_the_story() -> None:
    """No problem is told twice."""
    assert sorted(chain.from_iterable(CHAPTERS.values())) == list(range(1, 24))


def test_a_directory_without_experiments_says_what_to_do(tmp_path: Path) -> None:
    """The command that plays them."""
    with pytest.raises(OperationalError, match="experiment all"):
        load_story(tmp_path)
