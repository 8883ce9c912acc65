"""The grammar of the typed line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.client.commands import (
    ENTRIES,
    Command,
    Help,
    History,
    Join,
    Known,
    Leave,
    Mistake,
    Quit,
    Say,
    Tell,
    Who,
    complete,
    parse,
)


@pytest.mark.parametrize(
    "line, command",
    [
        ("hello", Say("hello")),
        ("  two  spaces ", Say("  two  spaces ")),
        ("//etc is a folder", Say("/etc is a folder")),
        ("1/2", Say("1/2")),
        ("/join dev", Join("dev")),
        ("/JOIN dev", Join("dev")),
        ("/leave", Leave(None)),
        ("/leave dev", Leave("dev")),
        ("/msg bob are you there?", Tell("bob", "are you there?")),
        ("/who", Who()),
        ("/history", History(20)),
        ("/history 5", History(5)),
        ("/help", Help()),
        ("/quit ", Quit()),
        ("", None),
        ("   ", None),
    ],
)
def test_a_line_is_what_it_says(line: str, command: Command | None) -> None:
    """Commands begin with a slash, two slashes say one, everything else is said."""
    assert parse(line) == command


@pytest.mark.parametrize(
    "line, advice",
    [
        ("/jion dev", "there is no /jion; did you mean /join?"),
        ("/exit", "there is no /exit; did you mean /quit?"),
        ("/whom", "there is no /whom; did you mean /who?"),
        ("/xyzzy", "there is no /xyzzy; /help lists the commands"),
        ("/join", "usage: /join ROOM"),
        ("/join two rooms", "usage: /join ROOM"),
        ("/msg bob", "usage: /msg NAME TEXT"),
        ("/history many", "usage: /history [N]"),
        ("/history 0", "usage: /history [N]"),
        ("/history 99999999999999999999", "usage: /history [N]"),
        ("/quit now", "usage: /quit"),
        ("/", "there is no /; /help lists the commands"),
    ],
)
def test_a_mistake_gets_advice(line: str, advice: str) -> None:
    """The nearest command, or how the meant one is used."""
    assert parse(line) == Mistake(advice)


@given(st.text())
def test_no_line_is_an_error(line: str) -> None:
    """Any text is a command, something said, a mistake with advice, or nothing."""
    parse(line)
    parse("/" + line)


def test_every_entry_of_the_table_is_understood() -> None:
    """Help, parser and completion are one table."""
    for entry in ENTRIES:
        assert entry.usage.startswith(f"/{entry.name}")
        assert complete(f"/{entry.name}", Known()) == ((f"/{entry.name}", entry.meaning),)


KNOWN = Known(rooms=("dev", "global"), members=("alice", "bob", "Bella"))


@pytest.mark.parametrize(
    "before, words",
    [
        ("/", [f"/{entry.name}" for entry in ENTRIES]),
        ("/h", ["/history", "/help"]),
        ("/join ", ["dev", "global"]),
        ("/join d", ["dev"]),
        ("/leave g", ["global"]),
        ("/msg b", ["bob", "Bella"]),
        ("/msg bob ask al", ["alice"]),
        ("/who b", []),
        ("b", ["bob", "Bella"]),
        ("hello al", ["alice"]),
        ("//h", []),
    ],
)
def test_completes_what_may_stand_here(before: str, words: list[str]) -> None:
    """Commands first, then rooms or people, whichever the command takes."""
    assert [word for word, _ in complete(before, KNOWN)] == words
