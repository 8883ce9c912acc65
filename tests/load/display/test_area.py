"""The lines that are drawn again and again, in a terminal emulator: nothing is left of what they were."""

from __future__ import annotations

import io

import pyte
from rich.console import Console, ConsoleDimensions
from rich.text import Text

from scalechat.load.display.area import Area, Line


class Terminal(io.StringIO):
    """Shows what is written to it."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))  # as the kernel does
        return len(text)

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]


def area_of(columns: int = 40, lines: int = 6) -> tuple[Area, Terminal, Console]:
    terminal = Terminal(columns, lines)
    console = Console(file=terminal, force_terminal=True, width=columns, height=lines, legacy_windows=False)
    return Area(console), terminal, console


def ready(area: Area, *texts: str) -> list[Line]:
    return [area.rendered(Text(text)) for text in texts]


def test_what_is_drawn_takes_the_place_of_what_was() -> None:
    """Also when it is shorter, in lines and in columns."""
    area, terminal, _ = area_of()
    with area.opened():
        area.draw(ready(area, "a long first line", "second", "third"))
        area.draw(ready(area, "short", "2nd"))
        assert terminal.shown == ["short", "2nd", "", "", "", ""]


def test_notes_stay_above_and_scroll_away() -> None:
    area, terminal, _ = area_of()
    with area.opened():
        area.draw(ready(area, "one", "two"))
        for number in range(5):
            area.note(Text(f"note {number} of [::1]:8080"))
        area.draw(ready(area, "1", "2"))
    assert terminal.shown == ["note 2 of [::1]:8080", "note 3 of [::1]:8080", "note 4 of [::1]:8080", "", "", ""]


def test_a_note_that_is_too_long_goes_on_where_its_words_begin() -> None:
    area, terminal, _ = area_of(columns=20)
    with area.opened():
        area.note(Text("    one two three four five"))
        assert terminal.shown[:2] == ["    one two three", "    four five"]


def test_nothing_is_left_of_it_and_the_cursor_comes_back() -> None:
    area, terminal, _ = area_of()
    with area.opened():
        assert terminal.screen.cursor.hidden
        area.draw(ready(area, "one", "two"))
    assert terminal.shown == [""] * 6
    assert (terminal.screen.cursor.y, terminal.screen.cursor.hidden) == (0, False)


def test_a_terminal_that_is_too_low_gets_the_first_lines() -> None:
    area, terminal, _ = area_of(lines=4)
    with area.opened():
        for _ in range(3):
            area.draw(ready(area, *(f"line {number}" for number in range(9))))
        assert terminal.shown == ["line 0", "line 1", "line 2", ""]


def test_lines_that_a_narrower_terminal_folds_are_drawn_over() -> None:
    """Half as wide, each line of before is two."""
    area, terminal, console = area_of(columns=40, lines=8)
    with area.opened():
        area.note(Text("a note"))
        area.draw(ready(area, "x" * 30, "y" * 30))
        folded = ["a note", "x" * 20, "x" * 10, "y" * 20, "y" * 10]
        terminal.screen.reset()
        terminal.screen.resize(8, 20)
        terminal.write("\n".join(folded) + "\n")
        console.size = ConsoleDimensions(20, 8)
        area.draw(ready(area, "x" * 20, "y" * 20))
        assert terminal.shown == ["a note", "x" * 20, "y" * 20, "", "", "", "", ""]


def test_a_line_is_never_folded() -> None:
    area, terminal, _ = area_of(columns=10)
    with area.opened():
        area.draw(ready(area, "123456789012345", "next"))
        assert terminal.shown[:2] == ["1234567890", "next"]
