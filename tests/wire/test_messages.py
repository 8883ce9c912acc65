import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.wire.messages import MAX_NAME_CHARS, BadMessage, parse_name


@pytest.mark.parametrize(
    "name", ["a", "alice", "Z-9_x.y", "0", "-", "_", "x" * 64, "Grüße", "日本語", "हिन्दी", "1.2.3", "é" * 64]
)
def test_letters_marks_digits_and_three_signs_make_a_name(name: str) -> None:
    """Names of any script pass unchanged when they are NFC already."""
    assert parse_name(name, "room") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../etc",
        "a/b",
        "a\\b",
        "a b",
        "a\nb",
        "a\x00",
        "\x1b[31m",
        "a:b",
        "{a}",
        "a*",
        "a?",
        "[a]",
        'a"',
        "a'b",
        "<b>",
        "a&b",
        "a=b",
        "a,b",
        "#a",
        "@a",
        "$a",
        "%41",
        "😀",
        "a\u200bb",  # zero width
        "a\u202eb",  # right-to-left override
        "a\ufeff",
        "a\u3164b",  # a filler, which counts as a letter
        "a\ufe0f",  # a variation selector, which counts as a mark
        "\u3000",
        "a\ue000",  # private use
        "\ud800",
        "x" * 65,
        "é" * 65,
    ],
)
def test_what_means_something_elsewhere_is_no_name(name: str) -> None:
    """Separators, controls, invisible characters, markup and wrong lengths are refused as `bad_name`."""
    with pytest.raises(BadMessage) as refused:
        parse_name(name, "room")
    assert refused.value.code == "bad_name"


@pytest.mark.parametrize("said, kept", [("e\u0301", "é"), ("\u1100\u1161", "가"), ("A\u030a", "Å"), ("\u212b", "Å")])
def test_a_name_written_two_ways_is_one_name(said: str, kept: str) -> None:
    """Names are compared in NFC, so two keyboards cannot make two people of one name."""
    assert parse_name(said, "clientId") == kept


def test_the_limit_counts_characters_after_normalisation() -> None:
    """64 letters written as 128 code points are within the limit."""
    assert parse_name("e\u0301" * 64, "room") == "é" * 64


def test_a_refusal_names_what_was_wrong_and_not_the_value() -> None:
    """The detail says which name is meant and repeats nothing that the peer sent."""
    with pytest.raises(BadMessage, match=r"^clientId may hold letters"):
        parse_name("<script>", "clientId")


@given(st.text(max_size=80))
def test_a_parsed_name_is_a_fixed_point_of_safe_characters(text: str) -> None:
    """Whatever is accepted is NFC, 1 to 64 characters of the allowed kinds, and parses to itself again."""
    try:
        name = parse_name(text, "room")
    except BadMessage:
        return
    assert name == unicodedata.normalize("NFC", name) == parse_name(name, "room")
    assert 1 <= len(name) <= MAX_NAME_CHARS
    assert all(char in "-_." or char.isalnum() or unicodedata.category(char)[0] in "MN" for char in name)
