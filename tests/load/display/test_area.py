"""The lines that are drawn again and again, in a terminal emulator: nothing is left of what they were."""

from __future__ import annotations

import io

import pyte
from rich.console import Console, ConsoleDimensions
from rich.text import Text

from scalechat.load.display.area import Area, Line


class Screen(pyte.Screen):
    """What tmux takes for a new screen, it keeps to be scrolled back to."""

    def __init__(self, columns: int, lines: int) -> None:
        self.scrolled: list[str] = []
        super().__init__(columns, lines)

    def erase_in_display(self, how: int = 0, *args: object, **kwargs: object) -> None:
        if how == 0 and (self.cursor.x, self.cursor.y) == (0, 0):
            self.scrolled += [line for line in self.display if line.strip()]
        super().erase_in_display(how, *args, **kwargs)


class Terminal(io.StringIO):
    """Shows what is written to it."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__()
        self.screen = Screen(columns, lines)
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


def resize(terminal: Terminal, console: Console, columns: int, rows: list[str], *, cursor: int) -> None:
    """The terminal has another size and shows these rows, with the cursor in the row of that number."""
    terminal.screen.reset()
    terminal.screen.resize(len(rows), columns)
    terminal.write("\n".join(rows) + f"\x1b[{cursor + 1};1H")
    console.size = ConsoleDimensions(columns, len(rows))


def lower(terminal: Terminal, console: Console, lines: int) -> list[str]:
    """As terminals do it: rows below the cursor go first, then those at the top, which can be scrolled back to."""
    shown, cursor = terminal.shown, terminal.screen.cursor.y
    rows = shown[: max(lines, cursor + 1)]
    scrolled, rows = rows[:-lines], rows[-lines:]
    resize(terminal, console, terminal.screen.columns, rows, cursor=cursor - len(scrolled))
    return scrolled


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
        resize(terminal, console, 20, folded + [""] * 3, cursor=1)
        area.draw(ready(area, "x" * 20, "y" * 20))
        assert terminal.shown == ["a note", "x" * 20, "y" * 20, "", "", "", "", ""]


def test_a_terminal_that_becomes_lower_keeps_no_old_lines_to_scroll_back_to() -> None:
    """What stood above may scroll away; of the area there is the new one, once."""
    area, terminal, console = area_of(lines=9)
    texts = [f"line {number}" for number in range(6)]
    with area.opened():
        area.note(Text("a note"))
        area.draw(ready(area, *texts))
        assert lower(terminal, console, 4) == []
        area.draw(ready(area, *texts))
        assert terminal.shown == ["line 0", "line 1", "line 2", ""]
        assert lower(terminal, console, 2) == []
        area.draw(ready(area, *texts))
        assert terminal.shown == ["line 0", ""]
    assert terminal.shown == ["", ""]


def test_what_is_gone_cannot_be_scrolled_back_to() -> None:
    """Not in tmux either, where the area fills the screen."""
    area, terminal, _ = area_of()
    with area.opened():
        area.draw(ready(area, "one", "two"))
        area.note(Text("a note"))
    assert terminal.screen.scrolled == []


def test_a_line_is_never_folded() -> None:
    area, terminal, _ = area_of(columns=10)
    with area.opened():
        area.draw(ready(area, "123456789012345", "next"))
        assert terminal.shown[:2] == ["1234567890", "next"]
