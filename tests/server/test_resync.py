import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from scalechat.server.outbox import QueueLimits
from scalechat.server.resync import PIECE_BYTES, PIECE_FRAMES
from scalechat.server.slow_consumer import POLICIES
from scalechat.server.strategies import STRATEGIES
from tests.server.swept import Swept, swept

PAUSE = POLICIES["pause"]
FEW = QueueLimits(frames=4, bytes=100_000)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


async def _publish_singly(node: Swept, *rooms: tuple[str, int]) -> None:
    """So many messages in each of these rooms of the node, a sweep each."""
    for name, count in rooms:
        for _ in range(count):
            node.publish(node.rooms[name], 1)
            await node.sweeper.wait_idle()
    await wait_all_tasks_blocked()


@each_strategy
async def test_a_paused_member_receives_everything_once_it_reads(strategy: str) -> None:
    """In order, once, with a bounded queue meanwhile; others are not affected, and it is an ordinary member again."""
    async with swept(strategy) as node:
        room = node.room(policy=PAUSE)
        (before,), (slow,), (after,) = node.join(room), node.join(room, room_bytes=10, limits=FEW), node.join(room)
        node.start()
        await _publish_singly(node, ("tea", 500))
        assert [seat.seqs for seat in (before, after)] == [list(range(1, 501))] * 2
        assert slow.member.outbox.frames <= FEW.frames
        assert room.paused.keys() == {slow.member}
        slow.socket.read()
        await wait_all_tasks_blocked()
        assert slow.seqs == list(range(1, 501))
        assert (room.paused, slow.member.outbox.queued, node.evicted) == ({}, False, [])
        node.publish(room, 3)
        await node.settle()
        assert slow.seqs == list(range(1, 504))
        assert node.deliveries == 3 * 503


async def test_a_pause_longer_than_the_log_ends_the_member() -> None:
    """When it has read what waited: it must learn of the hole. One message earlier it would have stayed."""
    for missed, ended in ((20, False), (21, True)):
        async with swept("coalesced") as node:
            room = node.room(policy=PAUSE, history=20)
            (slow,) = node.join(room, room_bytes=0, limits=FEW)
            node.start()
            await _publish_singly(node, ("tea", 4 + missed))
            assert node.evicted == []
            slow.socket.read()
            await wait_all_tasks_blocked()
            assert (node.left_behind == [slow.member]) == ended
            assert slow.seqs == list(range(1, 5 if ended else 25))


@settings(max_examples=150)
@given(
    st.lists(st.integers(1, 12) | st.tuples(st.integers(1, 900)) | st.none(), max_size=20),
    st.sampled_from(sorted(STRATEGIES)),
    st.sampled_from((0, 3, 1000)),
    st.integers(0, 200),
)
def test_any_interleaving_gives_everything_or_an_end_without_a_hole(
    steps: list[int | tuple[int] | None], strategy: str, history: int, room_bytes: int
) -> None:
    """Numbers are messages, a number alone is what the peer reads, None lets everything run.

    What it hears is always the beginning of the log, and all of it unless the log was too short.
    """

    async def scenario() -> None:
        async with swept(strategy) as node:
            room = node.room(policy=PAUSE, history=history)
            (slow,) = node.join(room, room_bytes=room_bytes, limits=QueueLimits(frames=5, bytes=600))
            node.start()
            for step in steps:
                if isinstance(step, int):
                    node.publish(room, step)
                elif step is None:
                    await node.settle()
                else:
                    slow.socket.read(*step)
                assert slow.member.outbox.frames <= 5 + 128  # The rest of one batch may have to follow.
            await node.sweeper.wait_idle()
            slow.socket.read()
            await wait_all_tasks_blocked()
            assert slow.seqs == list(range(1, len(slow.seqs) + 1))
            if not node.left_behind:
                assert (len(slow.seqs), node.evicted, room.paused) == (room.seq, [], {})
            else:
                assert history < 1000
            backlog = node.seats.backlog
            assert (backlog.frames, backlog.bytes, backlog.outboxes) == (0, 0, set())

    trio.run(scenario)


