from collections.abc import Callable
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from scalechat.server.fanout import BATCH_BYTES, MEMBERS_PER_SLICE, batches
from scalechat.server.outbox import QueueLimits
from scalechat.server.room import Room
from scalechat.server.strategies import BATCH_FRAMES, STRATEGIES
from tests.server.seats import Seat, prepared
from tests.server.swept import Swept, swept

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


# --- what arrives ---------------------------------------------------------------------------------------------------


@each_strategy
async def test_a_member_hears_exactly_what_was_said_after_it_joined(strategy: str) -> None:
    """In order, whether it joined before, within or after what one sweep takes up."""
    async with swept(strategy) as node:
        room = node.room()
        heard = []
        for _ in range(4):
            heard += node.join(room)
            node.publish(room, 3)
        heard += node.join(room)
        await node.sweep()
        assert [seat.seqs for seat in heard] == [list(range(first, 13)) for first in (1, 4, 7, 10, 13)]
        assert node.deliveries == 12 + 9 + 6 + 3


@given(st.lists(st.integers(-2, 4), max_size=12), st.sampled_from(sorted(STRATEGIES)))
def test_any_order_of_joining_leaving_and_speaking_is_heard_right(steps: list[int], strategy: str) -> None:
    """Positive steps are messages, 0 joins, negative ones let a sweep happen and the oldest member leave."""

    async def scenario() -> None:
        async with swept(strategy) as node:
            node.start()
            room = node.room()
            present: dict[Seat, int] = {}
            expected: list[tuple[Seat, list[int]]] = []
            for step in steps:
                if step > 0:
                    node.publish(room, step)
                elif step == 0:
                    (seat,) = node.join(room)
                    present[seat] = room.seq
                if step < 0:
                    await node.sweeper.wait_idle()
                if step < -1 and present:
                    seat = next(iter(present))
                    room.remove(seat.member)
                    expected.append((seat, list(range(present.pop(seat) + 1, room.seq + 1))))
            await node.sweeper.wait_idle()
            await wait_all_tasks_blocked()
            expected += [(seat, list(range(after + 1, room.seq + 1))) for seat, after in present.items()]
            assert [(seat, seat.seqs) for seat, _ in expected] == expected
            assert node.deliveries == sum(len(seqs) for _, seqs in expected)

    trio.run(scenario)


async def test_every_strategy_puts_the_same_bytes_on_the_wire() -> None:
    """They differ in what they cost, not in what they say."""
    wires = set()
    for strategy in STRATEGIES:
        async with swept(strategy) as node:
            room = node.room()
            (seat,) = node.join(room)
            node.publish(room, 5, 'any "text" 😀')
            await node.sweep()
            wires.add(seat.socket.on_wire)
    assert len(wires) == 1


@pytest.mark.parametrize("strategy, writes", [("coalesced", 1), ("encode-once", 5), ("per-client", 5)])
async def test_strategies_differ_in_writes_per_member(strategy: str, writes: int) -> None:
    """Coalesced: everything pending in one write."""
    async with swept(strategy) as node:
        room = node.room()
        (seat,) = node.join(room)
        node.publish(room, 5)
        await node.sweep()
        assert seat.socket.writes == writes


@each_strategy
async def test_rooms_do_not_hear_each_other(strategy: str) -> None:
    """Each has its own pending messages and its own members."""
    async with swept(strategy) as node:
        tea, bar = node.room("tea"), node.room("bar")
        (in_tea,), (in_bar,) = node.join(tea), node.join(bar)
        node.publish(tea, 2)
        node.publish(bar, 1)
        await node.sweep()
        assert [{said["room"] for said in seat.heard} for seat in (in_tea, in_bar)] == [{"tea"}, {"bar"}]
        assert (in_tea.seqs, in_bar.seqs) == ([1, 2], [1])


# --- meanwhile ------------------------------------------------------------------------------------------------------


async def _in_the_middle(node: Swept, room: Room, meddle: Callable[[], None]) -> None:
    """Run a sweep over more members than one slice holds, and `meddle` after its first slice or two."""
    node.start()
    everything = len(room.pending) * len(room.members)
    while not node.deliveries:
        await trio.lowlevel.checkpoint()
    assert node.deliveries < everything
    meddle()
    await node.sweeper.wait_idle()


class _Slices(trio.abc.Instrument):
    """Deliveries so far, each time that a task has given up control."""

    def __init__(self, node: Swept) -> None:
        self.served = [0]
        self._node = node

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.served.append(self._node.deliveries)


