"""What clients ask and are answered, over real connections on memory streams, in virtual time."""

import json

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from scalechat.config import ServeConfig
from scalechat.wire.session import MAX_ROOMS

from ..rough import TEXT, Closed, frame, plain, said
from .wired import Client, Wired, wired

# --- greeting -------------------------------------------------------------------------------------------------------


async def test_a_v1_client_is_welcomed_and_joined_to_the_room_of_its_url(autojump_clock: MockClock) -> None:
    """First the terms of this connection, then the room's position; nothing else is said unasked."""
    async with (
        wired(ServeConfig(max_message_size_bytes=1000, message_rate_per_s=7.0, heartbeat_s=9.0)) as node,
        node.client("/ws?clientId=alice&room=tea") as alice,
    ):
        session = alice.welcome.pop("session")
        assert list(node.hub.members) == [session]
        assert alice.welcome == {
            "type": "welcome",
            "clientId": "alice",
            "protocol": "scalechat.v1",
            "limits": {"message_size_bytes": 1000, "message_rate_per_s": 7.0},
            "heartbeat_ms": 9000,
        }
        epoch = alice.joined.pop("epoch")
        assert isinstance(epoch, str)
        assert alice.joined == {
            "type": "joined",
            "room": "tea",
            "seq": 0,
            "members": 1,
            "recovered": False,
            "history": [],
        }
        assert await alice.hears_nothing()


async def test_a_v1_client_may_begin_in_no_room_and_without_a_name(autojump_clock: MockClock) -> None:
    """``room=`` joins nothing; a client without an id is given one that nobody else has."""
    async with wired() as node, node.client("/ws?room=") as one, node.client("/ws?room=") as two:
        assert one.welcome["clientId"] != two.welcome["clientId"]
        assert one.welcome["clientId"].startswith("guest-")
        assert node.hub.rooms == {}
        assert (await one.ask(Message="to whom", id="1"))["code"] == "not_a_member"


async def test_a_plain_client_hears_nothing_but_messages(autojump_clock: MockClock) -> None:
    """No welcome, no answers, no presence: the origin's protocol and nothing else."""
    async with (
        wired() as node,
        node.client("/ws?clientId=a", v1=False) as a,
        node.client("/ws?clientId=b&presence=1") as b,
    ):
        await a.say(clientId="a", Message="hello")
        heard = await a.hear()
        assert heard == await b.hear()
        assert heard == {
            "clientId": "a",
            "Message": "hello",
            "room": "global",
            "seq": 1,
            "ts": int(node.now_unix_s * 1000),
        }
        assert await a.hears_nothing()


async def test_every_member_receives_the_same_bytes(autojump_clock: MockClock) -> None:
    """Both dialects, sender included."""
    async with (
        wired() as node,
        node.rough("/ws?clientId=a") as a,
        node.rough("/ws?clientId=b") as b,
        node.rough("/ws?clientId=c", v1=True) as c,
    ):
        await c.hear_all(2)
        await a.send(plain("a", 'naïve \U0001f600 " \\ </script> \x00 \u2028'))
        frames = [await peer.frame() for peer in (a, b, c)]
        assert frames[0] == frames[1] == frames[2]
        assert json.loads(frames[0].payload)["Message"] == 'naïve \U0001f600 " \\ </script> \x00 \u2028'


# --- messages -------------------------------------------------------------------------------------------------------


async def test_an_ack_tells_the_position_and_comes_only_when_asked_for(autojump_clock: MockClock) -> None:
    """With an id: `ack` with room and seq. Without: only the message itself."""
    async with wired() as node, node.client("/ws?clientId=a") as a:
        assert await a.ask(Message="one", id="x") == {"type": "ack", "id": "x", "room": "global", "seq": 1}
        assert (await a.hear())["id"] == "x"
        heard = await a.ask(Message="two")
        assert (heard["seq"], "id" in heard, "type" in heard) == (2, False, False)
        assert await a.hears_nothing()


