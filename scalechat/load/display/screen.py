"""How a run's story is drawn into the space there is.

Nothing here knows a terminal, so a test draws at any size. First what the run is and how
far, then a line for each quantity, then words. A low screen has no empty lines, a tall one has higher curves of the
latencies. Pale is what is not measured, red a second that breaks an objective.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from scalechat.load.display.curve import LABEL
from scalechat.load.display.heading import phases, title
from scalechat.load.display.now import curves, words
from scalechat.load.display.story import Story
from scalechat.load.live import Snapshot
from scalechat.packing import packed
from scalechat.palette import FAINT

_BESIDE: Final = 8
"""Lines of a tall screen that are for the prompt and for what was noted."""
_TALLEST: Final = 4
"""Lines of a curve."""
_ASCII: Final = str.maketrans("▁▂▃▄▅▆▇█━─✓✗▶·…", "_.-~=+*#=-+x>..")
"""What stands for the characters that a terminal without Unicode does not have."""


def lines(story: Story, width: int, height: int, *, ascii_only: bool = False) -> Iterator[Text]:
    """One after the other, so that whoever draws them can do other things in between; none before a run begins."""
    for line in _lines(story, width, height):
        if ascii_only:
            line.plain = line.plain.translate(_ASCII)
        yield line


def _lines(story: Story, width: int, height: int) -> Iterator[Text]:
    if story.programme is None:
        return
    yield title(story, width)
    yield phases(story, width)
    if story.now is None:
        return
    told = list(_told(story, story.now, width))
    blocks = curves(story, story.now)
    spare = height - 2 - sum(map(len, blocks)) - len(told) - (len(blocks) + 1) - 1
    gap = [Text()] if spare >= 0 else []
    tall = 1 + min(max(spare - _BESIDE, 0) // 3, _TALLEST - 1)
    measured = [window.measured for window in story.windows]
    for block in blocks:
        yield from gap
        for curve in block:
            yield from curve.lines(measured, width, height=tall if curve.is_latency else 1)
    yield from gap
    yield from told


def _told(story: Story, now: Snapshot, width: int) -> Iterator[Text]:
    for label, parts in words(story, now):
        for number, line in enumerate(packed(parts, width - LABEL, ", ")):
            yield Text.assemble((f"{'' if number else label:<{LABEL}}", FAINT), line)
