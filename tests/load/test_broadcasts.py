"""Messages under way: their sums are what was delivered, in whatever portions and however late it came."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.broadcast import Broadcast
from scalechat.load.broadcasts import GRACE_NS, WINDOW_NS, Broadcasts

SECOND = 1_000_000_000


def publish(table: Broadcasts, publisher: int, number: int, expected: int, intended_ns: int = 0) -> int:
    table.publish(
        publisher,
        number,
        room=0,
        phase=2,
        size_bytes=100,
        expected=expected,
        intended_ns=intended_ns,
        sent_ns=intended_ns + 7,
    )
    row = table.row_of(publisher, number)
    assert row is not None
    return row


def settle(table: Broadcasts, *deliveries: tuple[int, int]) -> None:
    rows, arrived = (np.array(column, dtype=np.int64) for column in zip(*deliveries, strict=True))
    table.settle(rows, arrived)


@given(
    st.lists(st.lists(st.integers(0, 10**9), max_size=6), min_size=1, max_size=8),
    st.lists(st.integers(0, 50), max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_sums_of_each_message_are_those_of_its_deliveries(
    latencies: list[list[int]], cuts: list[int], shuffler: st.DataObject
) -> None:
    """First, last, sum and median are exact, in whatever portions the deliveries are settled."""
    table = Broadcasts(acknowledged=False)
    rows = [publish(table, 0, n, expected=6) for n in range(1, len(latencies) + 1)]
    deliveries = [(row, latency) for row, values in zip(rows, latencies, strict=True) for latency in values]
    shuffler.shuffle(deliveries)  # type: ignore[attr-defined]
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), len(deliveries)], strict=True):
        if deliveries[low:high]:
            settle(table, *deliveries[low:high])
    for message, values in zip(table.finish(), latencies, strict=True):
        assert message.delivered == len(values)
        assert message.missing == 6 - len(values)
        if values:
            ordered = sorted(values)
            assert (message.first_ns, message.last_ns, message.sum_ns) == (ordered[0], ordered[-1], sum(ordered))
            assert message.p50_ns == ordered[(len(ordered) - 1) // 2]


def test_a_complete_message_leaves_after_its_grace() -> None:
    """Its duplicates still find it for a second."""
    table = Broadcasts(acknowledged=False)
    row = publish(table, 3, 1, expected=2)
    settle(table, (row, 5), (row, 6))
    assert table.retire(GRACE_NS - 1, 10) == []
    table.duplicate(3, 1)
    (message,) = table.retire(GRACE_NS, 10)
    assert (message.publisher, message.delivered, message.duplicated) == (3, 2, 1)
    assert table.row_of(3, 1) is None
    assert len(table) == 0


def test_an_unacknowledged_message_waits_for_its_ack() -> None:
    """With a server that acknowledges, everybody having it is not the end of it."""
    table = Broadcasts(acknowledged=True)
    settle(table, (publish(table, 0, 1, expected=1), 5))
    assert table.retire(GRACE_NS, 10) == []
    assert table.acknowledge(0, 1, at_ns=99, room_seq=41) == (7, 2)
    assert table.acknowledge(0, 1, at_ns=99, room_seq=41) is None
    (message,) = table.retire(GRACE_NS, 10)
    assert (message.acked_ns, message.room_seq) == (99, 41)


def test_a_message_that_is_never_complete_does_not_hold_up_those_behind_it() -> None:
    """After the window it waits apart, and a delivery that comes at last finds it there."""
    table = Broadcasts(acknowledged=False)
    lost = publish(table, 0, 1, expected=2)
    settle(table, (lost, 4))
    later = [publish(table, 0, n, expected=1) for n in range(2, 5)]
    settle(table, *((row, 9) for row in later))
    assert [m.number for m in table.retire(WINDOW_NS, 10)] == [2, 3, 4]
    assert len(table) == 1
    assert table.knows(np.array([lost, later[0]])).tolist() == [True, False]
    assert [column.tolist() for column in table.times_of(np.array([lost]))] == [[0], [7], [2]]
    settle(table, (lost, WINDOW_NS + 50))
    (message,) = table.retire(WINDOW_NS + 60, 10)
    assert (message.number, message.delivered, message.last_ns) == (1, 2, WINDOW_NS + 50)
    assert table.finish() == []


def test_a_refused_message_is_expected_by_those_who_get_it_all_the_same() -> None:
    """Whether it is refused at once or after the window, and whether they get it before or afterwards."""
    table = Broadcasts(acknowledged=True)
    publish(table, 0, 1, expected=5)
    publish(table, 0, 2, expected=5)
    first, second = table.row_of(0, 1), table.row_of(0, 2)
    assert first is not None
    assert second is not None
    settle(table, (first, 10))
    assert table.reject(0, 1) == 4
    settle(table, (first, 20), (first, 21))
    assert table.newly_owed() == 2
    assert table.retire(WINDOW_NS, 10) == []
    assert table.reject(0, 2) == 5
    assert table.reject(0, 2) is None
    settle(table, (first, 30), (second, 31))
    table.count_apart(np.array([second]))
    assert (table.newly_owed(), table.newly_owed()) == (3, 0)
    assert table.refused_delivered == 6
    left = table.finish()
    assert [(m.number, m.expected, m.delivered, m.expected_apart) for m in left] == [(1, 4, 4, 0), (2, 2, 2, 1)]


@given(st.integers(1, 7))
def test_messages_may_be_taken_in_portions(limit: int) -> None:
    """A portion that is not full says that nothing is left for now."""
    table = Broadcasts(acknowledged=False)
    for number in range(1, 21):
        publish(table, 0, number, expected=0)
    taken: list[Broadcast] = []
    while len(portion := table.retire(GRACE_NS, limit)) == limit:
        taken += portion
    assert [m.number for m in taken + portion] == list(range(1, 21))
