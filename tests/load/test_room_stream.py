"""What a room receives, kept once: only what is next in sequence, and only so much of it."""

from __future__ import annotations

from array import array

from scalechat.load.room_stream import RoomStream


def test_what_is_not_next_in_sequence_is_not_appended() -> None:
    """Not even what came before it in the same chunk."""
    room = RoomStream(rooms=1)
    stretch = room.begin([0, 5])
    assert room.extend([(0, 1), (1, 6)], _rows(2), [b"a", b"b"], _rows(2))
    assert not room.extend([(0, 2), (0, 4)], _rows(2), [b"c", b"d"], _rows(2))
    assert (stretch.messages, stretch.highest) == ([(0, 1), (1, 6)], [1, 6])
    assert [stretch.highest_at(place) for place in range(3)] == [[0, 5], [1, 5], [1, 6]]


def test_a_member_far_behind_does_not_keep_what_all_others_have() -> None:
    """The stretches it has not received are bounded; then it is accounted for message by message."""
    room = RoomStream(rooms=100_000)
    first = room.begin([0])
    for number in range(1, 400):
        frame = b"x" * 1000
        assert room.extend([(0, number)], _rows(), [frame], _rows())
    length = 0
    stretch = first
    while stretch.next is not None:
        stretch, length = stretch.next, length + 1
    assert length < 10
    assert room.newest is not None
    assert room.newest.highest == [399]


def _rows(count: int = 1) -> array[int]:
    return array("q", [0] * count)
