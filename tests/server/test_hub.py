from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from scalechat.bus.base import BusError, DirectDelivery, LogReset, Page, RoomInfo
from scalechat.bus.memory import MemoryBus
from scalechat.server.fanout import Sweeper
from scalechat.server.hub import Hub
from scalechat.server.member import Member
from scalechat.server.outbox import QueueLimits
from scalechat.server.resync import Resync
from scalechat.server.room import Replay
from scalechat.server.slow_consumer import RoomPolicies
from scalechat.server.strategies import Coalesced
from scalechat.wire.messages import DirectMessage, Position, Publication
from scalechat.wire.session import Dialect
from tests.server.seats import Seat, Seats, seats

PLENTY = 10**6
HISTORY = 10


class SlowBus(MemoryBus):
    """The memory bus as it would be with a broker behind it: calls take until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__(history_messages=HISTORY)
        self.open = trio.Event()
        self.open.set()
        self.page_arrives = trio.Event()
        self.page_arrives.set()
        self.error: BusError | None = None
        self.follows: list[str] = []

    def hold(self) -> None:
        self.open = trio.Event()

    async def follow(self, room: str) -> Page:
        self.follows.append(room)
        await self._network()
        page = await super().follow(room)
        # The page is on its way while the first publications already arrive.
        try:
            await self.page_arrives.wait()
        except BaseException:
            super().unfollow(room)
            raise
        return page

    async def enter(self, room: str, client_id: str) -> None:
        await self._network()
        await super().enter(room, client_id)

    async def _network(self) -> None:
        await self.open.wait()
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error


class Joined:
    """A hub over a slow bus, with its sweeper, and members to join with."""

    def __init__(self, made: Seats) -> None:
        self.made = made
        self.nursery = made.nursery
        self.bus = SlowBus()
        self.evicted: list[Member] = []
        self.sweeper = Sweeper(
            Coalesced(),
            counters=made.counters,
            backlog=made.backlog,
            evict=self._evict,
            pause=Resync(counters=made.counters, evict=self._evict).pause,
            observe=lambda _seconds: None,
        )
        self.hub = Hub(
            self.bus,
            history_messages=HISTORY,
            history_bytes=PLENTY,
            counters=made.counters,
            wake=self.sweeper.wake,
            evict=self._evict,
            policy_of=RoomPolicies().of,
            kick=self._evict,
            log_reset=lambda member, _: self._evict(member),
        )

    def _evict(self, member: Member) -> None:
        self.evicted.append(member)
        member.outbox.close()

    def seat(self, client_id: str | None = "alice", **how: Any) -> Seat:
        seat = self.made.take(client_id, **how)
        self.hub.add(seat.member)
        return seat

    async def join(
        self, seat: Seat, room: str = "tea", *, since: Position | None = None, history: int = 0, watch: bool = False
    ) -> Replay:
        _, replay = await self.hub.join(
            seat.member, room, since=since, history=history, budget_bytes=PLENTY, watch=watch
        )
        return replay

    async def joined(self, client_id: str | None = "alice", room: str = "tea", **how: Any) -> Seat:
        seat = self.seat(client_id, **how)
        await self.join(seat, room)
        return seat

    async def say(self, count: int = 1, room: str = "tea") -> None:
        for _ in range(count):
            await self.hub.publish(room, "bob", "hi")

    async def heard(self, *seats: Seat) -> list[list[int]]:
        await wait_all_tasks_blocked()
        return [seat.seqs for seat in seats]


@asynccontextmanager
async def hub() -> AsyncIterator[Joined]:
    async with seats() as made:
        node = Joined(made)
        await made.nursery.start(node.bus.run, node.hub.deliver)
        made.nursery.start_soon(node.sweeper.run)
        yield node


def _said(replay: Replay) -> int:
    return len(replay.payloads)


# --- opening a room -------------------------------------------------------------------------------------------------


async def test_the_first_to_join_opens_a_room_and_the_last_to_leave_closes_it() -> None:
    """A node follows exactly the rooms in which it has members."""
    async with hub() as node:
        one, two = await node.joined("one"), await node.joined("two")
        assert (set(node.hub.rooms), node.bus.follows) == ({"tea"}, ["tea"])
        node.hub.leave(one.member, "tea")
        assert set(node.hub.rooms) == {"tea"}
        node.hub.leave(two.member, "tea")
        assert (node.hub.rooms, await node.bus.rooms()) == ({}, [])


async def test_many_who_join_at_once_open_a_room_once() -> None:
    """The others wait for the one who asked the bus."""
    async with hub() as node:
        node.bus.hold()
        waiting = [node.seat(f"client-{n}") for n in range(5)]
        async with trio.open_nursery() as nursery:
            for seat in waiting:
                nursery.start_soon(node.join, seat)
            await wait_all_tasks_blocked()
            node.bus.open.set()
        assert node.bus.follows == ["tea"]
        assert set(node.hub.rooms["tea"].members) == {seat.member for seat in waiting}


async def test_what_is_said_while_a_room_opens_is_not_lost() -> None:
    """It arrives before the page does, and belongs to the past of whoever joins."""
    async with hub() as node:
        await node.say(2)
        node.bus.page_arrives = trio.Event()
        seat = node.seat()
        replays: list[Replay] = []

        async def join() -> None:
            replays.append(await node.join(seat, history=HISTORY))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(join)
            await wait_all_tasks_blocked()
            await node.say(3)
            node.bus.page_arrives.set()
        await node.say(1)
        assert [_said(replay) for replay in replays] == [5]
        assert await node.heard(seat) == [[6]]


@pytest.mark.parametrize("passes", range(8))
async def test_a_joiner_cancelled_while_opening_leaves_the_room_to_the_others(passes: int) -> None:
    """At any moment: the next one opens it, and nobody is left behind in it."""
    async with hub() as node:
        first, second = node.seat("first"), node.seat("second")
        scope = trio.CancelScope()

        async def join_and_be_cancelled() -> None:
            with scope:
                await node.join(first)
                await trio.sleep_forever()

        node.nursery.start_soon(join_and_be_cancelled)
        node.nursery.start_soon(node.join, second)
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        scope.cancel()
        await wait_all_tasks_blocked()
        node.hub.remove(first.member)
        assert set(node.hub.rooms["tea"].members) == {second.member}
        assert await node.bus.presence("tea") == {"second": 1}
        await node.say()
        assert await node.heard(second) == [[1]]


async def test_a_bus_that_refuses_leaves_nobody_half_in_a_room() -> None:
    """The error reaches the one who asked; the next attempt works."""
    async with hub() as node:
        node.bus.error = BusError("not now")
        seat = node.seat()
        with pytest.raises(BusError, match="not now"):
            await node.join(seat)
        assert (node.hub.rooms, seat.member.session.rooms) == ({}, set())
        node.bus.error = None
        await node.join(seat)
        assert await node.bus.presence("tea") == {"alice": 1}


async def test_a_bus_that_refuses_to_follow_takes_presence_back() -> None:
    """Entered and not in the room would haunt it for ever."""
    async with hub() as node:
        seat = node.seat()

        async def refuse(room: str) -> Page:
            raise BusError(f"cannot follow {room}")

        node.bus.follow = refuse  # type: ignore[method-assign]
        with pytest.raises(BusError, match="cannot follow tea"):
            await node.join(seat)
        assert await node.bus.presence("tea") == {}


async def test_a_room_that_was_closed_and_opened_again_goes_on_where_it_was() -> None:
    """The bus remembers it."""
    async with hub() as node:
        seat = await node.joined()
        await node.say(3)
        epoch = node.hub.rooms["tea"].epoch
        node.hub.leave(seat.member, "tea")
        await node.say(2)
        replay = await node.join(seat, since=Position(epoch, 2))
        assert (_said(replay), replay.recovered) == (3, True)


# --- joining and leaving --------------------------------------------------------------------------------------------


async def test_a_member_hears_what_follows_its_join_until_it_leaves() -> None:
    """Not a message more, not a message less."""
    async with hub() as node:
        stays = await node.joined("stays")
        await node.say(2)
        comes = await node.joined("comes")
        await node.say(2)
        await wait_all_tasks_blocked()
        node.hub.leave(comes.member, "tea")
        await node.say(2)
        assert await node.heard(stays, comes) == [[1, 2, 3, 4, 5, 6], [3, 4]]


@settings(max_examples=50)
@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 15), st.booleans())
def test_resume_and_live_messages_are_exactly_what_followed(
    before: int, missed: int, after: int, emptied: bool
) -> None:
    """For any history: recovered means everything after `since`, once; otherwise the client is told."""

    async def scenario() -> None:
        async with hub() as node:
            witness = await node.joined("witness")
            seat = await node.joined()
            await node.say(before)
            position = Position(node.hub.rooms["tea"].epoch, before)
            await node.heard(seat)
            node.hub.remove(seat.member)
            if emptied:
                node.hub.remove(witness.member)
            await node.say(missed)
            again = node.seat()
            replay = await node.join(again, since=position)
            replayed = list(range(before + 1, before + missed + 1))
            await node.say(after)
            live = list(range(before + missed + 1, before + missed + after + 1))
            assert await node.heard(again) == [live]
            # A room in which nothing was ever said has no epoch to come back to.
            assert replay.recovered == (missed <= HISTORY and not (emptied and not before))
            assert _said(replay) == (len(replayed) if replay.recovered else 0)

    trio.run(scenario)


async def test_a_connection_that_ends_leaves_everything() -> None:
    """All rooms, presence, private messages, and the list of connections."""
    async with hub() as node:
        seat = await node.joined()
        await node.join(seat, "bar")
        node.hub.remove(seat.member)
        assert (node.hub.rooms, node.hub.members, await node.bus.rooms()) == ({}, {}, [])
        await node.bus.send_direct(_direct("alice"))
        assert seat.heard == []


async def test_joining_again_is_not_one_connection_more() -> None:
    """Presence counts connections, not requests."""
    async with hub() as node:
        seat = await node.joined()
        await node.join(seat)
        assert await node.bus.presence("tea") == {"alice": 1}
        node.hub.leave(seat.member, "tea")
        assert await node.bus.presence("tea") == {}


async def test_a_plain_client_enters_presence_when_it_says_its_name() -> None:
    """Until then it listens, and nobody knows who it is."""
    async with hub() as node:
        seat = await node.joined(None, dialect=Dialect.PLAIN)
        assert await node.bus.presence("tea") == {}
        await node.hub.name(seat.member, "alice")
        assert await node.bus.presence("tea") == {"alice": 1}
        await node.bus.send_direct(_direct("alice"))
        assert [said["Message"] for said in seat.heard] == ["psst"]
        node.hub.remove(seat.member)
        assert await node.bus.presence("tea") == {}


async def test_a_client_whose_name_the_bus_did_not_take_can_go() -> None:
    """It was never entered, so nothing is to be taken back."""
    async with hub() as node:
        seat = await node.joined(None, dialect=Dialect.PLAIN)
        node.bus.error = BusError("not now")
        with pytest.raises(BusError):
            await node.hub.name(seat.member, "alice")
        node.hub.remove(seat.member)
        assert (node.hub.rooms, node.hub.members, await node.bus.presence("tea")) == ({}, {}, {})


# --- publishing -----------------------------------------------------------------------------------------------------


async def test_publications_are_counted_once() -> None:
    """A retry with the same id is none."""
    async with hub() as node:
        for id in ("1", "1", "2"):
            await node.hub.publish("tea", "bob", "hi", id)
        assert node.made.counters.publications == 2


async def test_a_draining_node_takes_no_message_any_more() -> None:
    """Nothing accepted, so nothing acknowledged and nothing lost."""
    async with hub() as node:
        seat = await node.joined()
        node.hub.draining = True
        with pytest.raises(BusError, match="draining"):
            await node.say()
        assert (await node.heard(seat), node.made.counters.publications) == ([[]], 0)


async def test_a_message_said_before_anybody_came_is_history_only() -> None:
    """The room exists on the bus, not on this node."""
    async with hub() as node:
        await node.say(2)
        seat = node.seat()
        assert _said(await node.join(seat, history=1)) == 1
        assert (await node.heard(seat), await node.bus.rooms()) == ([[]], [RoomInfo("tea", 2, 1)])


async def test_every_member_is_sent_the_same_bytes() -> None:
    """Both dialects: a chat message has no dialect."""
    async with hub() as node:
        one, two = await node.joined("one"), await node.joined("two", dialect=Dialect.PLAIN)
        await node.hub.publish("tea", "Åsa", 'any "text" 😀')
        await wait_all_tasks_blocked()
        assert one.socket.on_wire == two.socket.on_wire
        assert one.heard[0]["Message"] == 'any "text" 😀'


# --- private messages -----------------------------------------------------------------------------------------------


def _direct(to: str, *, sender: str = "bob", session: str = "") -> DirectDelivery:
    message = DirectMessage(client_id=sender, to=to, text="psst", ts_unix_ms=9, id="2")
    return DirectDelivery(message, session)


async def test_a_private_message_reaches_every_connection_of_both_but_the_sending_one() -> None:
    """The sender's other windows show it as well; nobody else does."""
    async with hub() as node:
        alice = [node.seat("alice") for _ in range(2)]
        sending, other = node.seat("bob"), node.seat("bob")
        stranger = node.seat("carol")
        await node.bus.send_direct(_direct("alice", session=sending.member.session_id))
        told = {"type": "direct", "id": "2", "clientId": "bob", "to": "alice", "Message": "psst", "ts": 9}
        assert [seat.heard for seat in (*alice, other)] == [[told]] * 3
        assert [seat.heard for seat in (sending, stranger)] == [[], []]


