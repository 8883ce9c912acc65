"""Numbers as bars of block characters: a column each, one line high or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
_BETWEEN: Final = 1
"""Levels that the highest bar leaves free, so that it does not touch the line above."""
_NOISE: Final = 2.0
"""A range of less than this factor is the noise of a quiet run, and is not to look like mountains."""

Values = Sequence[float | None]


def logarithmic(values: Values) -> list[float | None]:
    """How high each is between the least and the greatest shown, from 0 to 1; None stays None, as does what is 0."""
    known = [math.log(value) for value in values if value is not None and value > 0]
    if not known:
        return [None] * len(values)
    low, span = min(known), max(max(known) - min(known), math.log(_NOISE))
    return [None if value is None or value <= 0 else (math.log(value) - low) / span for value in values]


def linear(values: Values, top: float | None = None) -> list[float | None]:
    """How high each is between 0 and the greatest shown, or between 0 and `top` where none is higher."""
    highest = max([top or 0.0, *(value for value in values if value is not None)])
    return [None if value is None else max(value, 0.0) / highest if highest else 0.0 for value in values]


def drawn(heights: Values, *, lines: int = 1) -> list[str]:
    """Lines from top to bottom, a character for each height; a gap where there is none."""
    whole = len(BARS)
    most = whole * lines - _BETWEEN
    levels = [None if height is None else min(int(height * most), most - 1) + 1 for height in heights]
    return ["".join(_piece(level, below=whole * (lines - 1 - line)) for level in levels) for line in range(lines)]


def _piece(level: int | None, *, below: int) -> str:
    """The part of a bar that lies on the line above `below`."""
    if level is None or level <= below:
        return " "
    return BARS[min(level - below, len(BARS)) - 1]
