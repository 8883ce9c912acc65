"""The client against a scripted server, over memory streams in virtual time."""

from random import Random

import pytest
import trio
from trio.testing import MockClock

from scalechat.client.chat import ChatClient, open_chat
from scalechat.client.errors import ChatEnded, NoAnswer, Rejected, RequestRefused
from scalechat.client.events import Disconnected, Event, Joined, LeftBehind, Reconnected
from scalechat.wire.messages import (
    DirectMessage,
    ErrorAnswer,
    Join,
    Leave,
    Left,
    Position,
    Presence,
    PresenceEvent,
    PresenceMember,
    Publication,
    Publish,
    ReadPresence,
    Reconnect,
    SendDirect,
)

from .peer import MemoryServer, publication

URL = "ws://chat.test/ws"


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


async def take(chat: ChatClient, count: int) -> list[Event]:
    return [await anext(chat) for _ in range(count)]


async def test_enters_its_room_by_a_join_and_hands_over_the_past(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """The URL joins nothing; the first join asks for history and gets it with the event."""
    past = (publication(1), publication(2))

    async def script() -> None:
        async with server.accept() as peer:
            assert peer.query == {"room": [""], "clientId": ["alice"]}
            join = await peer.let_in(seq=2, past=past)
            assert (join.room, join.since, join.history, join.presence) == ("global", None, 20, True)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, client_id="alice", history=20, connect=server.connect) as chat:
            assert await take(chat, 1) == [Joined(room="global", members=1, history=past)]
            assert chat.client_id == "alice"
            assert chat.rooms == ("global",)


async def test_send_returns_the_position_the_server_gave(server: MemoryServer, autojump_clock: MockClock) -> None:
    """`send` ends when the message is kept, with its place in the log."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            said = await peer.asked_to_publish()
            assert (said.text, said.room) == ("hello", "global")
            await peer.acknowledge(said, 7)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            assert await chat.send("hello") == 7


async def test_leaving_the_block_says_goodbye(server: MemoryServer, autojump_clock: MockClock) -> None:
    """The server sees a normal close, not a broken wire."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            assert await peer.closed() == (1000, "bye")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect):
            pass


async def test_leaving_is_bounded_when_the_server_never_answers_the_close(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """A goodbye that nobody answers costs one second."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            # Two messages nobody reads fill the library's queue, so it never sees the Close.
            for _ in range(2):
                await peer.asked_to_publish()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            with trio.move_on_after(1):
                await chat.send("one")
            for text in ("two", "three", "four"):
                with trio.move_on_after(1):
                    await chat.send(text)
            left_at_s = trio.current_time()
        assert trio.current_time() - left_at_s <= 1.0
        nursery.cancel_scope.cancel()


async def test_messages_missed_while_away_arrive_once_and_in_order(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """After a cut the join names the position reached; the replay continues it without a seam."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in(seq=4)
            await peer.say(publication(5))
            await peer.say(publication(6))
            await peer.drop()
        async with server.accept() as peer:
            await peer.welcome()
            join = await peer.asked_to_join()
            assert join.since == Position("e1", 6)
            missed = tuple(publication(seq) for seq in (7, 8))
            await peer.admit(join, seq=8, past=missed, recovered=True)
            await peer.say(publication(9))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect, random=Random(1)) as chat:
            events = await take(chat, 9)
    assert [event.seq for event in events if isinstance(event, Publication)] == [5, 6, 7, 8, 9]
    assert [type(event) for event in events if not isinstance(event, Publication)] == [
        Joined,
        Disconnected,
        Reconnected,
        Joined,
    ]
    resumed = events[5]
    assert resumed == Joined(room="global", members=1, resumed=True, recovered=True, missed=2)


