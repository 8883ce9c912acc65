from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, lockstep_stream_pair, wait_all_tasks_blocked
from wsproto.connection import ConnectionType

from scalechat.server.outbox import Backlog, Outbox, Outcome, QueueLimits
from scalechat.wire.frames import close_frame, text_frame
from tests.server.small_socket import SmallSocket
from tests.wire.reference import understood

LIMITS = QueueLimits(frames=4, bytes=100)
CLOSE = close_frame(4008, "too slow")


class Client:
    """An outbox over a small socket, and the nursery its writer runs in."""

    def __init__(self, room_bytes: int, nursery: trio.Nursery, limits: QueueLimits, backlog: Backlog) -> None:
        self.socket = SmallSocket(room_bytes)
        self.nursery = nursery
        self.backlog = backlog
        self.outbox = Outbox(
            self.socket, spawn=nursery.start_soon, limits=limits, backlog=backlog, send_now=self.socket.send_now
        )

    @property
    def queued(self) -> tuple[int, int]:
        return self.outbox.frames, self.outbox.bytes

    @property
    def sums(self) -> tuple[int, int, int]:
        """The backlog of all clients: frames, bytes, and how many clients have one."""
        return self.backlog.frames, self.backlog.bytes, len(self.backlog.outboxes)

    async def read_all(self) -> bytes:
        """Everything on the wire once the peer has read on to the end."""
        self.socket.read()
        await wait_all_tasks_blocked()
        return self.socket.on_wire


@asynccontextmanager
async def client(room_bytes: int, limits: QueueLimits = LIMITS) -> AsyncIterator[Client]:
    async with trio.open_nursery() as nursery:
        yield Client(room_bytes, nursery, limits, Backlog())
        nursery.cancel_scope.cancel()


# --- the direct way -------------------------------------------------------------------------------------------------


async def test_a_client_that_keeps_up_costs_neither_queue_nor_task() -> None:
    """What the socket takes at once is sent, and that is all."""
    async with client(1000) as peer:
        assert peer.outbox.offer(b"one") is Outcome.SENT
        assert peer.outbox.offer(b"two") is Outcome.SENT
        assert peer.socket.on_wire == b"onetwo"
        assert (peer.queued, peer.sums, len(peer.nursery.child_tasks)) == ((0, 0), (0, 0, 0), 0)


async def test_a_refused_write_waits_in_the_queue() -> None:
    """A full socket takes nothing; the writer sends it as soon as it can."""
    async with client(0) as peer:
        assert peer.outbox.offer(b"one") is Outcome.QUEUED
        assert (peer.queued, peer.sums) == ((1, 3), (1, 3, 1))
        assert await peer.read_all() == b"one"


async def test_the_rest_of_a_partial_write_goes_before_everything_else() -> None:
    """Bytes of two frames never interleave, whichever way each took."""
    async with client(2) as peer:
        assert peer.outbox.offer(b"one") is Outcome.QUEUED
        assert peer.queued == (1, 1)
        peer.socket.read(100)  # The socket has room again, but the first message is not out yet.
        assert peer.outbox.offer(b"two") is Outcome.QUEUED
        assert peer.outbox.offer(b"three", direct=False) is Outcome.QUEUED
        assert await peer.read_all() == b"onetwothree"


async def test_once_the_queue_is_empty_writes_are_direct_again() -> None:
    """The writer ends with the queue, and so does everything it cost."""
    async with client(0) as peer:
        peer.outbox.offer(b"one")
        await peer.read_all()
        assert (peer.queued, peer.sums, len(peer.nursery.child_tasks)) == ((0, 0), (0, 0, 0), 0)
        assert peer.outbox.offer(b"two") is Outcome.SENT
        assert peer.socket.on_wire == b"onetwo"


async def test_a_writer_can_be_asked_for() -> None:
    """`direct` False queues even what the socket would take."""
    async with client(1000) as peer:
        assert peer.outbox.offer(b"one", direct=False) is Outcome.QUEUED
        assert peer.socket.on_wire == b""
        assert await peer.read_all() == b"one"


async def test_a_stream_without_a_socket_is_written_by_the_writer() -> None:
    """In lockstep: a byte moves only when the peer reads it."""
    sends, receives = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        outbox = Outbox(sends, spawn=nursery.start_soon, limits=LIMITS, backlog=Backlog(), send_now=None)
        assert [outbox.offer(data) for data in (b"one", b"two")] == [Outcome.QUEUED] * 2
        assert [await receives.receive_some() for _ in range(2)] == [b"one", b"two"]


