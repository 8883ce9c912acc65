"""Parts of a sentence on as few lines as a terminal's width allows: broken between parts, within one only when alone
it is too long."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text


def packed(parts: Sequence[Text], width: int | None, separator: str) -> Iterator[Text]:
    """Lines of at most `width` columns; one line without a width."""
    end = separator.rstrip()
    line: Text | None = None
    for number, part in enumerate(parts, 1):
        after = len(end) if number < len(parts) else 0
        if line is None:
            line = Text().append_text(part)
        elif width is None or line.cell_len + len(separator) + part.cell_len + after <= width:
            line.append(separator).append_text(part)
        else:
            yield from _folded(line.append(end), width)
            line = Text().append_text(part)
    if line is not None:
        yield from _folded(line, width)


def _folded(line: Text, width: int | None) -> Iterable[Text]:
    if width is None or line.cell_len <= width:
        return [line]
    lines = line.wrap(_RULER, max(width, 1))
    for folded in lines:
        folded.rstrip()
    return lines


_RULER: Final = Console(file=io.StringIO(), width=80)
"""Rich wants a console to wrap with, and asks nothing of it but how wide characters are."""