async def test_a_message_published_again_under_its_id_gets_its_place_again_and_is_not_broadcast(
    autojump_clock: MockClock,
) -> None:
    """Guarantee 4; the ids of two clients are two, and one connection's retry may come from another connection."""
    async with wired() as node, node.client("/ws?clientId=a") as a, node.client("/ws?clientId=b") as b:
        assert (await a.ask(Message="once", id="1"))["seq"] == 1
        await a.hear()
        assert await a.ask(Message="once", id="1") == {"type": "ack", "id": "1", "room": "global", "seq": 1}
        async with node.client("/ws?clientId=a") as again:
            assert (await again.ask(Message="once", id="1"))["seq"] == 1
        assert (await b.hear())["seq"] == 1
        assert (await b.ask(Message="mine", id="1"))["seq"] == 2
        assert (await b.hear())["seq"] == 2
        assert await b.hears_nothing()
        assert node.counters.publications == 2


async def test_a_connection_speaks_under_one_name(autojump_clock: MockClock) -> None:
    """Its own id may be repeated, in any Unicode form; another is `forbidden` in v1 and 1008 in plain."""
    async with wired() as node:
        async with node.client("/ws?clientId=J%C3%A9r%C3%B4me") as v1:
            assert (await v1.ask(clientId="Je\u0301ro\u0302me", Message="hello", id="1"))["type"] == "ack"
            assert (await v1.hear())["clientId"] == "J\u00e9r\u00f4me"
            refused = await v1.ask(clientId="mallory", Message="hello", id="2")
            assert (refused["type"], refused["code"], refused["id"]) == ("error", "forbidden", "2")
        async with node.rough("/ws?clientId=a") as plain_peer:
            await plain_peer.send(plain("mallory", "hello"), plain("a", "hello"))
            assert (await plain_peer.ended()).code == 1008
        assert node.counters.publications == 1


async def test_a_plain_client_without_a_name_takes_that_of_its_first_message(autojump_clock: MockClock) -> None:
    """Until then it reads and is nobody's presence; afterwards it cannot change its name any more."""
    async with wired() as node, node.client("/ws?clientId=watcher&presence=1") as watcher:
        async with node.rough() as nameless:
            await watcher.say(Message="hello")
            assert (await nameless.hear())["Message"] == "hello"
            assert (await watcher.hear())["Message"] == "hello"
            assert (await watcher.ask(type="presence", room="global"))["count"] == 1
            await nameless.send(plain("bob", "it is me"))
            assert await watcher.hear() == {
                "type": "presence_event",
                "room": "global",
                "clientId": "bob",
                "event": "join",
            }
            assert (await watcher.hear())["clientId"] == "bob"
            await watcher.say(type="direct", to="bob", Message="psst")
            await nameless.hear()
            assert (await nameless.hear())["Message"] == "psst"
            await nameless.send(plain("alice", "now I am alice"))
            assert (await nameless.ended()).code == 1008
        assert (await watcher.hear())["event"] == "leave"
        async with node.rough() as badly_named:
            await badly_named.send(plain("a/b", "hello"))
            assert (await badly_named.ended()).code == 1008


async def test_messages_of_one_client_keep_their_order(autojump_clock: MockClock) -> None:
    """A burst in one segment is numbered as it was sent, for every member."""
    async with wired() as node, node.rough("/ws?clientId=a") as a, node.client("/ws?clientId=b") as b:
        await a.send(*(plain("a", str(number)) for number in range(100)))
        heard = [await b.hear() for _ in range(100)]
        assert [(int(h["Message"]), h["seq"]) for h in heard] == [(number, number + 1) for number in range(100)]


# --- rooms ----------------------------------------------------------------------------------------------------------


