"""The policies that drop, from the decision to the wire; `test_resync.py` has the one that catches up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import product

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, lockstep_stream_pair, wait_all_tasks_blocked
from wsproto.connection import ConnectionType

from scalechat.server.eviction import Evictor
from scalechat.server.heartbeat import TICK_S, Heartbeat
from scalechat.server.outbox import Backlog, Outbox, Outcome, QueueLimits
from scalechat.server.slow_consumer import DROPPING, POLICIES, REFUSED, Arrival, RoomPolicies, Spare, Verdict
from scalechat.server.strategies import STRATEGIES
from scalechat.server.waiting import COMMIT_BYTES
from scalechat.wire import closing
from scalechat.wire.frames import text_frame
from tests.server.seats import Seat, Seats, seats
from tests.server.small_socket import SmallSocket
from tests.server.swept import Swept, swept
from tests.wire.reference import understood

each_dropping = pytest.mark.parametrize("policy", DROPPING)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
FEW = QueueLimits(frames=4, bytes=100_000)
DROPS = {Verdict.DROP_OLDEST, Verdict.DROP_ALL, Verdict.SKIP_FIRST, Verdict.SKIP_LAST, Verdict.MAKE_ROOM}


# --- decisions ------------------------------------------------------------------------------------------------------

ARRIVALS = [Arrival(*facts) for facts in product((1, 2, 5), (False, True), (0, 1, 3), (0, 1, 3))]


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("arrival", ARRIVALS)
def test_every_verdict_can_be_carried_out(name: str, arrival: Arrival) -> None:
    """Nothing is queued that does not fit, nothing dropped that is not there, so asking again comes to an end."""
    policy = POLICIES[name]
    verdict = policy.decide(arrival)
    assert arrival.fits or verdict is not Verdict.QUEUE
    assert arrival.own or verdict not in (Verdict.DROP_OLDEST, Verdict.DROP_ALL)
    assert arrival.others or verdict is not Verdict.MAKE_ROOM
    assert policy.drops or verdict not in DROPS
    if arrival.fits and name != "latest":
        assert verdict is Verdict.QUEUE


def test_each_policy_ends_differently_where_nothing_can_be_done() -> None:
    """The last message of a room that keeps the latest is as little lost in silence as any of a room that resumes."""
    verdicts = {name: policy.decide(REFUSED) for name, policy in POLICIES.items()}
    assert verdicts == {
        "disconnect": Verdict.EVICT,
        "pause": Verdict.PAUSE,
        "drop_oldest": Verdict.SKIP_FIRST,
        "drop_newest": Verdict.SKIP_LAST,
        "latest": Verdict.EVICT,
    }


# --- which room has which -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "room, policy",
    [
        ("tea", "pause"),
        ("prices-eur", "latest"),
        ("prices-", "latest"),
        ("prices-odd", "drop_newest"),
        ("prices", "drop_oldest"),
        ("teapot", "drop_oldest"),
        ("caf\u00e9", "disconnect"),
    ],
)
def test_the_first_rule_that_matches_a_room_decides(room: str, policy: str) -> None:
    """Whole names or beginnings, in normal form; the default is for all other rooms."""
    rules = ("tea=pause", "prices-odd=drop_newest", "prices-*=latest", "prices-eur=pause", "cafe\u0301=disconnect")
    assert RoomPolicies("drop_oldest", rules).of(room).name == policy


def test_a_star_alone_stands_for_every_room() -> None:
    """Then the default is for none."""
    assert RoomPolicies("disconnect", ["*=latest"]).of("any").name == "latest"


# --- one member against a model -------------------------------------------------------------------------------------


class Client:
    """An outbox over a small socket, and what its room's policy lets it have."""

    def __init__(self, nursery: trio.Nursery, room_bytes: int, limits: QueueLimits) -> None:
        self.socket = SmallSocket(room_bytes)
        self.backlog = Backlog()
        self.outbox = Outbox(
            self.socket, spawn=nursery.start_soon, limits=limits, backlog=self.backlog, send_now=self.socket.send_now
        )

    def offer(self, policy: str, frames: Sequence[bytes], room: str = "tea", *, direct: bool = True) -> Outcome:
        spare = Spare(room, POLICIES[policy], frames)
        return self.outbox.offer(b"".join(frames), len(frames), spare, direct=direct)

    async def read_all(self) -> list[str]:
        """Every text that arrives when it reads on to the end; the outbox is then as it was at first."""
        self.socket.read()
        await wait_all_tasks_blocked()
        assert (self.outbox.queued, self.outbox.frames, self.outbox.bytes) == (False, 0, 0)
        assert (self.backlog.frames, self.backlog.bytes, self.backlog.outboxes) == (0, 0, set())
        return understood([self.socket.on_wire], ConnectionType.CLIENT).texts


