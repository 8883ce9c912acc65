"""When drained clients come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.server.comeback import (
    BURDENED_S,
    CEILING_PER_S,
    EARLIEST_MS,
    FLOOR_PER_S,
    LONGEST_S,
    AcceptRate,
    slots_ms,
)


def test_a_node_that_has_seen_little_is_trusted_with_a_little() -> None:
    """Five clients in an hour say nothing about what it can take."""
    rate = AcceptRate()
    assert rate.per_s == FLOOR_PER_S
    rate.note(5, 0.0)
    assert rate.per_s == FLOOR_PER_S


def test_the_busiest_second_that_it_took_with_ease_is_what_it_takes() -> None:
    """Quiet seconds do not unlearn it, and there is a ceiling."""
    rate = AcceptRate()
    for accepted in (300, 900, 10):
        rate.note(accepted, 0.001)
    assert rate.per_s == 900
    rate.note(50_000, 0.001)
    assert rate.per_s == CEILING_PER_S


def test_a_second_in_which_it_fell_behind_proves_nothing_and_lowers_the_belief() -> None:
    """Half way each time; a late loop without arrivals says nothing about arrivals."""
    rate = AcceptRate()
    rate.note(1000, BURDENED_S)
    assert rate.per_s == FLOOR_PER_S
    rate.note(1000, 0.0)
    rate.note(0, 3.0)
    assert rate.per_s == 1000
    rate.note(600, BURDENED_S)
    assert rate.per_s == 800


def test_slots_are_evenly_spaced() -> None:
    """At 200 a second, 5 ms apart."""
    assert slots_ms(4, 200.0) == [EARLIEST_MS, EARLIEST_MS + 5, EARLIEST_MS + 10, EARLIEST_MS + 15]
    assert slots_ms(0, 200.0) == []


@given(st.integers(1, 100_000), st.floats(FLOOR_PER_S, CEILING_PER_S))
def test_nobody_waits_too_long_and_no_second_gets_more_than_its_share(clients: int, per_s: float) -> None:
    """Unless there are too many for both: then all come within the longest wait."""
    slots = slots_ms(clients, per_s)
    assert slots == sorted(slots)
    assert slots[-1] <= EARLIEST_MS + LONGEST_S * 1000
    if clients <= per_s * LONGEST_S:
        assert slots[-1] == pytest.approx(EARLIEST_MS + (clients - 1) * 1000 / per_s, abs=1)