async def test_rooms_are_apart(autojump_clock: MockClock) -> None:
    """Who is in one room hears nothing of another, and may speak only where it is."""
    async with wired() as node, node.client("/ws?clientId=a&room=tea") as a, node.client("/ws?clientId=b") as b:
        assert (await a.ask(Message="x", room="global", id="1"))["code"] == "not_a_member"
        assert (await b.ask(type="join", room="tea", id="j"))["members"] == 2
        await b.say(Message="for global")
        await b.say(Message="for tea", room="tea")
        assert (await a.hear())["Message"] == "for tea"
        assert [(await b.hear())["room"] for _ in range(2)] == ["global", "tea"]
        assert await b.ask(type="leave", room="tea", id="l") == {"type": "left", "room": "tea", "id": "l"}
        assert (await b.ask(type="leave", room="tea", id="l"))["code"] == "not_a_member"
        assert (await b.ask(Message="x", room="tea", id="2"))["code"] == "not_a_member"
        await a.say(Message="alone")
        assert (await a.hear())["seq"] == 2
        assert await b.hears_nothing()


async def test_names_of_rooms_are_compared_in_one_form(autojump_clock: MockClock) -> None:
    """NFC everywhere: two spellings of one name are one room, in the URL and in commands."""
    async with wired() as node, node.client("/ws?clientId=a&room=caf%C3%A9") as a:
        async with node.client("/ws?clientId=b&room=cafe%CC%81") as b:
            await b.say(Message="hello", room="cafe\u0301")
            assert (await a.hear())["room"] == "caf\u00e9"
        assert list(node.hub.rooms) == ["caf\u00e9"]


async def test_joining_again_resynchronises_and_counts_once(autojump_clock: MockClock) -> None:
    """A second join replays what is asked for; presence and delivery stay as they were."""
    async with wired() as node, node.client("/ws?clientId=a") as a:
        await a.ask(Message="one")
        again = await a.ask(type="join", room="global", history=5, id="j")
        assert (again["members"], [m["Message"] for m in again["history"]]) == (1, ["one"])
        assert (await a.ask(type="presence", room="global"))["members"] == [{"clientId": "a", "connections": 1}]
        assert (await a.ask(Message="two"))["seq"] == 2
        assert await a.hears_nothing()


async def test_a_connection_is_in_a_bounded_number_of_rooms(autojump_clock: MockClock) -> None:
    """One more than `MAX_ROOMS` is refused; after leaving one there is room again."""
    async with wired() as node, node.client("/ws?clientId=a&room=") as a:
        for number in range(MAX_ROOMS):
            assert (await a.ask(type="join", room=f"r{number}"))["type"] == "joined"
        assert (await a.ask(type="join", room="one-more"))["code"] == "forbidden"
        assert (await a.ask(type="join", room="r0"))["type"] == "joined"
        await a.ask(type="leave", room="r0")
        assert (await a.ask(type="join", room="one-more"))["type"] == "joined"


# --- history and resume ---------------------------------------------------------------------------------------------


async def _publish(node: Wired, count: int, room: str = "global") -> None:
    for number in range(count):
        await node.hub.publish(room, "author", f"text {number}")
    await node.sweeper.wait_idle()


async def test_history_is_the_newest_oldest_first_and_pages_backwards(autojump_clock: MockClock) -> None:
    """`limit` and `before` walk the log to its beginning without a hole."""
    async with wired() as node, node.client("/ws?clientId=a&room=") as a:
        await _publish(node, 25)
        seen: list[int] = []
        before: int | None = None
        while True:
            page = await a.ask(type="history", room="global", limit=10, before=before, id="h")
            assert (page["type"], page["room"], page["id"]) == ("history", "global", "h")
            if not page["messages"]:
                break
            seen = [m["seq"] for m in page["messages"]] + seen
            before = page["messages"][0]["seq"]
        assert seen == list(range(1, 26))
        assert (await a.ask(type="history", room="global", limit=0))["messages"] == []
        assert (await a.ask(type="history", room="nowhere"))["messages"] == []
        for odd in (-1, 0, 10**18):
            assert len((await a.ask(type="history", room="global", before=odd, limit=3))["messages"]) in (0, 3)