@asynccontextmanager
async def client(room_bytes: int = 0, limits: QueueLimits = FEW) -> AsyncIterator[Client]:
    async with trio.open_nursery() as nursery:
        yield Client(nursery, room_bytes, limits)
        nursery.cancel_scope.cancel()


def numbered(first: int, sizes: Sequence[int]) -> list[bytes]:
    return [text_frame(f"{at}:".encode() + b"x" * size) for at, size in enumerate(sizes, first)]


def numbers(texts: Sequence[str]) -> list[int]:
    return [int(text.partition(":")[0]) for text in texts]


class Model:
    """What must arrive, from nothing but the words of each policy."""

    def __init__(self, policy: str, room_bytes: int, limits: QueueLimits) -> None:
        self.policy = policy
        self.room_bytes = room_bytes
        self.limits = limits
        self.arrived: list[bytes] = []
        """Written, or begun."""
        self.rest: list[bytes] = []
        """What follows of the begun one."""
        self.kept: list[bytes] = []

    def offer(self, frames: list[bytes]) -> bool:
        """False when the member is evicted."""
        if not self.rest and not self.kept:
            while frames and self.room_bytes:
                frame, *frames = frames
                self.arrived.append(frame)
                if len(frame) > self.room_bytes:
                    self.rest.append(frame[self.room_bytes :])
                self.room_bytes -= min(self.room_bytes, len(frame))
        if not frames:
            return True
        match self.policy:
            case "drop_oldest":
                self.kept += frames
                while self.kept and not self._fits(self.kept):
                    del self.kept[0]
            case "drop_newest":
                while frames and not self._fits(self.kept + frames):
                    del frames[-1]
                self.kept += frames
            case "latest":
                self.kept = frames[-1:]
                if not self._fits(self.kept):
                    self.kept = []
                    return False
        return True

    def _fits(self, frames: list[bytes]) -> bool:
        waiting = self.rest + frames
        return len(waiting) <= self.limits.frames and len(b"".join(waiting)) <= self.limits.bytes


SIZES = st.lists(st.sampled_from((0, 1, 5, 20, 90)), min_size=1, max_size=6)


@settings(max_examples=200)
@given(
    st.sampled_from(DROPPING), st.lists(SIZES, max_size=8), st.integers(0, 60), st.integers(1, 8), st.integers(10, 200)
)
def test_a_stalled_member_receives_exactly_what_its_policy_keeps(
    policy: str, batches: list[list[int]], room_bytes: int, most_frames: int, most_bytes: int
) -> None:
    """The newest, the oldest or the last; begun frames whole; every other message counted as dropped."""

    async def scenario() -> None:
        limits = QueueLimits(most_frames, most_bytes)
        model = Model(policy, room_bytes, limits)
        offered = 0
        async with client(room_bytes, limits) as peer:
            stays = True
            for sizes in batches:
                frames = numbered(offered, sizes)
                offered += len(frames)
                stays = model.offer(list(frames))
                assert (peer.offer(policy, frames) is not Outcome.OVERFLOW) == stays
                if not stays:
                    break
                assert peer.outbox.frames == len(model.rest + model.kept)
                assert peer.outbox.bytes == len(b"".join(model.rest + model.kept))
            arrived = await peer.read_all()
            assert [text_frame(text.encode()) for text in arrived] == model.arrived + model.kept
            if stays:
                assert peer.backlog.drops[policy] == offered - len(arrived)
            else:
                assert policy == "latest"

    trio.run(scenario)


STEPS = st.lists(
    st.tuples(st.just("offer"), st.integers(1, 6))
    | st.tuples(st.just("answer"), st.just(0))
    | st.tuples(st.just("read"), st.integers(1, 200))
    | st.tuples(st.just("run"), st.just(0)),
    max_size=25,
)