async def test_a_replay_that_repeats_what_was_seen_shows_no_duplicate(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """What is at or below the position reached is never surfaced again."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in(seq=0)
            await peer.say(publication(1))
            await peer.drop()
        async with server.accept() as peer:
            await peer.welcome()
            join = await peer.asked_to_join()
            await peer.admit(join, seq=2, past=(publication(1), publication(2)), recovered=True)
            await peer.say(publication(2))
            await peer.say(publication(3))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            events = await take(chat, 7)
    assert [event.seq for event in events if isinstance(event, Publication)] == [1, 2, 3]


async def test_lost_history_is_said_and_what_is_left_is_shown(server: MemoryServer, autojump_clock: MockClock) -> None:
    """When the log began anew the client knows it, and sees what the new log holds."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in(seq=40)
            await peer.drop()
        async with server.accept() as peer:
            await peer.welcome()
            await peer.admit(await peer.asked_to_join(), epoch="e2", seq=1, past=(publication(1),))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            events = await take(chat, 5)
    assert events[3:] == [Joined(room="global", members=1, resumed=True, recovered=False, missed=1), publication(1)]


async def test_an_unacknowledged_message_is_repeated_with_its_id(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """The ack was lost with the connection: the same id goes out again, after the join."""
    ids: list[str | None] = []

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            ids.append((await peer.asked_to_publish()).id)
            await peer.drop()
        async with server.accept() as peer:
            await peer.let_in()
            said = await peer.asked_to_publish()
            ids.append(said.id)
            await peer.acknowledge(said, 1)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            assert await chat.send("once") == 1
    assert ids[0] is not None
    assert ids[0] == ids[1]


async def test_a_message_said_while_away_waits_for_the_connection(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """Nothing typed during an outage is lost."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.drop()
        async with server.accept() as peer:
            await peer.let_in()
            await peer.acknowledge(await peer.asked_to_publish(), 3)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            gone = (await take(chat, 2))[1]
            assert isinstance(gone, Disconnected)
            assert not chat.is_connected
            assert await chat.send("later") == 3


async def test_a_cancelled_send_is_not_repeated(server: MemoryServer, autojump_clock: MockClock) -> None:
    """Who stops waiting does not want it said again later; the wire stays usable."""
    heard: list[str] = []

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            heard.append((await peer.asked_to_publish()).text)
            await trio.sleep(5)
            await peer.drop()
        async with server.accept() as peer:
            await peer.let_in()
            said = await peer.asked_to_publish()
            heard.append(said.text)
            await peer.acknowledge(said, 1)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            with trio.move_on_after(1):
                await chat.send("never mind")
            await take(chat, 2)  # until the connection is lost
            assert await chat.send("this one") == 1
    assert heard == ["never mind", "this one"]


async def test_a_hole_in_the_numbers_is_never_surfaced(server: MemoryServer, autojump_clock: MockClock) -> None:
    """A message that skips one breaks the connection; the resume brings both in order."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.say(publication(1))
            await peer.say(publication(3))
            await peer.closed()
        async with server.accept() as peer:
            await peer.welcome()
            join = await peer.asked_to_join()
            assert join.since == Position("e1", 1)
            await peer.admit(join, seq=3, past=(publication(2), publication(3)), recovered=True)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            events = await take(chat, 7)
    assert [event.seq for event in events if isinstance(event, Publication)] == [1, 2, 3]


async def test_a_request_refused_by_a_drain_is_repeated_on_the_next_server(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """`busy` while draining is no answer: the caller learns only of the ack."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.say(Reconnect(after_ms=100, reason="draining"))
            said = await peer.asked_to_publish()
            await peer.say(ErrorAnswer(id=said.id, code="busy", detail="the server is draining"))
            await peer.close(4012, "draining; retry after 100 ms")
        async with server.accept() as peer:
            await peer.let_in()
            await peer.acknowledge(await peer.asked_to_publish(), 9)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            assert await chat.send("patience") == 9


async def test_a_close_that_says_for_good_ends_the_chat(server: MemoryServer, autojump_clock: MockClock) -> None:
    """No attempt follows; whatever waits or iterates learns why."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.asked_to_publish()
            await peer.close(4005, "closed by an operator")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            with pytest.raises(ChatEnded, match="closed by an operator"):
                await chat.send("hello?")
            await take(chat, 1)
            with pytest.raises(ChatEnded) as ended:
                await anext(chat)
            assert ended.value.code == 4005
            with pytest.raises(ChatEnded):
                await chat.send("still there?")
    assert len(server.attempts_at_s) == 1


async def test_a_request_without_an_answer_ends_at_its_deadline(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """Nobody waits for ever: the deadline covers reconnects as well."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect, answer_deadline_s=5) as chat:
            asked_s = trio.current_time()
            with pytest.raises(NoAnswer, match="within 5 s"):
                await chat.send("anybody?")
            assert trio.current_time() - asked_s == pytest.approx(5)


async def test_errors_of_the_block_leave_it_as_they_are(server: MemoryServer, autojump_clock: MockClock) -> None:
    """No exception group around what the user's own code raised."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        with pytest.raises(ZeroDivisionError):
            async with open_chat(URL, connect=server.connect):
                _ = 1 / 0


async def test_cancellation_ends_everything_at_once(server: MemoryServer, autojump_clock: MockClock) -> None:
    """A cancelled block takes no time at all, connected or not."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        with trio.move_on_after(5):
            async with open_chat(URL, connect=server.connect):
                await trio.sleep_forever()
        assert trio.current_time() - server.attempts_at_s[0] == pytest.approx(5)
        nursery.cancel_scope.cancel()


async def test_all_requests_reach_the_server_in_their_form(server: MemoryServer, autojump_clock: MockClock) -> None:
    """Direct, join, leave and presence are asked and answered by id."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            direct = await peer.asked()
            assert isinstance(direct, SendDirect)
            assert (direct.to, direct.text) == ("bob", "psst")
            await peer.say(ErrorAnswer(id=direct.id, code="not_found", detail="bob is not here"))
            who = await peer.asked()
            assert isinstance(who, ReadPresence)
            await peer.say(Presence(id=who.id, room="global", members=[PresenceMember("bob", 2)], count=1))
            join = await peer.asked_to_join()
            await peer.admit(join)
            leave = await peer.asked()
            assert isinstance(leave, Leave)
            assert leave.room == "dev"
            await peer.say(Left(id=leave.id, room="dev"))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            with pytest.raises(RequestRefused, match="bob is not here"):
                await chat.direct("bob", "psst")
            assert (await chat.presence()).members == [PresenceMember("bob", 2)]
            assert (await chat.join("dev")).room == "dev"
            assert list(chat.rooms) == ["global", "dev"]
            await chat.leave("dev")
            assert list(chat.rooms) == ["global"]


async def test_what_is_wrong_by_itself_never_reaches_the_server(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """Bad names, foreign rooms and oversize texts are refused here: the server ends who repeats them."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome(message_size_bytes=300)
            await peer.admit(await peer.asked_to_join())
            assert await peer.closed() == (1000, "bye")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            for attempt, code in (
                (chat.join("no spaces"), "bad_name"),
                (chat.join("global"), "already_a_member"),
                (chat.leave("elsewhere"), "not_a_member"),
                (chat.send("x", room="elsewhere"), "not_a_member"),
                (chat.send("x" * 300), "too_large"),
                (chat.direct("../etc", "x"), "bad_name"),
            ):
                with pytest.raises(RequestRefused) as refused:
                    await attempt
                assert refused.value.code == code


async def test_a_room_that_no_longer_lets_us_in_is_left_behind(server: MemoryServer, autojump_clock: MockClock) -> None:
    """After a reconnect the chat goes on without it, and says so."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.drop()
        async with server.accept() as peer:
            await peer.welcome()
            join = await peer.asked_to_join()
            await peer.say(ErrorAnswer(id=join.id, code="forbidden", detail="not any more"))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            events = await take(chat, 4)
            assert events[3] == LeftBehind(room="global", code="forbidden", detail="not any more")
            assert chat.rooms == ()


async def test_other_people_show_as_events_and_unknown_words_are_skipped(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """Presence and private messages arrive typed; what a newer server says is passed over."""
    came = PresenceEvent(room="global", client_id="bob", event="join")
    psst = DirectMessage(id="b1", client_id="bob", to="alice", text="psst", ts_unix_ms=1)

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            await peer.say(came)
            await peer.say_text('{"type":"sticker","of":"a cat"}')
            await peer.say_text("not even JSON")
            await peer.say(psst)
            await peer.say(psst)
            await peer.say(publication(1))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            assert (await take(chat, 4))[1:] == [came, psst, publication(1)]


async def test_a_server_that_is_full_says_when_to_come_back(server: MemoryServer, autojump_clock: MockClock) -> None:
    """Closed before the welcome: one error with the server's words."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.close(4010, "too many connections; retry after 2000 ms")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        with pytest.raises(Rejected, match="too many connections") as refused:
            async with open_chat(URL, connect=server.connect):
                pytest.fail("let in")
    assert refused.value.retry_after_ms == 2_000
    assert not refused.value.lasting


async def test_a_room_that_may_not_be_entered_is_an_error_at_the_start(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """The first join belongs to opening: its refusal is raised, not shown."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.welcome()
            join = await peer.asked_to_join()
            await peer.say(ErrorAnswer(id=join.id, code="forbidden", detail="members only"))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        with pytest.raises(RequestRefused, match="members only"):
            async with open_chat(URL, room="vip", connect=server.connect):
                pytest.fail("let in")


async def test_a_reader_who_does_not_read_loses_nothing(server: MemoryServer, autojump_clock: MockClock) -> None:
    """Beyond the buffer the wire waits; everything is there when reading begins."""
    count = 3_000

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            for seq in range(1, count + 1):
                await peer.say(publication(seq))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            await trio.sleep(600)
            events = await take(chat, count + 1)
            assert [event.seq for event in events[1:] if isinstance(event, Publication)] == list(range(1, count + 1))


async def test_many_senders_at_once_all_get_their_own_answer(server: MemoryServer, autojump_clock: MockClock) -> None:
    """More requests than may be under way: the others wait their turn, and answers go by id."""
    positions: dict[str, int] = {}

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in()
            for _ in range(200):
                said = await peer.asked()
                assert isinstance(said, Publish)
                await peer.acknowledge(said, int(said.text))
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:

            async def say(text: str) -> None:
                positions[text] = await chat.send(text)

            async with trio.open_nursery() as senders:
                for number in range(200):
                    senders.start_soon(say, str(number))
    assert positions == {str(number): number for number in range(200)}


async def test_a_second_join_of_a_reconnect_keeps_the_order_of_rooms(
    server: MemoryServer, autojump_clock: MockClock
) -> None:
    """Every room is resumed from its own position."""

    async def script() -> None:
        async with server.accept() as peer:
            await peer.let_in(seq=5)
            await peer.admit(await peer.asked_to_join(), epoch="d1", seq=50)
            await peer.say(publication(51, room="dev"))
            await peer.drop()
        async with server.accept() as peer:
            await peer.welcome()
            joins: list[Join] = [await peer.asked_to_join() for _ in range(2)]
            assert [(join.room, join.since) for join in joins] == [
                ("global", Position("e1", 5)),
                ("dev", Position("d1", 51)),
            ]
            await peer.admit(joins[0], seq=5, recovered=True)
            await peer.admit(joins[1], epoch="d1", seq=51, recovered=True)
            await peer.closed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script)
        async with open_chat(URL, connect=server.connect) as chat:
            await chat.join("dev")
            events = await take(chat, 7)
    assert [event.room for event in events if isinstance(event, Joined)] == ["global", "dev", "global", "dev"]
