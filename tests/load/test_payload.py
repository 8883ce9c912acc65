"""The header in each message: what is read is what was written, or it is known not to be."""

from __future__ import annotations

import json

from hypothesis import assume, given
from hypothesis import strategies as st

from scalechat.load.payload import HEADER_CHARS, Header, Unreadable, decode, encode

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
HEADERS = st.builds(Header, U32, U32, U32, U64, U64, U64)
SIZES = st.integers(HEADER_CHARS, 2_000) | st.integers(65_000, 140_000)


@given(HEADERS, SIZES)
def test_a_message_has_its_size_and_says_what_it_was_given(header: Header, size: int) -> None:
    """The header counts towards the size."""
    text = encode(header, size)
    assert len(text) == size
    assert decode(text.decode()) == header


@given(HEADERS, SIZES)
def test_json_carries_a_message_without_escapes(header: Header, size: int) -> None:
    """So its size on the wire is its size, and it can be put between quotation marks as it is."""
    text = encode(header, size).decode()
    assert json.dumps(text, ensure_ascii=False) == f'"{text}"'


@given(HEADERS, st.integers(HEADER_CHARS, 300), st.data())
def test_no_changed_character_goes_unnoticed(header: Header, size: int, data: st.DataObject) -> None:
    """Whether in the header or in the filler, a replaced character never reads as an intact message."""
    text = encode(header, size).decode()
    at = data.draw(st.integers(0, size - 1))
    other = data.draw(st.characters())
    assume(other != text[at])
    assert isinstance(decode(text[:at] + other + text[at + 1 :]), Unreadable)


@given(HEADERS, st.integers(HEADER_CHARS, 300), st.data())
def test_no_cut_goes_unnoticed(header: Header, size: int, data: st.DataObject) -> None:
    """A message that was shortened is damaged."""
    text = encode(header, size).decode()
    assert isinstance(decode(text[: data.draw(st.integers(0, size - 1))]), Unreadable)


@given(st.text())
def test_what_a_person_says_is_not_taken_for_a_message_of_ours(text: str) -> None:
    """Reading never raises, and never finds a header where none was written."""
    assert isinstance(decode(text), Unreadable)


def test_a_text_without_our_beginning_is_foreign_and_a_broken_one_is_damaged() -> None:
    """Only the second is an error of the server."""
    text = encode(Header(1, 2, 3, 4, 5, 6), 100).decode()
    assert decode("hello") is Unreadable.FOREIGN
    assert decode(text[:-1] + "!") is Unreadable.DAMAGED
    assert decode(text[:70] + "ü" + text[71:]) is Unreadable.DAMAGED