@pytest.mark.parametrize("v1", [True, False])
async def test_history_may_be_asked_for_in_the_url(v1: bool, autojump_clock: MockClock) -> None:
    """v1 gets it inside `joined`, plain as the messages themselves; it ends where live messages begin."""
    async with wired() as node:
        await _publish(node, 5)
        async with node.client("/ws?clientId=a&history=3", v1=v1) as a:
            await node.hub.publish("global", "author", "live")
            past = a.joined["history"] if v1 else [await a.hear() for _ in range(3)]
            assert [m["seq"] for m in past] == [3, 4, 5]
            assert (await a.hear())["seq"] == 6
            assert await a.hears_nothing()


async def test_an_answer_with_history_never_evicts_who_asked(autojump_clock: MockClock) -> None:
    """However large the log, one answer stays below the queue's limit: the newest that fit, and the connection
    stays."""
    async with wired(ServeConfig(queue_bytes=20_000)) as node, node.client("/ws?clientId=a&room=") as a:
        for number in range(30):
            await node.hub.publish("global", "author", str(number) + "x" * 2000)
        page = await a.ask(type="history", room="global", limit=30)
        assert 3 <= len(page["messages"]) <= 5
        assert page["messages"][-1]["seq"] == 30
        joined = await a.ask(type="join", room="global", history=30)
        assert [m["seq"] for m in joined["history"]] == [m["seq"] for m in page["messages"]]
        missed = await a.ask(type="join", room="global", since={"epoch": joined["epoch"], "seq": 0})
        assert (missed["recovered"], missed["history"]) == (False, [])
        assert len(node.hub.members) == 1


@pytest.mark.parametrize("by_url", [True, False])
async def test_resume_fills_the_gap_and_goes_on_without_hole_or_duplicate(
    by_url: bool, autojump_clock: MockClock
) -> None:
    """Guarantee 3, by URL and by command: everything after `since`, then live, each exactly once."""
    async with wired() as node:
        await _publish(node, 3)
        async with node.client("/ws?clientId=a") as a:
            epoch, seq = a.joined["epoch"], a.joined["seq"]
        await _publish(node, 4)
        target = f"since_epoch={epoch}&since_seq={seq}" if by_url else "room="
        async with node.client(f"/ws?clientId=a&{target}") as back:
            if by_url:
                joined = back.joined
            else:
                joined = await back.ask(type="join", room="global", since={"epoch": epoch, "seq": seq})
            await _publish(node, 2)
            assert joined["recovered"] is True
            seen = [m["seq"] for m in joined["history"]] + [(await back.hear())["seq"] for _ in range(2)]
            assert seen == [4, 5, 6, 7, 8, 9]
            assert joined["seq"] == 7


async def test_a_plain_client_resumes_by_url_as_well(autojump_clock: MockClock) -> None:
    """It has no word for it, but its reconnect URL has."""
    async with wired() as node:
        await _publish(node, 3)
        async with node.client("/ws?clientId=a") as a:
            epoch = a.joined["epoch"]
        async with node.client(f"/ws?clientId=b&since_epoch={epoch}&since_seq=1", v1=False) as back:
            assert [(await back.hear())["seq"] for _ in range(2)] == [2, 3]
            assert await back.hears_nothing()


async def test_a_position_that_the_log_cannot_reach_is_said_to_be_lost(autojump_clock: MockClock) -> None:
    """Another epoch, a position trimmed away or one not given out yet: `recovered` is false, never a silent hole."""
    async with wired(ServeConfig(history_messages=5)) as node, node.client("/ws?clientId=a") as a:
        await _publish(node, 20)
        for _ in range(20):
            await a.hear()
        epoch = a.joined["epoch"]
        for of_epoch, seq, recovered in (
            (epoch, 20, True),
            (epoch, 15, True),
            (epoch, 14, False),
            (epoch, 21, False),
            (epoch, -1, False),
            ("other", 20, False),
        ):
            joined = await a.ask(type="join", room="global", since={"epoch": of_epoch, "seq": seq}, history=2)
            assert joined["recovered"] is recovered, (of_epoch, seq)
            assert [m["seq"] for m in joined["history"]] == (list(range(seq + 1, 21)) if recovered else [19, 20])


