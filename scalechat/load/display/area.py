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
# In two steps: tmux takes a screen that is erased from its first corner for one that is to be scrolled back to.
_ALL = f"\r{_TO_END_OF_LINE}\n{_TO_END_OF_SCREEN}\x1b[A"


class Line(NamedTuple):
    """What is written for a line, and how many columns it fills."""

    written: str
    columns: int


class Area:
    """See the module's docstring.

    The cursor rests on the first line: a terminal that becomes lower keeps the line of its cursor in sight and drops
    what is below, and one that becomes narrower may fold the lines below as it likes. What had scrolled out at the top
    could not be erased any more.
    """

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
            self._write(_ALL)
            self._console.show_cursor(True)

    def rendered(self, text: Text) -> Line:
        """A line of the area, for this terminal."""
        with self._console.capture() as capture:
            self._console.print(text, end="", no_wrap=True, overflow="crop", crop=True)
        return Line(capture.get(), min(text.cell_len, self._console.width))

    def draw(self, lines: Sequence[Line]) -> None:
        """Instead of what is there; what does not fit a low terminal is left out at the end."""
        lines = lines[: self._console.height - 1]
        self._lines = lines
        width = self._console.width
        # Nothing is erased before it is written over, so nothing flickers; and nothing after a line that fills its row,
        # whose last column a terminal would take.
        body = "".join(f"{line.written}{_TO_END_OF_LINE if line.columns < width else ''}\n" for line in lines)
        back = f"\x1b[{len(lines)}A" if lines else ""
        self._write("\r" + body + _TO_END_OF_SCREEN + back)

    def note(self, text: Text) -> None:
        """A line that stays, above; what it is too long by goes on where its words begin."""
        indent = len(text.plain) - len(text.plain.lstrip())
        folded = packed([text[indent:]], self._console.width - indent, "")
        with self._console.capture() as capture:
            for line in folded:
                self._console.print(Text(" " * indent) + line, highlight=False)
        self._write(_ALL + capture.get())
        self.draw(self._lines)

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
