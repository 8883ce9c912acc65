"""Where everything stands on a page: rows under each other, panels side by side, in Grafana's grid of 24 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from configs.grafana.model import Panel, Row, Stat

COLUMNS: Final = 24
ROW_HEIGHT, STAT_HEIGHT, PANEL_HEIGHT = 1, 4, 8


@dataclass(frozen=True, slots=True)
class Placed:
    """A row's heading or a panel, and its cells from the top left."""

    shown: Row | Panel
    x: int
    y: int
    width: int
    height: int


def laid_out(rows: Sequence[Row]) -> Iterator[Placed]:
    """Every heading and panel with its place."""
    y = 0
    for row in rows:
        yield Placed(row, 0, y, COLUMNS, ROW_HEIGHT)
        y += ROW_HEIGHT
        height = STAT_HEIGHT if isinstance(row.panels[0], Stat) else PANEL_HEIGHT
        abreast = _abreast(row)
        width = COLUMNS // abreast
        for index, panel in enumerate(row.panels):
            line, column = divmod(index, abreast)
            yield Placed(panel, column * width, y + line * height, width, height)
        y += height * -(-len(row.panels) // abreast)


def _abreast(row: Row) -> int:
    """Numbers fill a line, pictures stand three abreast, or two where that leaves no gap at the end."""
    if isinstance(row.panels[0], Stat):
        return len(row.panels)
    return 2 if len(row.panels) in {2, 4} else 3
