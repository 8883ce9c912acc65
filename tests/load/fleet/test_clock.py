"""The offset between two machines' clocks is never farther off than its error bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.fleet.clock import DRIFT_PPM, ENOUGH, ClockOffset
from scalechat.load.fleet.messages import Pong

WAYS = st.integers(0, 50_000_000)


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(WAYS, WAYS, WAYS), min_size=ENOUGH, max_size=60),
    st.integers(-2 * DRIFT_PPM, 2 * DRIFT_PPM),
)
def test_the_true_offset_is_within_the_bound(
    apart_ns: int, exchanges: list[tuple[int, int, int]], drift_ppm: int
) -> None:
    """However unlike the ways there and back are, and while the clocks drift apart."""
    now_ns = 10**18  # true time; the worker's clock is apart from it and drifts, the coordinator's is true

    def ours() -> int:
        return now_ns + apart_ns + (now_ns - 10**18) * drift_ppm // 1_000_000

    offset = ClockOffset(ours, shared=False)
    for there_ns, there_after_ns, back_ns in exchanges:
        asked_ns = offset.ask().asked_ns
        now_ns += there_ns
        heard_ns = now_ns
        now_ns += there_after_ns
        answered_ns = now_ns
        now_ns += back_ns
        offset.take(Pong(asked_ns, heard_ns, answered_ns))
        now_ns += 1_000_000_000
    assert offset.is_known
    # While an exchange is under way the clocks drift as well: 100 ms of it at 30 ppm are 3 µs.
    assert abs((ours() - now_ns) - offset.offset_ns) <= offset.error_ns + 5_000


def test_the_shortest_round_trip_counts() -> None:
    """One answer that came at once says more than many late ones."""
    now_ns = 0
    offset = ClockOffset(lambda: now_ns, shared=False)
    for round_trip_ns in (8_000_000, 9_000_000, 200_000, 9_000_000, 8_000_000):
        asked_ns = now_ns
        now_ns += round_trip_ns
        offset.take(Pong(asked_ns, asked_ns - 500, asked_ns - 500))
    assert 100_000 <= offset.error_ns < 110_000


def test_a_common_clock_has_no_error() -> None:
    """Processes of one machine have nothing to measure."""
    offset = ClockOffset(lambda: 123, shared=True)
    assert (offset.is_known, offset.offset_ns, offset.error_ns) == (True, 0, 0)
