"""The client never sends faster than the server announced."""

from hypothesis import given
from hypothesis import strategies as st

from scalechat.client.pace import Pace


@given(st.floats(0.1, 1_000), st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_no_window_holds_more_than_a_burst_and_the_rate(rate_per_s: float, pauses_s: list[float]) -> None:
    """Whenever frames are asked for, those sent in any t seconds are at most a second's worth plus rate · t."""
    now_s = 0.0
    pace = Pace(rate_per_s, now_s)
    sent_s: list[float] = []
    for pause_s in pauses_s:
        now_s += pause_s
        now_s += pace.next_in_s(now_s)
        sent_s.append(now_s)
    burst = max(1.0, rate_per_s)
    for first in range(0, len(sent_s), 7):
        for last in range(first, len(sent_s), 5):
            assert last - first + 1 <= burst + (sent_s[last] - sent_s[first]) * rate_per_s + 1e-6


def test_no_announced_rate_means_no_wait() -> None:
    """0 is how a server says that it does not care."""
    pace = Pace(0.0, 0.0)
    assert [pace.next_in_s(0.0) for _ in range(1_000)] == [0.0] * 1_000


def test_the_first_second_s_worth_goes_at_once() -> None:
    """A person never notices; the hundred-and-first message waits for its turn."""
    pace = Pace(100.0, 0.0)
    assert [pace.next_in_s(0.0) for _ in range(100)] == [0.0] * 100
    assert pace.next_in_s(0.0) == 0.01