# --- presence -------------------------------------------------------------------------------------------------------


async def test_presence_counts_connections_by_client(autojump_clock: MockClock) -> None:
    """Names in order, each with its connections; `count` is of clients."""
    async with wired() as node, node.client("/ws?clientId=b") as b, node.client("/ws?clientId=a"):
        async with node.client("/ws?clientId=b"):
            assert await b.ask(type="presence", room="global", id="p") == {
                "type": "presence",
                "id": "p",
                "room": "global",
                "members": [{"clientId": "a", "connections": 1}, {"clientId": "b", "connections": 2}],
                "count": 2,
            }
        assert (await b.ask(type="presence", room="global"))["members"][1]["connections"] == 1
        assert (await b.ask(type="presence", room="nowhere")) == {
            "type": "presence",
            "room": "nowhere",
            "members": [],
            "count": 0,
        }


async def test_who_asks_for_it_is_told_who_comes_and_goes(autojump_clock: MockClock) -> None:
    """On a client's first connection in and its last one out; those who did not ask hear nothing."""
    async with (
        wired() as node,
        node.client("/ws?clientId=watcher&presence=1") as watcher,
        node.client("/ws?clientId=other") as other,
    ):
        assert (await watcher.hear())["clientId"] == "other"
        async with node.client("/ws?clientId=bob"):
            async with node.client("/ws?clientId=bob"):
                assert await watcher.hear() == {
                    "type": "presence_event",
                    "room": "global",
                    "clientId": "bob",
                    "event": "join",
                }
            assert await watcher.hears_nothing()
        assert (await watcher.hear())["event"] == "leave"
        assert await watcher.hears_nothing()
        assert await other.hears_nothing()


# --- private messages -----------------------------------------------------------------------------------------------


async def test_a_private_message_reaches_all_connections_of_both_parties_but_the_sending_one(
    autojump_clock: MockClock,
) -> None:
    """Each in its own dialect, whatever rooms they are in; nobody else hears it and no log keeps it."""
    async with (
        wired() as node,
        node.client("/ws?clientId=a") as sender,
        node.client("/ws?clientId=a&room=elsewhere") as sender_too,
        node.client("/ws?clientId=b&room=tea") as receiver,
        node.client("/ws?clientId=b", v1=False) as plain_receiver,
        node.client("/ws?clientId=c") as stranger,
    ):
        assert await sender.ask(type="direct", to="b", Message="psst", id="1") == {"type": "ack", "id": "1"}
        for party in (sender_too, receiver):
            heard = await party.hear()
            assert heard.pop("ts") > 0
            assert heard == {"type": "direct", "clientId": "a", "to": "b", "Message": "psst", "id": "1"}
        assert (await plain_receiver.hear()).keys() == {"clientId", "Message", "ts"}
        assert await stranger.hears_nothing()
        assert await sender.hears_nothing()
        assert (await stranger.ask(type="history", room="global"))["messages"] == []