async def test_bytes_out_are_counted_once_they_are_out() -> None:
    """Direct, partly, queued and last: every byte that the socket took, and no other."""
    async with client(5) as peer:
        for data in (b"one", b"two", b"three"):
            peer.outbox.offer(data)
        peer.outbox.finish(b"end")
        assert peer.backlog.sent_bytes == 5
        await peer.read_all()
        assert peer.backlog.sent_bytes == len(peer.socket.on_wire) == len(b"onetwothreeend")


async def test_a_last_frame_sent_directly_is_counted_as_well() -> None:
    """Most Close frames never wait."""
    async with client(100) as peer:
        peer.outbox.finish(CLOSE)
        assert peer.backlog.sent_bytes == len(CLOSE)


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_the_queue_is_bounded_in_frames() -> None:
    """A batch counts as many frames as it holds; what is over the limit is not kept at all."""
    async with client(0) as peer:
        assert peer.outbox.offer(b"abc", 3) is Outcome.QUEUED
        assert peer.outbox.offer(b"de", 2) is Outcome.OVERFLOW
        assert peer.outbox.offer(b"f", 1) is Outcome.QUEUED
        assert peer.outbox.offer(b"g", 1) is Outcome.OVERFLOW
        assert peer.queued == (4, 4)
        assert await peer.read_all() == b"abcf"


async def test_the_queue_is_bounded_in_bytes() -> None:
    """To the byte, with the item under way counted until it is out."""
    async with client(0) as peer:
        assert peer.outbox.offer(b"x" * 60) is Outcome.QUEUED
        await wait_all_tasks_blocked()
        assert peer.outbox.offer(b"y" * 41) is Outcome.OVERFLOW
        assert peer.outbox.offer(b"z" * 40) is Outcome.QUEUED
        assert await peer.read_all() == b"x" * 60 + b"z" * 40


async def test_a_frame_that_has_begun_is_finished_whatever_the_limits_say() -> None:
    """Half a frame on the wire would be worse than a queue that is too long."""
    async with client(1) as peer:
        assert peer.outbox.offer(b"x" * 500, 50) is Outcome.QUEUED
        assert peer.outbox.offer(b"y") is Outcome.OVERFLOW
        assert await peer.read_all() == b"x" * 500


async def test_as_many_frames_of_no_bytes_as_allowed_fit() -> None:
    """The channel behind the queue is never the first to be full."""
    async with client(0, QueueLimits(frames=3, bytes=0)) as peer:
        assert [peer.outbox.offer(b"", direct=False) for _ in range(4)] == [Outcome.QUEUED] * 3 + [Outcome.OVERFLOW]
        peer.outbox.finish(b"end")
        assert await peer.read_all() == b"end"


# --- the end --------------------------------------------------------------------------------------------------------


async def test_the_last_frame_goes_behind_the_queue_and_nothing_follows_it() -> None:
    """A client never sees a hole and then more messages."""
    async with client(0) as peer:
        for n in range(4):
            peer.outbox.offer(b"%d" % n)
        peer.outbox.finish(CLOSE)
        assert (peer.outbox.closed, peer.outbox.offer(b"late")) == (True, Outcome.CLOSED)
        peer.outbox.finish(b"again")
        assert await peer.read_all() == b"0123" + CLOSE


async def test_the_last_frame_is_partly_direct_when_the_socket_takes_a_part() -> None:
    """Its rest follows."""
    async with client(3) as peer:
        peer.outbox.finish(CLOSE)
        assert peer.socket.on_wire == CLOSE[:3]
        assert await peer.read_all() == CLOSE


async def test_abandoning_keeps_the_frame_that_is_being_written() -> None:
    """The Close frame that tells a slow client why must not land inside half a message."""
    async with client(2) as peer:
        peer.outbox.offer(b"one", direct=False)
        await wait_all_tasks_blocked()
        peer.outbox.offer(b"two")
        peer.outbox.offer(b"three")
        peer.outbox.abandon()
        peer.outbox.finish(CLOSE)
        assert await peer.read_all() == b"one" + CLOSE
        assert (peer.queued, peer.sums) == ((0, 0), (0, 0, 0))