async def test_a_private_message_to_oneself_reaches_ones_other_connections_once() -> None:
    """Addressee and sender are one."""
    async with hub() as node:
        sending, other = node.seat("bob"), node.seat("bob")
        await node.bus.send_direct(_direct("bob", session=sending.member.session_id))
        assert [len(seat.heard) for seat in (sending, other)] == [0, 1]


async def test_a_private_message_in_the_plain_dialect_has_its_three_keys() -> None:
    """There is no word for the addressee."""
    async with hub() as node:
        plain = node.seat("alice", dialect=Dialect.PLAIN)
        await node.bus.send_direct(_direct("alice"))
        assert plain.heard == [{"clientId": "bob", "Message": "psst", "ts": 9}]


async def test_a_private_message_to_nobody_is_nothing() -> None:
    """It is not kept."""
    async with hub() as node:
        await node.bus.send_direct(_direct("nobody"))
        late = node.seat("nobody")
        assert late.heard == []


async def test_an_operator_ends_the_connection_wherever_the_order_came_from() -> None:
    """Only the one with that session id, and an id of another node's connection is no error."""
    async with hub() as node:
        one, other = node.seat("alice"), node.seat("alice")
        await node.bus.kick("elsewhere")
        assert node.evicted == []
        await node.bus.kick(one.member.session_id)
        assert node.evicted == [one.member]
        assert not other.member.outbox.closed


