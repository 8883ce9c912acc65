import gc
import resource
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from scalechat.server.vitals import LAG_PROBE_S, LoopLag, observed_collections, raise_file_limit


async def test_a_loop_that_is_free_has_no_lag(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Ten looks a second."""
    observed: list[float] = []
    lag = LoopLag(observed.append)
    assert lag.recent_p99_s == 0
    nursery.start_soon(lag.run)
    await trio.sleep(2 + LAG_PROBE_S / 2)
    assert observed == pytest.approx([0.0] * 20, abs=1e-9)


async def test_a_stall_is_seen_and_after_ten_seconds_forgotten(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """As long as it was, but for what had passed of the probe's own wait."""
    observed: list[float] = []
    lag = LoopLag(observed.append)
    nursery.start_soon(lag.run)
    await trio.sleep(20 + LAG_PROBE_S / 2)
    autojump_clock.jump(3)  # As a task does that computes for three seconds.
    await trio.sleep(1)
    assert max(observed) == pytest.approx(3 - LAG_PROBE_S / 2)
    assert lag.recent_p99_s == max(observed)
    await trio.sleep(10)
    assert lag.recent_p99_s == pytest.approx(0, abs=1e-9)


def test_garbage_collections_are_observed_while_asked_for() -> None:
    """By generation, with their length; not before and not after."""
    seen: list[tuple[int, float]] = []
    gc.collect()
    with observed_collections(lambda generation, seconds: seen.append((generation, seconds))):
        gc.collect()
    count = len(seen)
    gc.collect()
    assert (2, True) in {(generation, seconds >= 0) for generation, seconds in seen}
    assert len(seen) == count


@pytest.fixture
def low_file_limit() -> Iterator[tuple[int, int]]:
    """(soft, hard) with the soft limit below the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("the hard limit is infinite here, which no soft limit may be")
    lower = min(1000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    yield lower, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_file_limit_is_raised_as_far_as_it_goes(low_file_limit: tuple[int, int]) -> None:
    """And told before and after; doing it again changes nothing."""
    lower, hard = low_file_limit
    assert raise_file_limit() == (lower, hard)
    assert raise_file_limit() == (hard, hard)
