import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.wire import closing
from scalechat.wire.closing import CLOSINGS, LABELS, Closing, label_of, reason_text, retry_after_ms, should_reconnect

LONG_OR_SHORT = st.text() | st.text("aé語😀", min_size=60, max_size=150)


def test_the_table_says_what_the_protocol_promises() -> None:
    """Number, advice and metric label of every close code, whole."""
    assert [(row.code, row.reconnect, row.label) for row in CLOSINGS.values()] == [
        (1000, False, "normal"),
        (1001, True, "going_away"),
        (1002, False, "protocol_error"),
        (1003, False, "binary"),
        (1005, True, "no_code"),
        (1006, True, "lost"),
        (1007, False, "bad_utf8"),
        (1008, False, "policy"),
        (1009, False, "too_large"),
        (1011, True, "internal"),
        (4001, False, "not_authorised"),
        (4003, False, "forbidden_room"),
        (4005, False, "kicked"),
        (4008, True, "too_slow"),
        (4009, True, "rate_limit"),
        (4010, True, "too_many"),
        (4012, True, "draining"),
    ]


def test_every_closing_of_the_module_is_in_the_table() -> None:
    """A new row cannot be forgotten in the lookup."""
    assert set(CLOSINGS.values()) == {value for value in vars(closing).values() if isinstance(value, Closing)}


@given(st.integers(0, 65535))
def test_any_code_a_peer_chooses_has_one_of_the_known_labels(code: int) -> None:
    """Peers choose close codes, and they must not choose our label values with them."""
    assert label_of(code) in LABELS


@pytest.mark.parametrize("code", [1004, 1010, 2999, 3000, 4999])
def test_a_client_comes_back_after_a_code_it_does_not_know(code: int) -> None:
    """Unknown codes mean a newer server, not a reason to give up."""
    assert should_reconnect(code)


@given(st.sampled_from(sorted(CLOSINGS)), LONG_OR_SHORT, st.none() | st.integers(0, 10**9 - 1))
def test_a_reason_fits_its_close_frame_and_keeps_the_advice(code: int, detail: str, retry_ms: int | None) -> None:
    """RFC 6455 section 5.5 leaves 123 bytes; a long detail is cut, the time to come back never is."""
    reason = reason_text(CLOSINGS[code], detail=detail, retry_after_ms=retry_ms)
    assert len(reason.encode()) <= 123
    if retry_ms is not None:
        assert retry_after_ms(reason) == retry_ms


@pytest.mark.parametrize(
    "detail, retry_ms, reason",
    [
        ("", None, "too slow"),
        ("", 1000, "too slow; retry after 1000 ms"),
        ("queue full", None, "too slow: queue full"),
        ("queue full", 0, "too slow: queue full; retry after 0 ms"),
    ],
)
def test_a_reason_reads_like_a_sentence(detail: str, retry_ms: int | None, reason: str) -> None:
    """What happened, then the detail, then when to come back."""
    assert reason_text(closing.TOO_SLOW, detail=detail, retry_after_ms=retry_ms) == reason


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "",
        "bye",
        "retry after 5 ms",
        "; retry after ms",
        "; retry after -5 ms",
        "; retry after 5 ms later",
        "; retry after 9999999999 ms",
    ],
)
def test_no_advice_is_read_where_none_was_given(reason: str | None) -> None:
    """Other servers' reasons, and absurd times, are not taken for ours."""
    assert retry_after_ms(reason) is None
