"""The catalogue as a story: experiments in the order in which a growing server meets their problems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scalechat.config import OperationalError
from scalechat.experiment.outcome import FILENAME

from .experiment import PlayedExperiment, load_experiment
from .style import Html

__all__ = ["CHAPTERS", "chapter", "load_story"]

CHAPTERS: Final = {
    "People arrive": (1, 3, 2, 11, 15),
    "They talk": (4, 5, 6, 20, 13, 23, 14),
    "One of them is slow": (7, 8, 9, 10, 21),
    "Something breaks": (22, 12, 16, 17),
    "The measurement lies": (18, 19),
}
"""A connection comes before its first message, one message before many, and slowness before loss."""


def load_story(directory: Path | str) -> dict[int, PlayedExperiment]:
    """The newest experiment of each problem below a directory. Raises `OperationalError` where there is none."""
    root = Path(directory)
    played = [load_experiment(path.parent) for path in sorted(root.glob(f"*/{FILENAME}"))]
    if not played:
        raise OperationalError(f"no experiment below {root}: make them with `python -m scalechat experiment all`")
    return {one.outcome.experiment.number: one for one in played}


def chapter(story: dict[int, PlayedExperiment], name: str) -> Iterator[Html]:
    """Verdict, picture, table and paragraph of each problem of a chapter that was played."""
    for number in CHAPTERS[name]:
        if number in story:
            one = story[number]
            yield from (one.headline(), one.picture(), one.figures(), one.story())