async def test_the_log_comes_in_pieces_that_fit_the_queue() -> None:
    """Bounded in messages and in bytes, whatever was missed."""
    async with swept("coalesced") as node:
        room = node.room(policy=PAUSE)
        (slow,) = node.join(room, room_bytes=0, limits=QueueLimits(frames=300, bytes=10**6))
        node.start()
        node.publish(room, 301)
        node.publish(room, 1000 - 301)
        await node.settle()
        most_frames = most_bytes = 0
        while slow.member.outbox.queued:
            slow.socket.read(10_000)
            await wait_all_tasks_blocked()
            if room.paused and slow.seqs[-1:] > [300]:
                most_frames = max(most_frames, slow.member.outbox.frames)
                most_bytes = max(most_bytes, slow.member.outbox.bytes)
        assert slow.seqs == list(range(1, 1001))
        assert 0 < most_frames <= PIECE_FRAMES
        assert most_bytes <= PIECE_BYTES


async def test_rooms_catch_up_in_turn() -> None:
    """A member may be paused in several rooms; none waits for another's whole log."""
    async with swept("coalesced") as node:
        tea, bar = node.room("tea", PAUSE), node.room("bar", PAUSE)
        (slow,) = node.join(tea, room_bytes=0, limits=FEW)
        bar.add(slow.member, watch=False)
        node.start()
        await _publish_singly(node, ("tea", 50), ("bar", 50))
        slow.socket.read()
        await wait_all_tasks_blocked()
        heard = [(said["room"], said["seq"]) for said in slow.heard]
        for name in ("tea", "bar"):
            assert [seq for room, seq in heard if room == name] == list(range(1, 51))
        assert heard.index(("bar", 5)) < heard.index(("tea", 50))


async def test_whoever_joins_again_is_not_paused_any_more() -> None:
    """Its replay is the past, and nothing of it comes a second time from the log."""
    async with swept("coalesced") as node:
        room = node.room(policy=PAUSE)
        (slow,) = node.join(room, room_bytes=0, limits=FEW)
        node.start()
        await _publish_singly(node, ("tea", 10))
        room.add(slow.member, watch=False)
        node.publish(room, 1)
        slow.socket.read()
        await node.settle()
        assert slow.seqs == [1, 2, 3, 4, 11]


async def test_whoever_leaves_while_paused_hears_nothing_more() -> None:
    """What waited already still comes."""
    async with swept("coalesced") as node:
        room = node.room(policy=PAUSE)
        (slow,) = node.join(room, room_bytes=0, limits=FEW)
        node.start()
        await _publish_singly(node, ("tea", 10))
        room.remove(slow.member)
        slow.socket.read()
        await node.settle()
        assert (slow.seqs, room.paused, node.evicted) == ([1, 2, 3, 4], {}, [])


async def test_a_message_that_no_queue_can_hold_ends_a_paused_member() -> None:
    """Also when nothing waits: it must not wait for ever for something that cannot happen."""
    async with swept("coalesced") as node:
        room = node.room(policy=PAUSE)
        (slow,) = node.join(room, room_bytes=0, limits=QueueLimits(frames=4, bytes=50))
        node.publish(room, 1, "x" * 100)
        await node.sweep()
        assert node.evicted == [slow.member]


async def test_a_batch_that_no_queue_can_hold_comes_in_pieces() -> None:
    """Nothing waits, the socket takes nothing, and the batch alone is over the limits."""
    async with swept("coalesced") as node:
        room = node.room(policy=PAUSE)
        (slow,) = node.join(room, room_bytes=0, limits=FEW)
        node.publish(room, 50)
        await node.sweep()
        assert slow.member.outbox.frames <= FEW.frames
        slow.socket.read()
        await wait_all_tasks_blocked()
        assert (slow.seqs, node.evicted) == (list(range(1, 51)), [])


async def test_a_paused_member_that_ends_is_given_nothing_more() -> None:
    """Its Close frame is the last that it gets."""
    async with swept("coalesced") as node:
        room = node.room(policy=PAUSE)
        (slow,) = node.join(room, room_bytes=0, limits=FEW)
        node.start()
        await _publish_singly(node, ("tea", 10))
        slow.member.outbox.finish(b"")
        slow.socket.read()
        await wait_all_tasks_blocked()
        assert slow.seqs == [1, 2, 3, 4]
