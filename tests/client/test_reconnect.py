"""When to come back: the rules, for any numbers."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.client.reconnect import Backoff, BackoffPolicy
from scalechat.wire import closing

POLICY = BackoffPolicy(base_s=0.5, cap_s=30.0, stable_after_s=10.0, told_cap_s=600.0)


def backoff(seed: int = 0) -> Backoff:
    return Backoff(Random(seed), POLICY)


@given(st.integers(), st.integers(1, 200))
def test_each_wait_lies_between_nothing_and_a_doubling_capped_bound(seed: int, failures: int) -> None:
    """Full jitter: the n-th wait is in [0, min(cap, base · 2ⁿ)]."""
    subject = backoff(seed)
    for attempt in range(failures):
        assert 0.0 <= subject.failed(0.0) <= min(30.0, 0.5 * 2 ** min(attempt, 60))


@given(st.integers())
def test_the_waits_of_many_clients_are_spread(seed: int) -> None:
    """Clients that were cut off together do not come back together."""
    random = Random(seed)
    waits = sorted(Backoff(random, POLICY).failed(0.0) for _ in range(100))
    assert waits[10] < 0.2
    assert waits[89] > 0.3


@given(st.integers(0, 10**12), st.floats(0, 1e6))
def test_a_close_reason_that_names_a_time_is_obeyed_up_to_the_cap(after_ms: int, now_s: float) -> None:
    """The server spreads its clients itself; only an absurd wait is cut."""
    after_ms = min(after_ms, 999_999_999)  # more digits than that are no time at all
    reason = closing.reason_text(closing.DRAINING, retry_after_ms=after_ms)
    assert backoff().ended(now_s, 4012, reason) == min(after_ms / 1000, 600.0)


def test_a_notice_counts_from_when_it_was_said_and_only_once() -> None:
    """Time that passes until the close is part of the wait; the next wait is our own again."""
    subject = backoff()
    subject.connected(0.0)
    subject.told(20.0, 5_000)
    assert subject.ended(22.0, 4012, "draining") == pytest.approx(3.0)
    assert subject.failed(25.0) <= 1.0


def test_a_notice_whose_time_has_passed_means_at_once() -> None:
    """A drain may take longer than the wait it asked for."""
    subject = backoff()
    subject.told(0.0, 1_000)
    assert subject.ended(60.0, 1001, None) == 0.0


def test_the_close_reason_wins_over_the_notice() -> None:
    """It was said later."""
    subject = backoff()
    subject.told(0.0, 1_000)
    assert subject.ended(0.5, 4012, "draining; retry after 9000 ms") == 9.0


@pytest.mark.parametrize("row", closing.CLOSINGS.values(), ids=lambda row: row.label)
def test_the_table_decides_whether_to_come_back_at_all(row: closing.Closing) -> None:
    """Codes whose entry says not are never tried again, whatever the reason text says."""
    wait_s = backoff().ended(0.0, row.code, "; retry after 1 ms")
    assert (wait_s is not None) == row.reconnect


def test_a_connection_that_lasted_starts_the_doubling_anew() -> None:
    """Ten failures, then an hour of chat: the next loss is a first loss."""
    subject = backoff()
    for _ in range(10):
        subject.failed(0.0)
    subject.connected(100.0)
    wait_s = subject.ended(3_700.0, 1006, None)
    assert wait_s is not None
    assert wait_s <= 0.5


def test_a_connection_dropped_at_once_does_not() -> None:
    """A server that lets everybody in and falls over is not hammered."""
    last_waits_s: list[float] = []
    for seed in range(200):
        subject = backoff(seed)
        waits_s: list[float | None] = []
        for loss in range(8):
            subject.connected(float(loss))
            waits_s.append(subject.ended(loss + 0.1, 1011, None))
        last_waits_s.append(waits_s[-1] or 0.0)
    assert max(last_waits_s) > 20.0


def test_says_what_it_is() -> None:
    """The repr is short and honest."""
    subject = backoff()
    subject.failed(0.0)
    assert repr(subject) == "<Backoff after 1 failures>"
