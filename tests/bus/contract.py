"""The promises of `scalechat.bus.base`, one test each, for any bus. Collected by ``test_contract.py``.

Nothing here sleeps or names an implementation. Where a promise is about what does *not* happen, `OpenBus.settle` says
when it would have.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest
import trio

from scalechat.bus.base import DirectDelivery, Event, Kick, PresenceChange, Receipt, RoomInfo
from scalechat.wire.messages import DirectMessage, Publication
from tests.bus.cancelling import at_every_wait, cancelled_at
from tests.bus.opening import HISTORY, OpenBus

E = TypeVar("E", bound=Event)


def of_kind(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def seqs(publications: Sequence[Publication]) -> list[int]:
    return [publication.seq for publication in publications]


def live(node: OpenBus, room: str = "tea") -> list[int]:
    """Positions delivered in a room so far."""
    return [publication.seq for publication in of_kind(node.events, Publication) if publication.room == room]


def direct(text: str) -> DirectDelivery:
    message = DirectMessage(client_id="alice", to="bob", text=text, ts_unix_ms=5, id="1")
    return DirectDelivery(message, sender_session="s1")


async def say(node: OpenBus, count: int, room: str = "tea") -> None:
    for n in range(count):
        await node.bus.publish(room, "alice", f"text {n}")


class BusContract:
    # --- order ------------------------------------------------------------------------------------------------------

    async def test_positions_have_no_holes_and_no_doubles(self, node: OpenBus) -> None:
        """Publishers that do not know of each other share the positions 1, 2, 3…"""
        taken: list[int] = []

        async def publish(client: str) -> None:
            for _ in range(5):
                taken.append((await node.bus.publish("tea", client, "hi")).seq)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for n in range(5):
                nursery.start_soon(publish, f"client-{n}")
        assert sorted(taken) == list(range(1, 26))

    async def test_delivery_is_in_the_order_of_positions(self, node: OpenBus) -> None:
        """However the publishers interleave."""
        await node.bus.follow("tea")
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(say, node, 4)
        await node.settle()
        assert live(node) == list(range(1, 21))

    async def test_each_room_counts_for_itself(self, node: OpenBus) -> None:
        """A position says nothing about another room."""
        await say(node, 3, "tea")
        assert await node.bus.publish("bar", "alice", "hi") == Receipt(1, duplicate=False)

    async def test_a_publication_arrives_as_it_was_said(self, node: OpenBus) -> None:
        """Speaker, text, room, id and position; stamped with a Unix time in ms."""
        await node.bus.follow("tea")
        await node.bus.publish("tea", "Åsa", 'any "text"\n語 😀 \x00', "my-id")
        await node.settle()
        (said,) = of_kind(node.events, Publication)
        assert (said.client_id, said.text, said.room, said.seq, said.id) == (
            "Åsa",
            'any "text"\n語 😀 \x00',
            "tea",
            1,
            "my-id",
        )
        assert said.ts_unix_ms > 1_600_000_000_000

    # --- following --------------------------------------------------------------------------------------------------

    async def test_an_empty_room_begins_before_its_first_position(self, node: OpenBus) -> None:
        """Position 0 of an epoch."""
        page = await node.bus.follow("tea")
        assert (page.seq, list(page.publications), bool(page.epoch)) == (0, [], True)

    async def test_follow_gives_the_tail_and_delivery_goes_on_from_there(self, node: OpenBus) -> None:
        """No gap and no double between the page and what is delivered."""
        await say(node, 3)
        page = await node.bus.follow("tea")
        await say(node, 3)
        await node.settle()
        assert (page.seq, seqs(page.publications), live(node)) == (3, [1, 2, 3], [4, 5, 6])

    async def test_following_while_others_speak_misses_nothing(self, node: OpenBus) -> None:
        """The join of page and delivery is exact at whatever moment it happens."""
        pages = []

        async def follow() -> None:
            await trio.lowlevel.checkpoint()
            pages.append(await node.bus.follow("tea"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, node, HISTORY // 2)
            nursery.start_soon(follow)
            nursery.start_soon(say, node, HISTORY // 2)
        await node.settle()
        assert seqs(pages[0].publications) + live(node) == list(range(1, HISTORY + 1))

    async def test_what_is_said_in_a_room_that_nobody_follows_is_not_delivered(self, node: OpenBus) -> None:
        """A node is given what its rooms need, not everything."""
        await node.bus.follow("bar")
        await say(node, 3, "tea")
        await node.settle()
        assert node.events == []

    async def test_nothing_is_delivered_after_unfollow(self, node: OpenBus) -> None:
        """The end of following is as exact as its beginning."""
        await node.bus.follow("tea")
        await say(node, 2)
        await node.settle()
        node.bus.unfollow("tea")
        await say(node, 2)
        await node.settle()
        assert live(node) == [1, 2]

    async def test_a_room_followed_again_shows_what_was_said_meanwhile(self, node: OpenBus) -> None:
        """Same epoch, positions go on."""
        before = await node.bus.follow("tea")
        await say(node, 1)
        node.bus.unfollow("tea")
        await say(node, 2)
        after = await node.bus.follow("tea")
        assert (after.epoch, after.seq, seqs(after.publications)) == (before.epoch, 3, [1, 2, 3])

    async def test_the_tail_is_the_newest_of_a_long_log(self, node: OpenBus) -> None:
        """At least so many as were asked to be kept, ending at the newest position."""
        await say(node, 3 * HISTORY)
        page = await node.bus.follow("tea")
        kept = seqs(page.publications)
        assert len(kept) >= HISTORY
        assert kept == list(range(3 * HISTORY + 1 - len(kept), 3 * HISTORY + 1))

    # --- once -------------------------------------------------------------------------------------------------------

    async def test_a_repeated_id_gets_its_first_receipt_again(self, node: OpenBus) -> None:
        """And nobody hears it twice."""
        await node.bus.follow("tea")
        first = await node.bus.publish("tea", "alice", "hi", "1")
        await node.bus.publish("tea", "bob", "in between", "2")
        again = await node.bus.publish("tea", "alice", "hi", "1")
        await node.settle()
        assert (first, again) == (Receipt(1, duplicate=False), Receipt(1, duplicate=True))
        assert live(node) == [1, 2]

    async def test_an_id_belongs_to_its_speaker_and_room(self, node: OpenBus) -> None:
        """Clients choose ids without asking each other."""
        await node.bus.publish("tea", "alice", "hi", "1")
        assert await node.bus.publish("tea", "bob", "hi", "1") == Receipt(2, duplicate=False)
        assert await node.bus.publish("bar", "alice", "hi", "1") == Receipt(1, duplicate=False)

    async def test_speaker_and_id_are_not_mixed_up(self, node: OpenBus) -> None:
        """Two pairs that read alike when written one after the other are two pairs."""
        await node.bus.publish("tea", "a", "hi", "b-c")
        for client, id in (("a-b", "c"), ("a-", "b-c"), ("", "ab-c")):
            assert not (await node.bus.publish("tea", client, "hi", id)).duplicate

    async def test_messages_without_an_id_are_never_the_same(self, node: OpenBus) -> None:
        """Saying a thing twice is allowed."""
        receipts = [await node.bus.publish("tea", "alice", "hi") for _ in range(2)]
        assert receipts == [Receipt(1, duplicate=False), Receipt(2, duplicate=False)]

    async def test_a_retry_at_the_same_moment_is_one_message(self, node: OpenBus) -> None:
        """Two connections of one client retry together after a reconnect."""
        await node.bus.follow("tea")
        receipts: list[Receipt] = []

        async def publish() -> None:
            receipts.append(await node.bus.publish("tea", "alice", "hi", "1"))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(publish)
        await node.settle()
        assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True, True]
        assert live(node) == [1]

    # --- history ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "before, limit, expected",
        [
            (None, 3, [4, 5, 6]),
            (None, 100, [1, 2, 3, 4, 5, 6]),
            (None, 0, []),
            (6, 2, [4, 5]),
            (4, 100, [1, 2, 3]),
            (2, 5, [1]),
            (1, 5, []),
            (0, 5, []),
            (-3, 5, []),
            (7, 2, [5, 6]),
            (10**20, 2, [5, 6]),
            (4, 0, []),
        ],
    )
    async def test_history_is_read_page_by_page(
        self, node: OpenBus, before: int | None, limit: int, expected: list[int]
    ) -> None:
        """The newest `limit` below `before`, oldest first; the page tells the newest position as well."""
        await say(node, 6)
        page = await node.bus.history("tea", before=before, limit=limit)
        assert (page.seq, seqs(page.publications)) == (6, expected)

    async def test_history_ends_where_the_log_was_trimmed(self, node: OpenBus) -> None:
        """Positions stay what they were; asking for what is gone gives nothing."""
        await say(node, 3 * HISTORY)
        page = await node.bus.history("tea", before=2 * HISTORY + 3, limit=2)
        gone = await node.bus.history("tea", before=2, limit=5)
        assert (seqs(page.publications), seqs(gone.publications)) == ([2 * HISTORY + 1, 2 * HISTORY + 2], [])

    async def test_history_and_follow_name_the_same_epoch(self, node: OpenBus) -> None:
        """A client may mix both."""
        await say(node, 1)
        page = await node.bus.history("tea")
        assert page.epoch == (await node.bus.follow("tea")).epoch

    async def test_a_room_that_never_was_has_no_history(self, node: OpenBus) -> None:
        """And asking does not make it one."""
        page = await node.bus.history("nowhere")
        assert (page.seq, list(page.publications), await node.bus.rooms()) == (0, [], [])

    # --- epochs -----------------------------------------------------------------------------------------------------

    async def test_a_log_that_began_anew_has_a_new_epoch(self, node: OpenBus) -> None:
        """Positions of the old one are never mistaken for positions of the new one."""
        before = await node.bus.follow("tea")
        await say(node, 3)
        node.bus.unfollow("tea")
        await node.forget("tea")
        after = await node.bus.follow("tea")
        assert (after.epoch != before.epoch, after.seq, list(after.publications)) == (True, 0, [])

    # --- presence ---------------------------------------------------------------------------------------------------

    async def test_presence_counts_the_connections_of_each_client(self, node: OpenBus) -> None:
        """Per room; a client with two windows is one client with two connections."""
        for room, client in (("tea", "alice"), ("tea", "alice"), ("tea", "bob"), ("bar", "bob")):
            await node.bus.enter(room, client)
        assert await node.bus.presence("tea") == {"alice": 2, "bob": 1}
        assert [await node.bus.population(room) for room in ("tea", "bar", "den")] == [2, 1, 0]

    async def test_presence_changes_at_the_first_and_the_last_connection(self, node: OpenBus) -> None:
        """What happens in between is nobody's business."""
        await node.bus.follow("tea")
        for step in ("enter", "enter", "exit", "enter", "exit", "exit", "enter"):
            if step == "enter":
                await node.bus.enter("tea", "alice")
            else:
                node.bus.exit("tea", "alice")
        await node.settle()
        assert of_kind(node.events, PresenceChange) == [
            PresenceChange("tea", "alice", entered=True),
            PresenceChange("tea", "alice", entered=False),
            PresenceChange("tea", "alice", entered=True),
        ]

    async def test_an_empty_room_has_nobody(self, node: OpenBus) -> None:
        """The last one out leaves nothing behind."""
        await node.bus.enter("tea", "alice")
        node.bus.exit("tea", "alice")
        await node.settle()
        assert (await node.bus.presence("tea"), await node.bus.population("tea"), await node.bus.rooms()) == ({}, 0, [])

    async def test_a_presence_answer_is_a_snapshot(self, node: OpenBus) -> None:
        """Whoever asked may keep it."""
        await node.bus.enter("tea", "alice")
        snapshot = await node.bus.presence("tea")
        await node.bus.enter("tea", "bob")
        assert snapshot == {"alice": 1}

    # --- rooms ------------------------------------------------------------------------------------------------------

    async def test_rooms_are_listed_by_name_with_their_sizes(self, node: OpenBus) -> None:
        """Every room with members or messages."""
        await say(node, 2, "tea")
        await node.bus.enter("tea", "alice")
        await node.bus.enter("den", "alice")
        await node.bus.enter("den", "bob")
        await say(node, 1, "bar")
        assert await node.bus.rooms() == [RoomInfo("bar", 1, 0), RoomInfo("den", 0, 2), RoomInfo("tea", 2, 1)]

    # --- direct messages --------------------------------------------------------------------------------------------

    async def test_a_private_message_reaches_the_node_without_any_room(self, node: OpenBus) -> None:
        """Whole, in order, with the session that sent it."""
        await node.bus.send_direct(direct("one"))
        await node.bus.send_direct(direct("two"))
        await node.settle()
        assert node.events == [direct("one"), direct("two")]

    async def test_a_private_message_is_not_kept(self, node: OpenBus) -> None:
        """It is in no room's log."""
        await node.bus.send_direct(direct("one"))
        await node.settle()
        assert await node.bus.rooms() == []

    async def test_an_addressee_on_this_node_alone_is_on_no_other(self, node: OpenBus) -> None:
        """A bus may be unsure about a stranger, but one that spans no other node knows that there is none."""
        if not node.bus.spans_nodes:
            assert await node.bus.send_direct(direct("one")) is False

    # --- what an operator asks for ----------------------------------------------------------------------------------

    async def test_a_kick_reaches_the_node_that_asked_for_it_too(self, node: OpenBus) -> None:
        """Whoever has the session is told, once."""
        await node.bus.kick("s1")
        await node.settle()
        assert node.events == [Kick("s1")]

    async def test_caught_up_means_delivered(self, node: OpenBus) -> None:
        """Whatever was published before is with the node when the wait is over."""
        await node.bus.follow("tea")
        await say(node, 5)
        await node.bus.wait_caught_up()
        assert live(node) == [1, 2, 3, 4, 5]

    # --- cancellation -----------------------------------------------------------------------------------------------

    async def test_a_cancelled_publish_is_safely_repeated(self, node: OpenBus) -> None:
        """Kept or not, the retry gives it one position and one delivery, and the order goes on."""
        await node.bus.follow("tea")
        heard = 0

        async def scenario(nth: int) -> bool:
            nonlocal heard
            _, reached = await cancelled_at(nth, lambda: node.bus.publish("tea", "alice", "hi", f"id-{nth}"))
            await node.bus.publish("tea", "alice", "hi", f"id-{nth}")
            await node.settle()
            heard += 1
            assert live(node) == list(range(1, heard + 1))
            return reached

        await at_every_wait(scenario)

    async def test_a_cancelled_follow_has_not_happened(self, node: OpenBus) -> None:
        """The room can be followed again, without gap or double."""

        async def scenario(nth: int) -> bool:
            room = f"room-{nth}"
            await say(node, 2, room)
            done, reached = await cancelled_at(nth, lambda: node.bus.follow(room))
            if not done:
                await node.bus.follow(room)
            await say(node, 2, room)
            await node.settle()
            assert live(node, room) == [3, 4]
            return reached

        await at_every_wait(scenario)

    async def test_a_cancelled_enter_has_not_happened(self, node: OpenBus) -> None:
        """Nobody haunts a room because its connection died while entering."""

        async def scenario(nth: int) -> bool:
            room = f"room-{nth}"
            done, reached = await cancelled_at(nth, lambda: node.bus.enter(room, "alice"))
            await node.settle()
            assert await node.bus.presence(room) == ({"alice": 1} if done else {})
            return reached

        await at_every_wait(scenario)

    @pytest.mark.parametrize(
        "name", ["send_direct", "kick", "wait_caught_up", "history", "presence", "population", "rooms"]
    )
    async def test_a_cancelled_question_changes_nothing(self, node: OpenBus, name: str) -> None:
        """The next one is answered, and delivery goes on."""
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "send_direct": lambda: node.bus.send_direct(direct("x")),
            "kick": lambda: node.bus.kick("s1"),
            "wait_caught_up": node.bus.wait_caught_up,
            "history": lambda: node.bus.history("tea"),
            "presence": lambda: node.bus.presence("tea"),
            "population": lambda: node.bus.population("tea"),
            "rooms": node.bus.rooms,
        }
        await node.bus.follow("tea")
        await node.bus.enter("tea", "alice")

        async def call() -> None:
            await calls[name]()

        said = 0

        async def scenario(nth: int) -> bool:
            nonlocal said
            _, reached = await cancelled_at(nth, call)
            await call()
            await say(node, 1)
            await node.settle()
            said += 1
            assert live(node) == list(range(1, said + 1))
            return reached

        await at_every_wait(scenario)
        assert await node.bus.rooms() == [RoomInfo("tea", said, 1)]