CROWD = 3 * MEMBERS_PER_SLICE


@each_strategy
async def test_a_message_published_during_a_sweep_is_neither_lost_nor_doubled(strategy: str) -> None:
    """Not for those already served, and not for those to come."""
    async with swept(strategy) as node:
        room = node.room()
        crowd = node.join(room, CROWD)
        node.publish(room, 2)
        await _in_the_middle(node, room, lambda: node.publish(room, 2))
        await wait_all_tasks_blocked()
        assert {tuple(seat.seqs) for seat in crowd} == {(1, 2, 3, 4)}
        assert node.deliveries == 4 * CROWD


@each_strategy
async def test_whoever_joins_during_a_sweep_hears_what_follows_its_replay(strategy: str) -> None:
    """Replay and live messages together are everything, once."""
    async with swept(strategy) as node:
        room = node.room()
        node.join(room, CROWD)
        node.publish(room, 2)
        late: list[Seat] = []

        def join_and_speak() -> None:
            late.extend(node.join(room))
            node.publish(room, 1)

        await _in_the_middle(node, room, join_and_speak)
        await wait_all_tasks_blocked()
        assert late[0].seqs == [3]


@each_strategy
async def test_whoever_leaves_or_is_cut_during_a_sweep_is_skipped(strategy: str) -> None:
    """And those behind it in the list are served as if nothing had happened."""
    async with swept(strategy) as node:
        room = node.room()
        crowd = node.join(room, CROWD)
        left, cut, last = crowd[-3:]
        node.publish(room, 1)

        def leave() -> None:
            room.remove(left.member)
            cut.member.outbox.close()

        await _in_the_middle(node, room, leave)
        await wait_all_tasks_blocked()
        assert [seat.seqs for seat in (left, cut, last)] == [[], [], [1]]
        assert node.deliveries == CROWD - 2


@each_strategy
async def test_whoever_leaves_and_returns_during_a_sweep_hears_nothing_twice(strategy: str) -> None:
    """Its place in the sweep is still there; its position has moved past it."""
    async with swept(strategy) as node:
        room = node.room()
        crowd = node.join(room, CROWD)
        back = crowd[-1]
        node.publish(room, 1)

        def leave_and_return() -> None:
            room.remove(back.member)
            room.add(back.member, watch=False)
            node.publish(room, 1)

        await _in_the_middle(node, room, leave_and_return)
        await wait_all_tasks_blocked()
        assert back.seqs == [2]


async def test_those_still_to_be_served_hear_at_once_what_was_said_meanwhile() -> None:
    """A message is never further from a member than one sweep; those already served hear it in the next one."""
    async with swept("coalesced") as node:
        room = node.room()
        crowd = node.join(room, CROWD)
        node.publish(room, 1)
        await _in_the_middle(node, room, lambda: node.publish(room, 1))
        assert (crowd[0].socket.writes, crowd[-1].socket.writes) == (2, 1)
        assert {tuple(seat.seqs) for seat in crowd} == {(1, 2)}
        assert room.pending == []


@each_strategy
async def test_a_log_that_begins_anew_during_a_sweep_loses_nothing_of_the_new_one(strategy: str) -> None:
    """What was pending is gone with the old log; whoever joins the new one hears all of it."""
    async with swept(strategy) as node:
        room = node.room()
        crowd = node.join(room, CROWD)
        node.publish(room, 3)
        late: list[Seat] = []

        def begin_anew() -> None:
            room.begin_anew("e2", 0, ())
            for seat in crowd:
                seat.member.outbox.close()
                room.remove(seat.member)
            late.extend(node.join(room))
            node.publish(room, 2)

        await _in_the_middle(node, room, begin_anew)
        await wait_all_tasks_blocked()
        assert late[0].seqs == [1, 2]


@each_strategy
async def test_a_sweep_yields_after_so_many_members(strategy: str) -> None:
    """Within one batch, between batches and between rooms: other tasks never wait for more than one slice."""
    async with swept(strategy) as node:
        rooms = [node.room(f"room-{n}") for n in range(40)]
        for room in rooms:
            node.join(room, 17)
        large = node.room("large")
        node.join(large, 2 * MEMBERS_PER_SLICE + 50)
        for room in (*rooms, large):
            node.publish(room)
        node.publish(large, 2, "x" * BATCH_BYTES)
        slices = _Slices(node)
        trio.lowlevel.add_instrument(slices)
        await node.sweep()
        trio.lowlevel.remove_instrument(slices)
        assert node.deliveries == 40 * 17 + 3 * (2 * MEMBERS_PER_SLICE + 50)
        assert max(b - a for a, b in pairwise(slices.served)) == MEMBERS_PER_SLICE