async def test_a_private_message_to_nobody_is_not_acknowledged() -> None:
    """Where the bus knows that no other node has the addressee, the sender is told."""
    async with wired() as node, node.client("/ws?clientId=a") as sender:
        said = await sender.ask(type="direct", to="nobody", Message="psst", id="1")
        assert (said["type"], said["code"], said["id"]) == ("error", "not_found", "1")


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command, code",
    [
        ({"type": "dance", "id": "7"}, "unknown_type"),
        ({"type": "message", "id": "7"}, "bad_message"),
        ({"Message": 5, "id": "7"}, "bad_message"),
        ({"type": "join", "id": "7"}, "bad_message"),
        ({"type": "join", "room": "a b", "id": "7"}, "bad_name"),
        ({"type": "join", "room": ".hidden", "id": "7"}, "bad_name"),
        ({"type": "join", "room": "tea", "history": -1, "id": "7"}, "bad_message"),
        ({"type": "join", "room": "tea", "since": {"epoch": "e"}, "id": "7"}, "bad_message"),
        ({"type": "direct", "Message": "psst", "id": "7"}, "bad_message"),
        ({"type": "direct", "to": "", "Message": "psst", "id": "7"}, "bad_name"),
        ({"type": "leave", "room": "tea", "id": "7"}, "not_a_member"),
        ({"Message": "x", "room": "tea", "id": "7"}, "not_a_member"),
        ({"clientId": "other", "Message": "x", "id": "7"}, "forbidden"),
    ],
)
async def test_an_error_carries_its_requests_id_and_a_code(
    command: dict[str, object], code: str, autojump_clock: MockClock
) -> None:
    """A client can match every refusal to what it asked; the connection goes on."""
    async with wired() as node, node.client("/ws?clientId=a") as a:
        answer = await a.ask(**command)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", code, "7")
        assert answer["detail"]
        assert (await a.ask(Message="fine", id="8"))["type"] == "ack"
        assert node.counters.messages_in == {"message": 1, "bad": 1} | dict.fromkeys(
            ("direct", "join", "leave", "history", "presence"), 0
        )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b"[" * 5000,
        b'{"a":' * 5000,
        b'{"Message":"\\ud800"}',
        b'{"Message":"x","id":"\\udfff"}',
        b'{"Message":"x","id":""}',
        b'{"Message":"x","id":"' + b"y" * 65 + b'"}',
        b'{"Message":"x"} trailing',
        b'{"Message":NaN}',
        b'{"Message":"x","room":"\\u202egnp.exe"}',
    ],
)
async def test_three_bad_messages_within_ten_seconds_end_the_connection(
    payload: bytes, autojump_clock: MockClock
) -> None:
    """Two are answered, the third closes with 1008; the same three spread over time are answered for ever."""
    async with wired() as node:
        async with node.rough("/ws?clientId=a", v1=True) as patient:
            await patient.hear_all(2)
            for _ in range(7):
                await patient.send(frame(TEXT, payload))
                assert (await patient.hear())["type"] == "error"
                await trio.sleep(5)
        async with node.rough("/ws?clientId=a", v1=True) as hasty:
            await hasty.hear_all(2)
            await hasty.send(frame(TEXT, payload) * 4, said(Message="x"))
            assert [(await hasty.hear())["type"] for _ in range(2)] == ["error", "error"]
            assert await hasty.ended() == Closed(1008, "policy violation: 3 bad messages within 10 s")
        async with node.rough("/ws?clientId=a") as plain_peer:
            await plain_peer.send(frame(TEXT, payload))
            assert (await plain_peer.ended()).code == 1008
        assert node.counters.publications == 0
        assert node.counters.connection_errors["bug"] == 0


async def test_who_speaks_too_fast_is_refused_then_ended(autojump_clock: MockClock) -> None:
    """v1: a burst passes, the rest is `rate_limited`, and going on at full speed ends in 4009."""
    async with wired(ServeConfig(message_rate_per_s=10.0)) as node, node.rough("/ws?clientId=a", v1=True) as peer:
        await peer.hear_all(2)
        await peer.send(*(said(Message="x", id=str(number)) for number in range(22)))
        heard = await peer.hear_all(2 * 21 + 1)
        assert [h["id"] for h in heard if h.get("type") == "ack"] == [str(number) for number in range(21)]
        (refused,) = (h for h in heard if h.get("type") == "error")
        assert (refused["code"], refused["id"]) == ("rate_limited", "21")
        await trio.sleep(1)
        await peer.send(said(Message="calm", id="calm"))
        assert (await peer.hear())["type"] == "ack"
        await peer.send(*(said(Message="x", id=str(number)) for number in range(100)))
        assert await peer.ended() == Closed(4009, "rate limit; retry after 2000 ms")
        assert node.counters.evictions["rate_limit"] == 1