async def test_abandoning_keeps_the_rest_of_a_frame_whose_writer_has_not_run_yet() -> None:
    """A sweep can write a part of one batch and find the queue full at the next, all in one scheduler pass."""
    async with client(2) as peer:
        peer.outbox.offer(b"one")
        peer.outbox.offer(b"two")
        peer.outbox.abandon()
        peer.outbox.finish(CLOSE)
        assert await peer.read_all() == b"one" + CLOSE
        assert (peer.queued, peer.sums) == ((0, 0), (0, 0, 0))


async def test_abandoning_keeps_the_rest_of_a_last_frame() -> None:
    """A Close frame that has begun is a frame as well."""
    async with client(3) as peer:
        peer.outbox.finish(CLOSE)
        peer.outbox.abandon()
        assert await peer.read_all() == CLOSE


async def test_abandoning_an_empty_queue_does_nothing() -> None:
    """It is called for clients in any state."""
    async with client(100) as peer:
        peer.outbox.abandon()
        assert peer.outbox.offer(b"one") is Outcome.SENT


async def test_a_broken_socket_closes_the_outbox_at_a_direct_write() -> None:
    """The reader meets the same end; nothing is raised into the sweep."""
    async with client(100) as peer:
        peer.socket.reset()
        assert peer.outbox.offer(b"one") is Outcome.CLOSED
        assert peer.outbox.closed
        peer.outbox.finish(CLOSE)


async def test_finishing_on_a_broken_socket_is_quiet() -> None:
    """Nothing is queued for nobody."""
    async with client(100) as peer:
        peer.socket.reset()
        peer.outbox.finish(CLOSE)
        assert (peer.outbox.closed, peer.sums, peer.backlog.sent_bytes) == (True, (0, 0, 0), 0)


async def _drained(peer: Client) -> None:
    await peer.read_all()


async def _finished(peer: Client) -> None:
    peer.outbox.finish(CLOSE)
    await peer.read_all()


async def _broken(peer: Client) -> None:
    peer.socket.reset()
    await wait_all_tasks_blocked()


async def _cancelled(peer: Client) -> None:
    peer.nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()


async def _closed(peer: Client) -> None:
    peer.outbox.close()
    peer.nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()


async def _abandoned(peer: Client) -> None:
    peer.outbox.abandon()
    peer.outbox.finish(CLOSE)
    await peer.read_all()


@pytest.mark.parametrize("writer_began", [False, True])
@pytest.mark.parametrize("ending", [_drained, _finished, _broken, _cancelled, _closed, _abandoned])
async def test_the_sums_return_to_zero_however_it_ends(
    ending: Callable[[Client], Awaitable[None]], writer_began: bool
) -> None:
    """A gauge that drifts is worse than none."""
    async with client(2) as peer:
        for data in (b"one", b"two", b"three"):
            peer.outbox.offer(data)
        if writer_began:
            await wait_all_tasks_blocked()
        assert peer.sums == (3, 9, 1)
        await ending(peer)
        assert (peer.queued, peer.sums) == ((0, 0), (0, 0, 0))


async def test_other_clients_stay_in_the_sums() -> None:
    """One client's end takes away its own share only."""
    backlog = Backlog()
    async with trio.open_nursery() as nursery:
        slow, gone = (Client(0, nursery, LIMITS, backlog) for _ in range(2))
        slow.outbox.offer(b"stays")
        gone.outbox.offer(b"goes")
        assert slow.sums == (2, 9, 2)
        gone.socket.reset()
        await wait_all_tasks_blocked()
        assert slow.sums == (1, 5, 1)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_write_closes_the_outbox() -> None:
    """Half a frame may be on the wire: nothing may follow it."""
    async with trio.open_nursery() as nursery:
        peer = Client(1, nursery, LIMITS, Backlog())
        peer.outbox.offer(b"one")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert peer.outbox.offer(b"two") is Outcome.CLOSED
    assert peer.socket.on_wire == b"o"


# --- waiting and ages -----------------------------------------------------------------------------------------------


async def test_waiting_for_an_empty_queue_takes_no_time() -> None:
    """Most connections end with nothing queued."""
    async with client(100) as peer:
        await peer.outbox.wait_written()


