"""The last lines of a terminal, drawn anew again and again, with notes scrolling away above them.

Rich's `Live` does this too, but renders a screen in one go: several ms in which the load client would serve nobody, and
which it would measure as its own lateness. Here whoever draws brings lines that are rendered already, and may have done
other things between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from scalechat.packing import packed

_TO_END_OF_LINE = "\x1b[K"
_TO_END_OF_SCREEN = "\x1b[J"


class Line(NamedTuple):
    """What is written for a line, and how many columns it fills."""

    written: str
    columns: int


class Area:
    """See the module's docstring. The cursor stands on the line below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: Sequence[Line] = ()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """For the body; what was drawn last is gone afterwards, what was noted stays."""
        self._console.show_cursor(False)
        try:
            yield
        finally:
            self._write(self._to_top() + _TO_END_OF_SCREEN)
            self._console.show_cursor(True)

    def rendered(self, text: Text) -> Line:
        """A line of the area, for this terminal."""
        with self._console.capture() as capture:
            self._console.print(text, end="", no_wrap=True, overflow="crop", crop=True)
        return Line(capture.get(), min(text.cell_len, self._console.width))

    def draw(self, lines: Sequence[Line]) -> None:
        """Instead of what is there; what does not fit a low terminal is left out at the end."""
        lines = lines[: self._console.height - 1]
        above = self._to_top()
        self._lines = lines
        # Nothing is erased before it is written over, so nothing flickers.
        body = "".join(f"{line.written}{_TO_END_OF_LINE}\n" for line in lines)
        self._write(above + body + _TO_END_OF_SCREEN)

    def note(self, text: Text) -> None:
        """A line that stays, above; what it is too long by goes on where its words begin."""
        indent = len(text.plain) - len(text.plain.lstrip())
        folded = packed([text[indent:]], self._console.width - indent, "")
        with self._console.capture() as capture:
            for line in folded:
                self._console.print(Text(" " * indent) + line, highlight=False)
        above, lines = self._to_top() + _TO_END_OF_SCREEN, self._lines
        self._lines = ()
        self._write(above + capture.get())
        self.draw(lines)

    def _to_top(self) -> str:
        """Terminals fold lines that have become too wide for them."""
        width = self._console.width
        rows = sum(max(1, -(-line.columns // width)) for line in self._lines)
        return f"\r\x1b[{rows}A" if rows else "\r"

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
