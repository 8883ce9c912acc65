"""Messages that were late: they leave once, when everybody has them."""

from __future__ import annotations

import numpy as np

from scalechat.load.broadcast import Broadcast
from scalechat.load.stragglers import Stragglers


def straggler(number: int, *, expected: int = 2, delivered: int = 0, unacked: bool = False) -> Broadcast:
    return Broadcast(
        publisher=0,
        number=number,
        room=0,
        phase=2,
        size_bytes=100,
        expected=expected,
        expected_apart=0,
        delivered_apart=0,
        intended_ns=1_000,
        sent_ns=1_000,
        acked_ns=None,
        room_seq=None,
        unacked=unacked,
        delivered=delivered,
    )


def test_one_that_becomes_complete_for_two_reasons_leaves_once() -> None:
    """The last member that it was owed to gets it, and another one leaves, before anybody looks."""
    stragglers = Stragglers()
    stragglers.add(7, straggler(1))
    assert stragglers.retire(10) == []
    stragglers.late(7, np.array([5_000, 6_000]))
    assert stragglers.excuse(0, [0], rooms=1, apart=False) == 1
    (message,) = stragglers.retire(10)
    assert (message.delivered, message.last_ns) == (2, 5_000)
    assert (stragglers.retire(10), len(stragglers)) == ([], 0)


def test_only_so_many_leave_at_a_time() -> None:
    """The rest is still there, and known."""
    stragglers = Stragglers()
    for row in range(5):
        stragglers.add(row, straggler(row + 1, expected=1, delivered=1))
    assert len(stragglers.retire(3)) == 3
    assert sum(row in stragglers for row in range(5)) == len(stragglers) == 2
    assert len(stragglers.finish()) == 2


def test_an_answer_counts_only_where_one_is_waited_for() -> None:
    """Nobody refuses what was taken, and nobody takes what was refused."""
    stragglers = Stragglers()
    stragglers.add(1, straggler(1, expected=3, unacked=True))
    stragglers.add(2, straggler(2, expected=3, unacked=True))
    assert [(publisher, number) for publisher, number, _sent in stragglers.unacknowledged()] == [(0, 1), (0, 2)]
    assert stragglers.acknowledge(1, at_ns=9_000, room_seq=4) == (1_000, 2)
    assert stragglers.reject(1) is None
    refused = stragglers.reject(2)
    assert refused is not None
    assert refused.refused
    assert stragglers.acknowledge(2, at_ns=9_000, room_seq=5) is None
    assert stragglers.retire(10) == [], "it may come all the same"
