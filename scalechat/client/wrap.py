"""Long lines broken between words, so that what one person says stays in its column. Pure."""

import re
from collections.abc import Iterator

from prompt_toolkit.utils import get_cwidth

Fragment = tuple[str, str]  # style, text
Line = list[Fragment]

#: A column narrower than this is no column: the terminal breaks the line wherever it likes.
_MIN_COLUMNS = 20
_WORDS = re.compile(r"\s*\S+|\s+")


def wrap(line: Line, gutter: Line, columns: int) -> list[Line]:
    """Return `line` as lines of at most `columns`, continued behind `gutter`.

    What stands before the gutter's last fragment is the margin and never broken. A word longer than the column
    stays whole, so that an address can still be clicked and copied.
    """
    bar = gutter[-1]
    margin = line.index(bar) + 1 if bar in line else 0
    head, body = line[:margin], line[margin:]
    room = columns - _width(gutter) - 1  # the last column makes some terminals wrap
    if not head or room < _MIN_COLUMNS or _width(body) <= columns - _width(head) - 1:
        return [line]
    lines: list[Line] = [head]
    used, empty = _width(head) - _width(gutter), True
    for style, word in _words(body):
        shown = word
        if not empty and used + get_cwidth(word) > room:
            lines.append([*gutter])
            used, shown = 0, word.lstrip()
        lines[-1].append((style, shown))
        used, empty = used + get_cwidth(shown), False
    return lines


def _words(body: Line) -> Iterator[Fragment]:
    for style, text in body:
        for word in _WORDS.findall(text):
            yield style, word


def _width(line: Line) -> int:
    return sum(get_cwidth(text) for _, text in line)