async def test_a_private_message_over_the_limit_evicts_its_addressee() -> None:
    """Nothing is dropped in silence."""
    async with hub() as node:
        slow = node.seat("alice", room_bytes=0, limits=QueueLimits(frames=1, bytes=10_000))
        for _ in range(2):
            await node.bus.send_direct(_direct("alice"))
        assert node.evicted == [slow.member]


# --- presence -------------------------------------------------------------------------------------------------------


async def test_those_who_asked_are_told_who_comes_and_goes() -> None:
    """First connection in, last one out; not about oneself, and not those who did not ask."""
    async with hub() as node:
        watcher = node.seat("watcher")
        await node.join(watcher, watch=True)
        other = await node.joined("other")
        one, two = await node.joined("bob"), await node.joined("bob")
        node.hub.remove(one.member)
        node.hub.remove(two.member)
        events = [(said["clientId"], said["event"]) for said in watcher.heard]
        assert events == [("other", "join"), ("bob", "join"), ("bob", "leave")]
        assert watcher.heard[0] == {
            "type": "presence_event",
            "room": "tea",
            "clientId": "other",
            "event": "join",
        }
        assert other.heard == []


async def test_a_watcher_hears_of_its_own_rooms_only() -> None:
    """Presence is the business of those who are there."""
    async with hub() as node:
        watcher = node.seat("watcher")
        await node.join(watcher, watch=True)
        await node.joined("bob", "bar")
        assert watcher.heard == []


