"""What a line means, and what a name may be."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from scalechat.wire.messages import BadMessage, parse_name

_FROM_PAGE = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Letters and marks that every Unicode version of the last ten years knows, and what names must not hold.
_NAME_CHARACTERS = st.sampled_from("aZ9-_.éßЖשあ中्́ \t/#@:%<>'\"\\\0\u202e\u200d😀½")


def parse(page: Page, line: str) -> Any:
    return page.evaluate("async (a) => (await import('/commands.js')).parseLine(a, {room: 'lab'})", line)


@pytest.mark.parametrize(
    "line, intent",
    [
        ("hello", {"kind": "say", "text": "hello"}),
        ("//etc/passwd", {"kind": "say", "text": "/etc/passwd"}),
        ("/msg bob two\nlines", {"kind": "msg", "to": "bob", "text": "two\nlines"}),
        ("/join  tea ", {"kind": "join", "room": "tea"}),
        ("/leave", {"kind": "leave", "room": "lab"}),
        ("/leave tea", {"kind": "leave", "room": "tea"}),
    ],
)
def test_a_line_is_text_or_a_command(modules: Page, line: str, intent: object) -> None:
    """Only what begins with one slash is a command."""
    assert parse(modules, line) == intent


@pytest.mark.parametrize("line", ["/", "/msg", "/msg bob", "/msg b/b hi", "/join", "/join #tea", "/fly", "/help"])
def test_a_command_that_cannot_be_meant_is_explained(modules: Page, line: str) -> None:
    """One line says what was wrong; nothing is sent."""
    answer = parse(modules, line)
    assert answer["kind"] == "wrong"
    assert answer["why"]


@_FROM_PAGE
@given(text=st.text(_NAME_CHARACTERS, max_size=8) | st.sampled_from(["a" * 64, "a" * 65, "é" * 64, "é" * 64]))
def test_the_page_takes_the_names_that_the_server_takes(modules: Page, text: str) -> None:
    """Both know the same names, in the same normal form; the page trims what a person typed around it."""
    try:
        expected = parse_name(text.strip(" \t"), "name")
    except BadMessage:
        expected = None
    assert modules.evaluate("async (a) => (await import('/conversations.js')).parseName(a)", text) == expected


@pytest.mark.parametrize(
    "address, key",
    [
        ("#lab", "#lab"),
        ("#@bob", "#@bob"),
        ("#caf%C3%A9", "#café"),
        ("#", None),
        ("#%", None),
        ("#a/b", None),
        ("#@", None),
    ],
)
def test_an_address_names_a_room_or_a_person(modules: Page, address: str, key: str | None) -> None:
    """Anything else names nothing."""
    found = modules.evaluate("async (a) => (await import('/conversations.js')).parseKey(a)?.key ?? null", address)
    assert found == key