# --- slow members ---------------------------------------------------------------------------------------------------


@each_strategy
async def test_a_stalled_member_changes_nobody_elses_delivery(strategy: str) -> None:
    """It is evicted once, with a bounded queue; everybody else hears everything."""
    async with swept(strategy) as node:
        room = node.room()
        before, after = node.join(room), []
        limits = QueueLimits(frames=20, bytes=10_000)
        stream, _never_read = lockstep_stream_pair()
        in_lockstep = node.seats.take(limits=limits, stream=stream)
        full_socket = node.seats.take(limits=limits, room_bytes=10)
        for seat in (in_lockstep, full_socket):
            room.add(seat.member, watch=False)
        after = node.join(room)
        node.start()
        most = 0
        for _ in range(50):
            node.publish(room, 1)
            await node.sweeper.wait_idle()
            most = max(most, in_lockstep.member.outbox.frames, full_socket.member.outbox.frames)
        await wait_all_tasks_blocked()
        assert [seat.seqs for seat in before + after] == [list(range(1, 51))] * 2
        assert sorted(map(id, node.evicted)) == sorted(map(id, (in_lockstep.member, full_socket.member)))
        assert most == limits.frames


async def test_a_member_that_reads_slowly_but_surely_hears_everything() -> None:
    """Backpressure is not loss."""
    async with swept("coalesced") as node:
        room = node.room()
        (slow,) = node.join(room, room_bytes=5)
        node.start()
        for _ in range(30):
            node.publish(room, 3)
            await node.sweeper.wait_idle()
            slow.socket.read(7)
            await wait_all_tasks_blocked()
        slow.socket.read()
        await wait_all_tasks_blocked()
        assert (slow.seqs, node.evicted) == (list(range(1, 91)), [])


# --- the sweeper ----------------------------------------------------------------------------------------------------


async def test_waiting_for_an_idle_sweeper_takes_no_time() -> None:
    """Even before it runs."""
    async with swept("coalesced") as node:
        await node.sweeper.wait_idle()


async def test_idle_means_that_everything_was_offered() -> None:
    """Not that everything was read: a stalled member does not hold up a drain."""
    async with swept("coalesced") as node:
        room = node.room()
        (stalled,) = node.join(room, room_bytes=0)
        node.publish(room, 3)
        await node.sweep()
        assert stalled.member.outbox.frames == 3


async def test_a_sweeper_goes_back_to_sleep_and_wakes_again() -> None:
    """Idle, work, idle, work."""
    async with swept("coalesced") as node:
        room = node.room()
        (seat,) = node.join(room)
        node.start()
        for _ in range(3):
            await wait_all_tasks_blocked()
            node.publish(room, 1)
            await node.sweeper.wait_idle()
        assert (seat.seqs, len(node.observed_s)) == ([1, 2, 3], 3)


async def test_each_sweep_of_a_room_is_observed_once() -> None:
    """From the oldest publication, whatever number of batches it takes."""
    async with swept("coalesced") as node:
        room = node.room()
        node.join(room)
        node.publish(room, 3 * BATCH_FRAMES)
        await node.sweep()
        assert len(node.observed_s) == 1
        assert node.observed_s[0] >= 0


# --- batches --------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from((10, 10, 10, 40_000, BATCH_BYTES - 100, BATCH_BYTES + 1)), max_size=12),
    st.integers(1, 4) | st.just(BATCH_FRAMES),
)
def test_batches_are_whole_bounded_and_no_smaller_than_need_be(lengths: list[int], most_frames: int) -> None:
    """Everything in order; within both bounds, or one message that is larger; none could have taken the next one."""
    pending = [prepared(seq, "x" * length) for seq, length in enumerate(lengths, 1)]
    cut = batches(pending, most_frames)
    assert [message for batch in cut for message in batch] == pending
    sizes = [sum(len(message.frame) for message in batch) for batch in cut]
    for batch, size in zip(cut, sizes, strict=True):
        assert 1 <= len(batch) <= most_frames
        assert size <= BATCH_BYTES or len(batch) == 1
    for batch, size, following in zip(cut, sizes, cut[1:], strict=False):
        assert len(batch) == most_frames or size + len(following[0].frame) > BATCH_BYTES
