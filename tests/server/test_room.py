import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.server.room import Room, newest_within
from scalechat.wire.messages import Position
from tests.server.seats import prepared, seats

PLENTY = 10**9


def _room(said: int = 0, *, history: int = 100, history_bytes: int = PLENTY, texts: list[str] | None = None) -> Room:
    room = Room("tea", "e1", 0, history, history_bytes)
    for seq, text in enumerate(texts if texts is not None else ["hi"] * said, 1):
        room.append(prepared(seq, text))
    return room


def _seqs(payloads: list[bytes]) -> list[int]:
    return [json.loads(payload)["seq"] for payload in payloads]


# --- members --------------------------------------------------------------------------------------------------------


async def test_a_member_begins_after_the_newest_message() -> None:
    """Its position is the room's at that moment: what came before is in its replay."""
    async with seats() as made:
        room, seat = _room(3), made.take()
        room.add(seat.member, watch=False)
        assert (room.members, room.watchers) == ({seat.member: 3}, set())


async def test_messages_wait_for_members_only() -> None:
    """In a room without members nothing is pending; everything is remembered."""
    async with seats() as made:
        room = _room(2)
        assert (room.pending, room.seq, len(room.recent)) == ([], 2, 2)
        room.add(made.take().member, watch=False)
        room.append(prepared(3))
        assert [waiting.seq for waiting in room.pending] == [3]


async def test_watching_ends_with_membership() -> None:
    """Whoever left is told of nobody's coming and going."""
    async with seats() as made:
        room, seat = _room(), made.take()
        room.add(seat.member, watch=True)
        assert room.watchers == {seat.member}
        room.remove(seat.member)
        room.remove(seat.member)
        assert (room.members, room.watchers) == ({}, set())


async def test_joining_again_moves_the_beginning_of_live_messages() -> None:
    """A client resynchronises without leaving."""
    async with seats() as made:
        room, seat = _room(), made.take()
        room.add(seat.member, watch=True)
        room.append(prepared(1))
        room.add(seat.member, watch=False)
        assert room.members == {seat.member: 1}


# --- replay ---------------------------------------------------------------------------------------------------------


@given(
    said=st.integers(0, 30),
    kept=st.integers(0, 12),
    since=st.integers(-2, 35),
    epoch=st.sampled_from(("e1", "e2")),
    history=st.integers(0, 40),
)
def test_a_resume_is_everything_that_followed_or_admits_that_it_is_not(
    said: int, kept: int, since: int, epoch: str, history: int
) -> None:
    """`recovered` is true exactly when the log of that epoch still reaches back, and then nothing is missing."""
    room = _room(said, history=kept)
    replay = room.replay(Position(epoch, since), history, PLENTY)
    in_reach = epoch == "e1" and max(0, said - kept) <= since <= said
    assert replay.recovered == in_reach
    expected = range(since + 1, said + 1) if in_reach else range(max(1, said + 1 - min(kept, history)), said + 1)
    assert _seqs(replay.payloads) == list(expected)


@pytest.mark.parametrize("history, expected", [(0, []), (2, [4, 5]), (100, [1, 2, 3, 4, 5])])
def test_a_first_visit_shows_as_much_history_as_was_asked_for(history: int, expected: list[int]) -> None:
    """And is no recovery."""
    replay = _room(5).replay(None, history, PLENTY)
    assert (_seqs(replay.payloads), replay.recovered) == (expected, False)


def test_a_resume_that_does_not_fit_is_no_resume() -> None:
    """Half of what was missed would be a silent hole: the client is told, and gets the newest that fits."""
    room = _room(texts=["x" * 100] * 5)
    size = len(room.recent[0].payload)
    whole = room.replay(Position("e1", 2), 0, 3 * size)
    partly = room.replay(Position("e1", 1), 9, 3 * size)
    assert (_seqs(whole.payloads), whole.recovered) == ([3, 4, 5], True)
    assert (_seqs(partly.payloads), partly.recovered) == ([3, 4, 5], False)


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(0, 14), st.integers(0, 900))
def test_history_is_the_longest_end_of_the_log_within_both_bounds(
    lengths: list[int], count: int, budget_bytes: int
) -> None:
    """The newest messages without a hole: as many as were asked for and as fit, and not one fewer."""
    room = _room(texts=["x" * length for length in lengths])
    chosen = list(newest_within(reversed(room.recent), count, budget_bytes))
    payloads = [message.payload for message in room.recent]
    assert chosen == payloads[len(payloads) - len(chosen) :]
    assert len(chosen) <= count
    assert sum(map(len, chosen)) <= budget_bytes
    if len(chosen) < min(count, len(payloads)):
        assert sum(map(len, payloads[-len(chosen) - 1 :])) > budget_bytes


@given(st.lists(st.integers(0, 60), max_size=20), st.integers(0, 8), st.integers(0, 900))
def test_what_is_remembered_is_bounded_in_messages_and_bytes(
    lengths: list[int], history: int, history_bytes: int
) -> None:
    """The newest that fit into both bounds: a room full of the largest messages costs no more than others."""
    everything = _room(texts=["x" * length for length in lengths]).recent
    room = _room(history=history, history_bytes=history_bytes, texts=["x" * length for length in lengths])
    sizes = [len(message.payload) for message in everything]
    kept = max(n for n in range(min(history, len(sizes)) + 1) if sum(sizes[len(sizes) - n :]) <= history_bytes)
    assert list(room.recent) == list(everything)[len(sizes) - kept :]
    assert room.recent_bytes == sum(sizes[len(sizes) - kept :])


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(-1, 13), st.integers(0, 14), st.integers(0, 900))
def test_forgetting_what_no_replay_could_hold_changes_no_replay(
    lengths: list[int], since: int, history: int, budget_bytes: int
) -> None:
    """A bound as large as the budget of a replay is as good as none."""
    texts = ["x" * length for length in lengths]
    answers = [
        _room(history_bytes=history_bytes, texts=texts).replay(Position("e1", since), history, budget_bytes)
        for history_bytes in (PLENTY, budget_bytes)
    ]
    assert answers[0] == answers[1]
