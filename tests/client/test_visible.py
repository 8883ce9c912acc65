"""Nothing that another person sends acts on the terminal, and everything readable stays readable."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.client.visible import MAX_CHARS, MAX_LINES, visible, visible_lines

HOSTILE = [
    ("\x1b[2J\x1b[H", "␛[2J␛[H"),  # clear the screen
    ("\x1b]0;pwned\x07", "␛]0;pwned␇"),  # retitle the window
    ("\x1b]52;c;cm0gLXJm\x1b\\", "␛]52;c;cm0gLXJm␛\\"),  # write the clipboard
    ("\x9b31mred", "�31mred"),  # the same as one C1 byte
    ("hi\rbob: pay me", "hi␍bob: pay me"),  # overwrite the name
    ("abc\b\b\bxyz", "abc␈␈␈xyz"),
    ("\u202egnp.exe", "�gnp.exe"),  # show it backwards
    ("pay\u2066pal", "pay�pal"),
    ("in\u200bvisible\ufeff", "invisible"),
    ("\x7f\x00", "␡␀"),
    ("\ud800", "�"),  # cannot be encoded: printing it would raise
    ("\ufffe\U0001ffff\ufdd0", "���"),
    ("tab\there", "tab    here"),
    ("\U000e0041tag", "�tag"),
]


@pytest.mark.parametrize("text, shown", HOSTILE)
def test_what_acts_is_shown_instead(text: str, shown: str) -> None:
    """Each attack becomes marks on the screen."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    ["hello", "äöü ß", "日本語", "עברית", "العربية", "नमस्ते", "👩‍👩‍👧‍👦 🏳️‍🌈", "e\u0301", "می\u200cخواهم", ""],  # noqa: RUF001
)
def test_every_script_stays_as_it_is(text: str) -> None:
    """Joiners inside words and emoji are part of writing."""
    assert visible(text) == text


def test_stacked_marks_are_cut() -> None:
    """A letter keeps a few accents; a tower of them would paint over other people's lines."""
    assert visible("a" + "\u0301" * 50 + "b") == "a" + "\u0301" * 5 + "b"


@given(st.text(alphabet=st.characters()))
def test_no_control_character_survives(text: str) -> None:
    """Whatever comes in, what goes out can be encoded and holds no control or override."""
    for line in visible_lines(text):
        line.encode()
        categories = {unicodedata.category(char) for char in line}
        assert not categories & {"Cc", "Cs", "Zl", "Zp"}
        assert not set(line) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_left_alone(text: str) -> None:
    """ASCII without controls is nobody's attack."""
    assert visible(text) == text


def test_lines_are_lines_whichever_way_they_are_broken() -> None:
    """Unix, Windows and Unicode line ends all begin a new line; the last one adds none."""
    assert visible_lines("a\nb\r\nc\u2028d\x85e\n\n") == ("a", "b", "c", "d", "e")
    assert visible_lines("") == ("",)


def test_a_flood_is_cut_to_a_screenful() -> None:
    """64 KiB from one person scroll nobody else away, and what is missing is said."""
    many = visible_lines("\n".join(str(n) for n in range(1_000)))
    assert len(many) == MAX_LINES + 1
    assert many[-1] == "… 960 more lines"
    assert visible_lines("x" * (MAX_CHARS + 5)) == ("x" * MAX_CHARS, "… 5 more characters")