async def test_a_watcher_over_its_limit_is_evicted_while_the_others_are_told() -> None:
    """One slow watcher is its own problem."""
    async with hub() as node:
        slow = node.seat("slow", room_bytes=0, limits=QueueLimits(frames=1, bytes=10_000))
        quick = node.seat("quick")
        await node.join(slow, watch=True)
        await node.join(quick, watch=True)
        for n in range(3):
            await node.joined(f"guest-{n}")
        assert node.evicted == [slow.member]
        assert [said["clientId"] for said in quick.heard] == ["guest-0", "guest-1", "guest-2"]


# --- a log that does not go on --------------------------------------------------------------------------------------


async def test_members_of_a_log_that_began_anew_are_ended_before_they_hear_of_it() -> None:
    """What they have and what comes now do not fit together; whoever joins from then on has the new log only."""
    async with hub() as node:
        old = await node.joined("old")
        await node.say(3)
        assert await node.heard(old) == [[1, 2, 3]]
        await node.say(1)  # Not swept yet: it belongs to the log that is gone.
        said = Publication(client_id="bob", text="new", room="tea", seq=1, ts_unix_ms=1)
        node.hub.deliver(LogReset("tea", Page("another", 1, (said,))))
        assert node.evicted == [old.member]
        new = node.seat("new")
        replay = await node.join(new, since=Position("e1", 1), history=HISTORY)
        assert (_said(replay), replay.recovered, node.hub.rooms["tea"].epoch) == (1, False, "another")
        node.hub.deliver(Publication(client_id="bob", text="newer", room="tea", seq=2, ts_unix_ms=1))
        assert await node.heard(new, old) == [[2], [1, 2, 3]]


async def test_a_log_that_nobody_here_follows_may_begin_anew() -> None:
    """The last member left while it was noticed."""
    async with hub() as node:
        node.hub.deliver(LogReset("tea", Page("another", 0, ())))
        assert node.hub.rooms == {}
