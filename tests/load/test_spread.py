"""Latencies that are counted by the edges of buckets are counted as they are one by one."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from scalechat.load.client_latencies import ClientLatencies
from scalechat.load.histogram import MAX_NS, Histogram
from scalechat.load.spread import Members, spread


def members_of(*receptions: tuple[list[int], list[int]]) -> Members:
    """Each: (times, who)."""
    return Members.of([Party(array("q", times), array("q", clients)) for times, clients in receptions])


@dataclass
class Party:
    """A reception."""

    times: array[int]
    clients: array[int]


PARTIES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 10**7), min_size=1, max_size=12),  # when messages were sent
        st.integers(1, 300),  # and how many members received them
        st.integers(0, 10**8),  # so long after the last one,
        st.integers(0, 10**6),  # within so many ns
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300)
@given(PARTIES, st.integers(0, 1 << 60))
def test_counted_together_is_counted_one_by_one(parties: list[tuple[list[int], int, int, int]], epoch: int) -> None:
    """Every bucket of the histogram and of each client, sum and extremes; a client may be in several receptions."""
    random = np.random.default_rng(1)
    sent = [[epoch + start for start in starts] for starts, *_ in parties]
    receptions = [
        (
            sorted((max(starts) + wait_ns + random.integers(0, within_ns + 1, size=count)).tolist()),
            random.permutation(count).tolist(),
        )
        for starts, (_, count, wait_ns, within_ns) in zip(sent, parties, strict=True)
    ]
    of = np.repeat(np.arange(len(sent)), [len(starts) for starts in sent])
    members = members_of(*receptions)
    found = spread(np.concatenate(sent), of, members)
    if found is None:
        event("one by one")
        return
    event("together")
    together, apart = Histogram(), Histogram()
    by_client, one_by_one = ClientLatencies(300), ClientLatencies(300)
    together.add_spread(found)
    by_client.add_spread(members, found)
    for starts, (times, clients) in zip(sent, receptions, strict=True):
        for start in starts:
            one_by_one.add_buckets(np.array(clients), apart.add(np.array(times) - start))
    assert together.dump() == apart.dump()
    assert (by_client.counts == one_by_one.counts).all()


@pytest.mark.parametrize("messages", [1, 16])
def test_a_busy_room_is_counted_together(messages: int) -> None:
    """A thousand members within a millisecond: there are far fewer edges than latencies."""
    members = members_of(([5_000_000 + 1000 * place for place in range(1000)], [*range(1000)]))
    found = spread(np.arange(messages) * 1000, np.zeros(messages, dtype=np.int64), members)
    assert found is not None
    assert int(found.counts.sum()) == messages * 1000


@pytest.mark.parametrize("latency_ns", [-1, MAX_NS + 1])
def test_what_has_no_ordinary_bucket_is_left_to_be_counted_one_by_one(latency_ns: int) -> None:
    """Clock errors, and what takes hours."""
    members = members_of(([latency_ns] * 1000, [*range(1000)]))
    assert spread(np.zeros(16, dtype=np.int64), np.zeros(16, dtype=np.int64), members) is None


def test_receptions_hours_apart_are_counted_one_by_one() -> None:
    """Looked up in one array, their times could meet."""
    members = members_of(([1] * 500, [*range(500)]), ([1 << 46] * 500, [*range(500)]))
    assert spread(np.array([0, (1 << 46) - 1]), np.array([0, 1]), members) is None