async def test_a_plain_client_that_speaks_too_fast_is_ended_at_once(autojump_clock: MockClock) -> None:
    """It has no word for a refusal."""
    async with wired(ServeConfig(message_rate_per_s=10.0)) as node, node.rough("/ws?clientId=a") as peer:
        await peer.send(*(plain("a", "x") for _ in range(22)))
        assert await peer.ended() == Closed(4009, "rate limit; retry after 2000 ms")
        assert node.counters.publications == 21


async def test_a_rate_of_zero_is_no_limit(autojump_clock: MockClock) -> None:
    """0 switches the limit off."""
    async with wired(ServeConfig(message_rate_per_s=0.0)) as node, node.rough("/ws?clientId=a") as peer:
        await peer.send(*(plain("a", "x") for _ in range(500)))
        assert len(await peer.hear_all(500)) == 500


async def test_a_room_that_is_draining_acknowledges_nothing(autojump_clock: MockClock) -> None:
    """What would be lost is not answered, so its sender says it again elsewhere; what only reads is still answered."""
    async with wired() as node, node.client("/ws?clientId=a") as a:
        node.hub.draining = True
        await a.say(Message="x", id="1")
        assert (await a.ask(type="history", room="global", id="2"))["type"] == "history"
        assert node.counters.publications == 0


# --- all of it, at random -------------------------------------------------------------------------------------------

ROOMS = ("global", "tea", "coffee")
COMMANDS = st.one_of(
    st.builds(lambda room: {"Message": "text", "room": room}, st.sampled_from(ROOMS)),
    st.builds(lambda room: {"type": "leave", "room": room}, st.sampled_from(ROOMS)),
    st.builds(
        lambda room, history, watch: {"type": "join", "room": room, "history": history, "presence": watch},
        st.sampled_from(ROOMS),
        st.integers(0, 5),
        st.booleans(),
    ),
    st.builds(lambda to: {"type": "direct", "to": to, "Message": "psst"}, st.sampled_from("abc")),
    st.builds(lambda room: {"type": "presence", "room": room}, st.sampled_from(ROOMS)),
    st.just({"type": "history", "room": "global"}),
)
SCRIPTS = st.lists(st.tuples(st.sampled_from("abc"), COMMANDS), max_size=40)


@given(script=SCRIPTS)
@settings(max_examples=40, deadline=None)
def test_whatever_clients_do_a_member_hears_its_rooms_without_a_hole(
    script: list[tuple[str, dict[str, object]]],
) -> None:
    """For any commands of three clients: between `joined` and `left` each hears every seq once and in order."""
    trio.run(_play, script, clock=MockClock(autojump_threshold=0))


async def _play(script: list[tuple[str, dict[str, object]]]) -> None:
    async with (
        wired(ServeConfig(message_rate_per_s=0.0)) as node,
        node.client("/ws?clientId=a") as a,
        node.client("/ws?clientId=b") as b,
        node.client("/ws?clientId=c") as c,
    ):
        clients = {"a": a, "b": b, "c": c}
        rooms = {name: {"global"} for name in clients}
        for step, (name, command) in enumerate(script):
            room = command.get("room")
            if room not in rooms[name] and command.get("type") in (None, "leave"):
                continue  # Bad messages are another test's business.
            if command.get("type") == "join":
                rooms[name].add(str(room))
            if command.get("type") == "leave":
                rooms[name].discard(str(room))
            await clients[name].say(**command, id=str(step))
            if step % 3 == 0:
                await wait_all_tasks_blocked()
        for client in clients.values():
            await _check(client)


async def _check(client: Client) -> None:
    positions = {"global": 0}
    while not await client.hears_nothing():
        match client.last:
            case {"type": "joined", "room": str(room), "seq": int(seq)}:
                positions[room] = seq
            case {"type": "left", "room": str(room)}:
                del positions[room]
            case {"Message": _, "seq": int(seq), "room": str(room)}:
                positions[room] += 1
                assert seq == positions[room]
            case {"type": str(kind)}:
                assert kind != "error"