@settings(max_examples=200)
@given(st.sampled_from(DROPPING), STEPS, st.integers(0, 60), st.booleans())
def test_any_interleaving_drops_whole_messages_and_never_an_answer(
    policy: str, steps: list[tuple[str, int]], room_bytes: int, direct: bool
) -> None:
    """In order, within the limits, answers at their place, and what did not arrive is what was counted."""

    async def scenario() -> None:
        limits = QueueLimits(frames=5, bytes=300)
        said: list[int] = []
        answers: list[int] = []
        async with client(room_bytes, limits) as peer:
            for step, amount in steps:
                at = len(said) + len(answers)
                if step == "offer":
                    said += range(at, at + amount)
                    assert peer.offer(policy, numbered(at, [10] * amount), direct=direct) is not Outcome.OVERFLOW
                elif step == "answer":
                    if peer.outbox.offer(numbered(at, [3])[0], direct=direct) is Outcome.OVERFLOW:
                        break
                    answers.append(at)
                elif step == "read":
                    peer.socket.read(amount)
                else:
                    await wait_all_tasks_blocked()
                assert peer.outbox.frames <= limits.frames + 1  # The rest of one that has begun.
            arrived = numbers(await peer.read_all())
            assert arrived == sorted(arrived)
            assert set(answers) <= set(arrived) <= set(answers + said)
            assert peer.backlog.drops[policy] == len(said) + len(answers) - len(arrived)
            if said and policy == "latest":
                assert said[-1] in arrived

    trio.run(scenario)


# --- several rooms, and answers -------------------------------------------------------------------------------------


async def test_an_answer_takes_the_place_of_a_message_that_may_be_dropped() -> None:
    """The newest or the oldest, as the room's policy gives them; it goes out where it stands in the order."""
    for policy, expected in (("drop_oldest", [1, 2, 3, 9]), ("drop_newest", [0, 1, 2, 9])):
        async with client() as peer:
            peer.offer(policy, numbered(0, [1] * 4))
            assert peer.outbox.offer(numbered(9, [1])[0]) is Outcome.QUEUED
            assert numbers(await peer.read_all()) == expected
            assert peer.backlog.drops[policy] == 1


async def test_an_answer_does_not_take_the_place_of_the_latest() -> None:
    """Nor that of another answer: who cannot even have those is evicted."""
    async with client() as peer:
        peer.offer("latest", numbered(0, [1] * 9))
        outcomes = [peer.outbox.offer(frame) for frame in numbered(9, [1] * 4)]
        assert outcomes == [Outcome.QUEUED] * 3 + [Outcome.OVERFLOW]
        assert numbers(await peer.read_all()) == [8, 9, 10, 11]


async def test_a_room_that_must_not_lose_anything_takes_the_place_of_one_that_may() -> None:
    """`disconnect` and `pause` are promises, whatever other rooms the member is in."""
    async with client() as peer:
        peer.offer("drop_oldest", numbered(0, [1] * 4))
        assert peer.outbox.offer(b"".join(numbered(4, [1] * 3)), 3) is Outcome.QUEUED
        assert numbers(await peer.read_all()) == [3, 4, 5, 6]


