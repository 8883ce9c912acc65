"""One quantity on a line: what it is called, its figure of now, and how it was, where there is room for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from rich.text import Text

from scalechat.load.display.sparkline import Values, drawn, linear, logarithmic
from scalechat.palette import ACCENT, BAD, FAINT

LABEL: Final = 15
_FIGURE: Final = 16
_RANGE: Final = 18
"""Columns, with what separates them; the rest is for the bars."""
_FEW: Final = 12
"""Bars; where there is room for less, none are drawn."""


@dataclass(frozen=True, slots=True)
class Curve:
    """See the module's docstring."""

    label: str
    figure: Text
    values: Values
    is_latency: bool = False
    """In ms, and drawn on a logarithmic scale, whose ends are told."""
    top: float | None = None
    """The height of a full bar, unless something is higher."""
    limit: float | None = None
    """What a value should not reach."""

    def lines(self, measured: Sequence[bool], width: int, *, height: int = 1) -> list[Text]:
        """Draw it, as many lines high; `measured` says of each value whether it counts."""
        room = width - LABEL - _FIGURE - 2
        ends = _RANGE if room - _RANGE >= _FEW else 0
        room -= ends
        if room < _FEW:
            return [self._words()]
        values, measured = self.values[-room:], measured[-room:]
        heights = logarithmic(values) if self.is_latency else linear(values, self.top)
        bars = drawn(heights, lines=height)
        styles = [
            BAD if self.limit is not None and value is not None and value >= self.limit else _style(counts)
            for value, counts in zip(values, measured, strict=True)
        ]
        lines = [self._words(), *(Text(" " * (LABEL + _FIGURE)) for _ in range(height - 1))]
        for line, end, row in zip(lines, self._ends(values, height), bars, strict=True):
            line.append(f"{end:>{ends}}  " if ends else "  ", style=FAINT)
            for style, run in groupby(zip(styles, row, strict=True), key=lambda pair: pair[0]):
                line.append("".join(mark for _, mark in run), style=style)
        return lines

    def _words(self) -> Text:
        label = Text(f"{self.label:<{LABEL}}", style=FAINT)
        return Text.assemble(label, " " * (_FIGURE - self.figure.cell_len), self.figure)

    def _ends(self, values: Values, height: int) -> list[str]:
        known = [value for value in values if value is not None]
        if not self.is_latency or not known:
            return [""] * height
        if height == 1:
            return [f"{_ms(min(known))} … {_ms(max(known))} ms"]
        return [f"{_ms(max(known))} ms", *[""] * (height - 2), f"{_ms(min(known))} ms"]


def ms_text(value_ms: float | None) -> str:
    """Milliseconds as ``1.25 ms``, ``231 ms``; a dash for none."""
    return "-" if value_ms is None else f"{_ms(value_ms)} ms"


def _ms(value_ms: float) -> str:
    return f"{value_ms:.2f}" if value_ms < 10 else f"{value_ms:,.0f}"


def _style(measured: bool) -> str:
    return ACCENT if measured else f"{FAINT} {ACCENT}"