async def test_several_may_wait_until_everything_is_written(autojump_clock: MockClock) -> None:
    """They go on when the last byte is out, not before."""
    async with client(0) as peer:
        peer.outbox.offer(b"one")
        ended: list[float] = []

        async def wait() -> None:
            await peer.outbox.wait_written()
            ended.append(trio.current_time())

        began_s = trio.current_time()
        peer.nursery.start_soon(wait)
        peer.nursery.start_soon(wait)
        await trio.sleep(5)
        peer.socket.read()
        await trio.sleep(1)
        assert ended == [began_s + 5] * 2


async def test_a_queue_is_as_old_as_its_oldest_frame(autojump_clock: MockClock) -> None:
    """The one under way counts: a trickle reader is found by its age."""
    async with client(0) as peer:
        peer.outbox.offer(b"one")
        await trio.sleep(3)
        peer.outbox.offer(b"two")
        await trio.sleep(4)
        assert peer.outbox.age_s(trio.current_time()) == peer.backlog.oldest_age_s(trio.current_time()) == 7
        peer.socket.read(3)
        await wait_all_tasks_blocked()
        assert peer.outbox.age_s(trio.current_time()) == 4
        peer.socket.read(3)
        await wait_all_tasks_blocked()
        assert peer.outbox.age_s(trio.current_time()) == peer.backlog.oldest_age_s(trio.current_time()) == 0


# --- any interleaving -----------------------------------------------------------------------------------------------

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.just("offer"), st.integers(0, 30))
    | st.tuples(st.just("queue"), st.integers(0, 30))
    | st.tuples(st.just("read"), st.integers(1, 40))
    | st.tuples(st.just("run"), st.just(0)),
    max_size=25,
)


@settings(max_examples=150)
@given(STEPS, st.integers(0, 40), STEPS, st.sampled_from(("drain", "finish", "abandon")))
def test_any_interleaving_gives_exactly_what_was_accepted(
    steps: list[Step], room_bytes: int, later: list[Step], ending: str
) -> None:
    """Whole frames in order; after an abandon only frames that had not begun are missing, and the Close is last."""
    trio.run(_interleave, steps, room_bytes, later, ending)


async def _interleave(steps: list[Step], room_bytes: int, later: list[Step], ending: str) -> None:
    async with client(room_bytes, QueueLimits(frames=6, bytes=120)) as peer:
        accepted: list[bytes] = []
        for at, (step, amount) in enumerate(steps):
            frame = text_frame(b"%d:" % at + b"x" * amount)
            if step in ("offer", "queue"):
                outcome = peer.outbox.offer(frame, direct=step == "offer")
                assert outcome in (Outcome.SENT, Outcome.QUEUED, Outcome.OVERFLOW)
                if outcome is not Outcome.OVERFLOW:
                    accepted.append(frame)
            else:
                await _step(peer, step, amount)
            assert peer.outbox.bytes + len(peer.socket.on_wire) >= len(b"".join(accepted))
        begun_bytes = len(peer.socket.on_wire)
        if ending == "abandon":
            peer.outbox.abandon()
        if ending != "drain":
            peer.outbox.finish(CLOSE)
        for step, amount in later:
            if step in ("offer", "queue") and ending != "drain":
                assert peer.outbox.offer(b"late") is Outcome.CLOSED
            else:
                await _step(peer, step, amount)
        wire = await peer.read_all()
        if ending == "abandon":
            assert wire in _allowed_after_abandon(accepted, begun_bytes)
        else:
            assert wire == b"".join(accepted) + (CLOSE if ending == "finish" else b"")
        assert peer.sums == (0, 0, 0)
        assert understood([wire], ConnectionType.CLIENT).close_code == (None if ending == "drain" else 4008)


def _allowed_after_abandon(accepted: list[bytes], begun_bytes: int) -> list[bytes]:
    """Every frame that had begun; the writer may have held one more."""
    sizes = [len(b"".join(accepted[:count])) for count in range(len(accepted) + 1)]
    least = next(count for count, size in enumerate(sizes) if size >= begun_bytes)
    return [b"".join(accepted[:count]) + CLOSE for count in (least, least + 1)]


async def _step(peer: Client, step: str, amount: int) -> None:
    if step == "read":
        peer.socket.read(amount)
    elif step == "run":
        await wait_all_tasks_blocked()
