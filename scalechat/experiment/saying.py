"""What is said on stderr while experiments are played: lines that stay, and on a terminal one that changes."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from scalechat.palette import FAINT

_INDENT = "    "


class Saying:
    """See the module's docstring."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._changes = console.is_terminal and not console.is_dumb_terminal

    def title(self, number: int, title: str) -> None:
        """The next experiment."""
        self._print(Text(f"{number:2}  {title}", style="bold"))

    def line(self, line: str) -> None:
        """Something that stays."""
        self._print(Text(f"{_INDENT}{line}"))

    def now(self, line: str) -> None:
        """How it goes, instead of what was said before; in a log it would be one of very many."""
        if self._changes:
            text = Text(f"{_INDENT}{line}", style=FAINT)
            text.truncate(self._console.width - 1, overflow="ellipsis")
            self._console.file.write("\r")
            self._console.print(text, end="\x1b[K", soft_wrap=True)

    def over(self) -> None:
        """Nothing is going on any more."""
        if self._changes:
            self._console.file.write("\r\x1b[K")
            self._console.file.flush()

    def _print(self, text: Text) -> None:
        self.over()
        self._console.print(text, soft_wrap=True)
