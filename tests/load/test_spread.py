"""Latencies that are counted by the edges of buckets are counted as they are one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.client_latencies import ClientLatencies
from scalechat.load.histogram import MAX_NS, Histogram
from scalechat.load.spread import spread


@given(
    st.lists(st.integers(0, 10**7), min_size=8, max_size=40),
    st.lists(st.integers(0, 10**6), min_size=80, max_size=300),
    st.integers(0, 10**6),
)
def test_counted_together_is_counted_one_by_one(starts: list[int], offsets: list[int], wait_ns: int) -> None:
    """Every bucket of the histogram and of each client, sum and extremes."""
    sent = np.array(starts, dtype=np.int64)
    arrived = np.sort(np.array(offsets, dtype=np.int64)) + int(sent.max()) + wait_ns
    clients = np.random.default_rng(len(offsets)).permutation(len(arrived))
    found = spread(sent, arrived)
    if found is None:
        return
    together, apart = Histogram(), Histogram()
    by_client, one_by_one = ClientLatencies(len(arrived)), ClientLatencies(len(arrived))
    together.add_spread(found)
    by_client.add_spread(clients, found)
    for start in sent:
        one_by_one.add_buckets(clients, apart.add(arrived - start))
    assert together.dump() == apart.dump()
    assert (by_client.counts == one_by_one.counts).all()


def test_a_busy_room_is_counted_together() -> None:
    """A thousand members within a millisecond: there are far fewer edges than latencies."""
    found = spread(np.arange(16) * 1000, np.arange(1000) * 1000 + 5_000_000)
    assert found is not None
    assert int(found.counts.sum()) == 16_000


@pytest.mark.parametrize("latency_ns", [-1, MAX_NS + 1])
def test_what_has_no_ordinary_bucket_is_left_to_be_counted_one_by_one(latency_ns: int) -> None:
    """Clock errors, and what takes hours."""
    assert spread(np.zeros(16, dtype=np.int64), np.full(1000, latency_ns)) is None
