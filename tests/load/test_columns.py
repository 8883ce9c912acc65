"""The columns of messages under way: what is appended comes out as one message, whatever left before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.arrivals import Arrivals
from scalechat.load.columns import Columns, view

NAMES = (
    *("publisher", "number", "room", "phase", "size", "expected", "delivered", "duplicated", "intended", "sent"),
    *("room_seq", "acked", "expected_apart", "delivered_apart"),
)


def columns_of(rows: list[list[int]]) -> Columns:
    columns = Columns()
    for row in rows:
        for name, value in zip(NAMES, row, strict=True):
            getattr(columns, name).append(value)
    return columns


ROWS = st.lists(st.lists(st.integers(1, 2**40), min_size=len(NAMES), max_size=len(NAMES)), min_size=1, max_size=8)


@given(ROWS, st.integers(0, 8))
def test_a_message_is_the_same_wherever_it_stands(rows: list[list[int]], gone: int) -> None:
    """Those that left took all of their cells with them, and none of anybody else's."""
    columns = columns_of(rows)
    columns.drop(min(gone, len(rows)))
    assert len(columns) == len(rows[gone:])
    for at, row in enumerate(rows[gone:]):
        cells = dict(zip(NAMES, row, strict=True))
        message = columns.take(at, (), acknowledged=True)
        for name in ("publisher", "number", "room", "phase", "expected", "delivered", "duplicated", "room_seq"):
            assert getattr(message, name) == cells[name]
        assert (message.size_bytes, message.intended_ns) == (cells["size"], cells["intended"])
        assert (message.sent_ns, message.acked_ns) == (cells["sent"], cells["acked"])
        assert (message.expected_apart, message.delivered_apart) == (cells["expected_apart"], cells["delivered_apart"])


def test_latencies_count_from_the_intended_time() -> None:
    """First, last, sum and median are those of the arrivals."""
    row = dict.fromkeys(NAMES, 1) | {"intended": 1_000, "sent": 1_500}
    arrived = Arrivals.of(np.array([2_000, 3_000, 9_000], dtype=np.int64))
    message = columns_of([list(row.values())]).take(0, [arrived], acknowledged=False)
    assert (message.first_ns, message.last_ns, message.sum_ns, message.p50_ns) == (1_000, 8_000, 11_000, 2_000)


@pytest.mark.parametrize(
    "acked, acknowledged, acked_ns, unacked",
    [(0, True, None, True), (0, False, None, False), (7, True, 7, False), (-1, True, None, False)],
)
def test_an_acknowledgement_is_there_awaited_or_will_never_come(
    acked: int, acknowledged: bool, acked_ns: int | None, unacked: bool
) -> None:
    """A refused message, and one of another process, waits for none."""
    row = dict.fromkeys(NAMES, 1) | {"acked": acked, "room_seq": 0}
    message = columns_of([list(row.values())]).take(0, (), acknowledged=acknowledged)
    assert (message.acked_ns, message.unacked, message.room_seq) == (acked_ns, unacked, None)


def test_a_view_is_the_column_itself() -> None:
    """What numpy adds there is counted."""
    columns = columns_of([[1] * len(NAMES)])
    view(columns.delivered)[0] += 41
    assert columns.delivered[0] == 42