@pytest.mark.parametrize("flood", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("quiet", ["drop_oldest", "latest"])
async def test_a_flood_in_one_room_leaves_the_newest_of_another(flood: str, quiet: str) -> None:
    """The longest queue gives first."""
    async with client() as peer:
        peer.offer(flood, numbered(0, [1] * 50), "flood")
        for at in (50, 51):
            assert peer.offer(quiet, numbered(at, [1]), "quiet") is Outcome.QUEUED
            peer.offer(flood, numbered(60 + at, [1] * 50), "flood")
        assert 51 in numbers(await peer.read_all())


async def test_rooms_have_their_policies_side_by_side() -> None:
    """Each drops only its own while it has any."""
    async with client(limits=QueueLimits(frames=6, bytes=10_000)) as peer:
        peer.offer("latest", numbered(0, [1] * 3), "a")
        peer.offer("drop_oldest", numbered(10, [1] * 2), "b")
        peer.offer("drop_newest", numbered(20, [1] * 9), "c")
        peer.offer("drop_oldest", numbered(30, [1] * 1), "b")
        peer.offer("latest", numbered(40, [1] * 2), "a")
        assert numbers(await peer.read_all()) == [11, 20, 21, 22, 30, 41]
        assert dict(peer.backlog.drops) == {"drop_oldest": 1, "drop_newest": 6, "latest": 4}


@each_dropping
async def test_shells_of_dropped_batches_do_not_fill_the_channel(policy: str) -> None:
    """However long one message blocks the way and however much is dropped behind it."""
    async with client() as peer:
        peer.outbox.offer(numbered(0, [1])[0], direct=False)
        for at in range(1, 100):
            assert peer.offer(policy, numbered(at, [1])) is Outcome.QUEUED
        expected = {"drop_oldest": [0, 97, 98, 99], "drop_newest": [0, 1, 2, 3], "latest": [0, 99]}
        assert numbers(await peer.read_all()) == expected[policy]


async def test_the_writer_commits_itself_to_little_at_a_time() -> None:
    """What it has not taken yet may still be dropped, also within one batch."""
    async with client(limits=QueueLimits(frames=100, bytes=10**6)) as peer:
        peer.offer("latest", [], direct=False)
        peer.offer("drop_oldest", numbered(0, [COMMIT_BYTES // 4] * 20))
        await wait_all_tasks_blocked()  # It has three now, and waits.
        peer.offer("drop_oldest", numbered(20, [1] * 100))
        assert numbers(await peer.read_all()) == [0, 1, 2, *range(23, 120)]


@each_dropping
async def test_an_evicted_member_gets_its_close_and_no_message_after_it(policy: str) -> None:
    """Abandoning forgets what may be dropped as well, and counts it as no drop."""
    async with client(3) as peer:
        peer.offer(policy, numbered(0, [9, 9]))
        before = dict(peer.backlog.drops)
        peer.outbox.abandon()
        peer.outbox.finish(text_frame(b"9:end"))
        assert numbers(await peer.read_all()) == [0, 9]
        assert peer.backlog.drops == before


# --- a room of members ----------------------------------------------------------------------------------------------


async def _published(node: Swept, policy: str, slow: Seat) -> list[Seat]:
    """Fifty messages, one sweep each, to `slow` and two others."""
    room = node.room(policy=POLICIES[policy])
    before = node.join(room)
    room.add(slow.member, watch=False)
    after = node.join(room)
    node.start()
    for _ in range(50):
        node.publish(room, 1)
        await node.sweeper.wait_idle()
    await wait_all_tasks_blocked()
    return before + after


@each_strategy
@pytest.mark.parametrize(
    "policy, seqs",
    [("drop_oldest", [1, 48, 49, 50]), ("drop_newest", [1, 2, 3, 4]), ("latest", [1, 50])],
)
async def test_a_stalled_member_changes_nobody_elses_delivery(strategy: str, policy: str, seqs: list[int]) -> None:
    """It stays, with the message that has begun and what its policy keeps; everybody else hears everything."""
    async with swept(strategy) as node:
        slow = node.seats.take(limits=FEW, room_bytes=10)
        others = await _published(node, policy, slow)
        slow.socket.read()
        await wait_all_tasks_blocked()
        assert [seat.seqs for seat in others] == [list(range(1, 51))] * 2
        assert (slow.seqs, node.evicted) == (seqs, [])
        assert node.deliveries - node.seats.backlog.drops[policy] == 2 * 50 + len(seqs)


@each_dropping
async def test_a_member_in_lockstep_stays_as_well(policy: str) -> None:
    """A stream without a direct way, which nobody reads."""
    async with swept("coalesced") as node:
        stream, _never_read = lockstep_stream_pair()
        slow = node.seats.take(limits=FEW, stream=stream)
        others = await _published(node, policy, slow)
        assert [seat.seqs for seat in others] == [list(range(1, 51))] * 2
        assert (slow.member.outbox.frames <= FEW.frames, node.evicted) == (True, [])


@each_strategy
async def test_the_latest_that_does_not_fit_ends_its_member(strategy: str) -> None:
    """Once."""
    async with swept(strategy) as node:
        room = node.room(policy=POLICIES["latest"])
        (slow,) = node.join(room, room_bytes=0, limits=QueueLimits(frames=4, bytes=50))
        node.publish(room, 3, "x" * 100)
        await node.sweep()
        assert node.evicted == [slow.member]


@each_dropping
async def test_a_member_that_keeps_up_loses_nothing(policy: str) -> None:
    """Nor does one that reads slowly but surely within its limits."""
    async with swept("coalesced") as node:
        room = node.room(policy=POLICIES[policy])
        (fast,) = node.join(room)
        node.start()
        for _ in range(30):
            node.publish(room, 7)
            await node.settle()
        assert fast.seqs == list(range(1, 211))
        assert sum(node.seats.backlog.drops.values()) == 0


# --- age ------------------------------------------------------------------------------------------------------------

QUEUE_AGE_S = 10.0
TOO_SLOW = [(closing.TOO_SLOW, "", 1000)]


@asynccontextmanager
async def aging() -> AsyncIterator[tuple[Seats, Seat]]:
    """A member that reads nothing by itself, looked after by a heartbeat."""
    async with seats() as made:
        seat = made.take(room_bytes=0)
        heartbeat = Heartbeat(
            period_s=1000.0, queue_age_s=QUEUE_AGE_S, backlog=made.backlog, evictor=Evictor(made.counters)
        )
        heartbeat.add(seat.member)
        made.nursery.start_soon(heartbeat.run)
        await trio.sleep(TICK_S / 2)
        yield made, seat


def _offer(seat: Seat, policy: str, first: int, count: int = 1, size: int = 10) -> None:
    frames = numbered(first, [size] * count)
    seat.member.outbox.offer(b"".join(frames), count, Spare("tea", POLICIES[policy], frames), direct=False)


@each_dropping
async def test_a_socket_that_takes_nothing_ends_its_member_all_the_same(policy: str, autojump_clock: MockClock) -> None:
    """One message must be taken within the age limit, whatever may be dropped behind it."""
    async with aging() as (made, seat):
        _offer(seat, policy, 0)
        for at in range(1, 100):
            await trio.sleep(QUEUE_AGE_S / 90)
            _offer(seat, policy, at)
        await trio.sleep(TICK_S)
        assert (seat.endings, made.counters.evictions["queue_age"]) == (TOO_SLOW, 1)


@each_dropping
async def test_a_trickle_reader_ends(policy: str, autojump_clock: MockClock) -> None:
    """One byte a second: the message under way is not out in time."""
    async with aging() as (_made, seat):
        for at in range(13):
            _offer(seat, policy, at)
            await trio.sleep(1)
            seat.socket.read(1)
        assert seat.endings == TOO_SLOW


@pytest.mark.parametrize(
    "policy, expected", [("drop_oldest", [0, 1, 5]), ("drop_newest", [0, 1, 5]), ("latest", [0, 5])]
)
async def test_what_is_too_old_is_dropped_and_its_member_stays(
    policy: str, expected: list[int], autojump_clock: MockClock
) -> None:
    """It takes one message in eight seconds; what waited for longer than ten is not worth sending any more."""
    async with aging() as (made, seat):
        size = COMMIT_BYTES  # Too large to be taken together.
        _offer(seat, policy, 0, size=size)
        await wait_all_tasks_blocked()
        _offer(seat, policy, 1, 4, size)
        await trio.sleep(0.8 * QUEUE_AGE_S)
        _offer(seat, policy, 5, size=size)
        for _ in range(3):
            seat.socket.read(len(numbered(0, [size])[0]))
            await trio.sleep(0.8 * QUEUE_AGE_S)
        assert numbers(understood([seat.socket.on_wire], ConnectionType.CLIENT).texts) == expected
        assert (seat.endings, made.backlog.frames) == ([], 0)
        assert made.backlog.drops[policy] == 6 - len(expected)


async def test_an_answer_that_is_too_old_ends_its_member(autojump_clock: MockClock) -> None:
    """Only what may be dropped is forgiven."""
    async with aging() as (_made, seat):
        seat.member.outbox.offer(numbered(0, [10])[0])
        _offer(seat, "drop_oldest", 1)
        await trio.sleep(QUEUE_AGE_S + 2 * TICK_S)
        assert seat.endings == TOO_SLOW
