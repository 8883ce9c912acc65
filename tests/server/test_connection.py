"""One client's life over memory streams, in virtual time: coming in, frames of every kind, and each way to end."""

import itertools
import time

import jwt
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from scalechat.config import ServeConfig
from scalechat.server.connection import GOODBYE_S
from scalechat.server.transport import MAX_PASSED_FRAMES_PER_S
from scalechat.wire import closing

from ..rough import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LOST,
    PING,
    PONG,
    TEXT,
    Closed,
    RoughPeer,
    frame,
    plain,
    request,
    said,
)
from .wired import HAIR_S, Client, Wired, wired

SECRET = "a secret of thirty-two characters"


# --- coming in ------------------------------------------------------------------------------------------------------


async def test_the_handshake_of_each_dialect_names_its_subprotocol(autojump_clock: MockClock) -> None:
    """v1 is confirmed in the answer; a plain client is answered without a subprotocol."""
    async with wired() as node:
        for v1, expected in ((True, "scalechat.v1"), (False, None)):
            peer = RoughPeer(node.connect())
            await peer.send(request(v1=v1))
            status, headers, _ = await peer.answer()
            assert (status, headers.get("sec-websocket-protocol")) == (101, expected)
            assert "sec-websocket-extensions" not in headers
            await peer.aclose()


@pytest.mark.parametrize(
    "target, headers, status, reason",
    [
        ("/ws?room=a/b", {}, 400, "bad_name"),
        ("/ws?clientId=%20", {}, 400, "bad_name"),
        ("/ws?clientId=" + "x" * 65, {}, 400, "bad_name"),
        ("/ws?room=", {}, 400, "bad_name"),  # Only v1 can do without a room.
        ("/ws?history=many", {}, 400, "bad_request"),
        ("/ws?since_epoch=e", {}, 400, "bad_request"),
        ("/ws", {"Origin": "https://elsewhere.example"}, 403, "origin"),
        ("/ws", {"Origin": "null"}, 403, "origin"),
        ("/ws", {"Sec-WebSocket-Protocol": "soap"}, 400, "subprotocol"),
        ("/ws", {"Sec-WebSocket-Version": "12"}, 426, "bad_request"),
        ("/ws", {"Sec-WebSocket-Key": ""}, 400, "bad_request"),
        ("/ws", {"Host": ""}, 400, "bad_request"),
        ("/ws", {"Connection": "keep-alive"}, 400, "bad_request"),
    ],
)
async def test_a_refused_handshake_is_answered_with_a_status_counted_and_over(
    target: str, headers: dict[str, str], status: int, reason: str, autojump_clock: MockClock
) -> None:
    """Every refusal has a status and a reason of its own, and nothing of the connection remains."""
    async with wired() as node:
        peer = RoughPeer(node.connect())
        assert await peer.knock(target, headers) == status
        assert await peer.at_eof()
        assert {name for name, count in node.counters.refusals.items() if count} == {reason}
        assert sum(node.counters.closes.values()) == 0, "what never opened does not close"
        await peer.aclose()
        await wait_all_tasks_blocked()
        node.assert_nobody_left()
        assert node.counters.connection_errors["bug"] == 0


async def test_messages_sent_with_the_handshake_are_answered_after_it(autojump_clock: MockClock) -> None:
    """Early data waits for the welcome; a client that does not wait for its 101 loses nothing."""
    async with wired() as node:
        peer = RoughPeer(node.connect())
        await peer.send(
            request("/ws?clientId=a", v1=True), said(Message="one", id="1"), said(Message="two", id="2"), b"\x81"
        )
        assert (await peer.answer())[0] == 101
        kinds = [said.get("type", "message") for said in await peer.hear_all(6)]
        assert kinds == ["welcome", "joined", "ack", "ack", "message", "message"]
        await peer.send(said(Message="three", id="3")[1:])
        assert (await peer.hear())["id"] == "3"
        await peer.aclose()


async def test_early_data_of_a_client_that_is_refused_is_not_read(autojump_clock: MockClock) -> None:
    """What comes with a handshake that fails is no message."""
    async with wired() as node:
        peer = RoughPeer(node.connect())
        await peer.send(request("/ws?clientId=a", {"Origin": "https://elsewhere.example"}), plain("a", "hello") * 100)
        assert (await peer.answer())[0] == 403
        assert await peer.at_eof()
        assert node.counters.messages_in["message"] == 0
        await peer.aclose()


@pytest.mark.parametrize(
    "settings, reason",
    [
        (ServeConfig(max_connections=1), "max_connections"),
        (ServeConfig(max_connections_per_address=1), "max_connections_per_address"),
    ],
)
async def test_one_connection_too_many_is_told_why_and_when_to_come_back(
    settings: ServeConfig, reason: str, autojump_clock: MockClock
) -> None:
    """Over a cap: 4010 with a time, and the next one gets in as soon as there is room."""
    async with wired(settings) as node:
        async with node.rough("/ws?clientId=a"), node.rough("/ws?clientId=b") as surplus:
            assert await surplus.ended() == Closed(4010, "too many connections; retry after 5000 ms")
            assert node.counters.refusals[reason] == 1
        async with node.rough("/ws?clientId=b") as peer:
            await peer.send(plain("b", "in"))
            assert (await peer.hear())["Message"] == "in"
        node.assert_nobody_left()


async def test_another_address_is_not_counted_with_the_first(autojump_clock: MockClock) -> None:
    """The per-address cap is per address."""
    async with (
        wired(ServeConfig(max_connections_per_address=1)) as node,
        node.client("/ws?clientId=a", address="192.0.2.1") as a,
        node.client("/ws?clientId=b", address="192.0.2.2") as b,
    ):
        await a.say(Message="hello")
        assert (await b.hear())["Message"] == "hello"


# --- tokens ---------------------------------------------------------------------------------------------------------


def token(**claims: object) -> str:
    return jwt.encode({"sub": "alice", **claims}, SECRET, algorithm="HS256")


async def test_a_token_names_its_bearer_and_bounds_its_rooms(autojump_clock: MockClock) -> None:
    """`sub` is the clientId; a room that the token does not name is 4003 in the URL and `forbidden` later."""
    async with wired(ServeConfig(token_secret=SECRET)) as node:
        good = token(rooms=["tea"])
        async with node.client(f"/ws?room=tea&token={good}") as alice:
            assert alice.welcome["clientId"] == "alice"
            assert (await alice.ask(type="join", room="coffee", id="1"))["code"] == "forbidden"
            assert (await alice.ask(type="history", room="coffee", id="2"))["code"] == "forbidden"
            assert (await alice.ask(type="presence", room="tea"))["count"] == 1
        async with node.rough(f"/ws?room=coffee&token={good}") as elsewhere:
            assert (await elsewhere.ended()).code == 4003
        node.assert_nobody_left()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "token=",
        "token=rubbish",
        "token=" + jwt.encode({"sub": "alice"}, "another secret of some length....", algorithm="HS256"),
        "token=" + jwt.encode({"sub": "alice"}, "", algorithm="none"),
        "token=" + jwt.encode({"name": "alice"}, SECRET, algorithm="HS256"),
        "token=" + token(sub=7),
        "token=" + token(exp=1),
        "token=" + token(exp="soon"),
        "token=" + token(rooms="tea"),
        "token=" + token() + "&clientId=bob",
    ],
)
async def test_whoever_has_no_good_token_is_answered_401(bad: str, autojump_clock: MockClock) -> None:
    """No token, a wrong signature, no signature, a missing claim, a wrong one, another's name: 401 and nothing more."""
    async with wired(ServeConfig(token_secret=SECRET)) as node:
        peer = RoughPeer(node.connect())
        await peer.send(request(f"/ws?{bad}"))
        status, headers, body = await peer.answer()
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert b"eyJ" not in body
        assert node.counters.refusals["bad_token"] == 1
        await peer.aclose()


@pytest.mark.parametrize("as_claim", [int, float, str])
async def test_a_connection_ends_when_its_token_does(as_claim: type, autojump_clock: MockClock) -> None:
    """Past `exp`, however the issuer wrote it, the heartbeat ends the connection with 4001; nobody else notices."""
    expires_s = time.time() + 3600
    async with wired(ServeConfig(token_secret=SECRET, heartbeat_s=2.0)) as node:
        node.now_unix_s = expires_s - 10
        async with (
            node.client(f"/ws?token={token(exp=as_claim(int(expires_s)))}") as alice,
            node.client(f"/ws?token={token(sub='bob')}") as bob,
        ):
            await trio.sleep(5)
            assert (await alice.ask(Message="still here", id="1"))["type"] == "ack"
            node.now_unix_s = expires_s
            assert await alice.ended() == Closed(4001, "not authorised: the token has expired")
            assert (await bob.hear())["Message"] == "still here"
            assert (await bob.ask(Message="and I", id="1"))["type"] == "ack"
        assert node.counters.evictions["token_expired"] == 1


async def test_an_expiry_beyond_every_number_is_no_bug(autojump_clock: MockClock) -> None:
    """A claim that cannot be a time is a bad token."""
    async with wired(ServeConfig(token_secret=SECRET)) as node:
        peer = RoughPeer(node.connect())
        assert await peer.knock(f"/ws?token={token(exp=float('inf'))}") == 401
        assert node.counters.connection_errors["bug"] == 0
        await peer.aclose()


# --- frames ---------------------------------------------------------------------------------------------------------


async def test_fragmented_messages_keep_their_place_among_whole_ones(autojump_clock: MockClock) -> None:
    """Whole, fragmented, whole with control frames between: acknowledged in the order they were sent."""
    async with wired() as node, node.rough("/ws?clientId=a", v1=True) as peer:
        whole = said(Message="1", id="1")
        first, second, third = b'{"Message":"2 \xc3', b'\xb3","i', b'd":"2"}'
        fragmented = [
            frame(TEXT, first, fin=False),
            frame(PING, b"between"),
            frame(CONTINUATION, second, fin=False),
            frame(CONTINUATION),
            frame(CONTINUATION, third),
        ]
        fragmented[3] = frame(CONTINUATION, fin=False)
        await peer.send(whole, *fragmented, said(Message="3", id="3"), said(Message="4", id="4"))
        heard = await peer.hear_all(10)
        assert [h["id"] for h in heard if h.get("type") == "ack"] == ["1", "2", "3", "4"]
        assert [h["Message"] for h in heard if "Message" in h] == ["1", "2 ó", "3", "4"]
        assert [h["seq"] for h in heard if "Message" in h] == [1, 2, 3, 4]
        assert peer.pongs == [b"between"]


async def test_a_message_may_arrive_byte_by_byte(autojump_clock: MockClock) -> None:
    """Where the network cuts the bytes changes nothing."""
    async with wired() as node, node.rough("/ws?clientId=a", v1=True) as peer:
        await peer.hear_all(2)
        for byte in said(Message="ó" * 100, id="1") + frame(PING, b"p") + said(Message="2", id="2"):
            await peer.send(bytes([byte]))
        assert [(await peer.hear()).get("id") for _ in range(4)] == ["1", "1", "2", "2"]
        assert peer.pongs == [b"p"]


async def test_pings_are_answered_with_their_payload(autojump_clock: MockClock) -> None:
    """A Pong carries what the Ping did; a Pong that nobody asked for is ignored."""
    async with wired() as node, node.rough("/ws?clientId=a") as peer:
        await peer.send(frame(PONG, b"unasked"), frame(PING, b"x" * 125), plain("a", "after"))
        assert (await peer.hear())["Message"] == "after"
        await peer.send(plain("a", "again"))
        await peer.hear()
        assert peer.pongs == [b"x" * 125]


SIZE = 300
LONG_TEXT = "a" * 300
MULTI_BYTE = "ó" * 151  # 151 characters, 302 bytes.


@pytest.mark.parametrize(
    "sent, code",
    [
        pytest.param(frame(BINARY, b"{}"), 1003, id="binary"),
        pytest.param(frame(BINARY, b"{", fin=False) + frame(CONTINUATION, b"}"), 1003, id="binary in fragments"),
        pytest.param(frame(TEXT, b"x" * (SIZE + 1)), 1009, id="one byte too large"),
        pytest.param(frame(TEXT, b"x" * 200_000), 1009, id="far too large"),
        pytest.param(frame(TEXT, MULTI_BYTE.encode()), 1009, id="too many bytes in fewer characters"),
        pytest.param(
            frame(TEXT, MULTI_BYTE[:100].encode(), fin=False) + frame(CONTINUATION, MULTI_BYTE[100:].encode()),
            1009,
            id="too many bytes in fewer characters, in fragments",
        ),
        pytest.param(
            frame(TEXT, b"x" * 200, fin=False) + frame(CONTINUATION, b"x" * 200), 1009, id="too large in fragments"
        ),
        pytest.param(frame(TEXT, b"x" * (SIZE + 1)) + frame(PING), 1009, id="too large, then a ping"),
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="not UTF-8"),
        pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"("), 1007, id="not UTF-8, fragmented"),
        pytest.param(frame(TEXT, b"{}", masked=False), 1002, id="not masked"),
        pytest.param(frame(TEXT, b"{}", rsv=4), 1002, id="reserved bit"),
        pytest.param(frame(3, b"{}"), 1002, id="reserved opcode"),
        pytest.param(frame(0xB), 1002, id="reserved control opcode"),
        pytest.param(frame(CONTINUATION, b"{}"), 1002, id="continues nothing"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002, id="begins within a message"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="large ping"),
        pytest.param(frame(PING, b"", fin=False), 1002, id="fragmented ping"),
        pytest.param(b"\x81\xfe\x00\x02\0\0\0\0{}", 1002, id="length not minimal"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="close with half a code"),
        pytest.param(frame(CLOSE, b"\x03\xee"), 1002, id="close with a code that never travels"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="close reason not UTF-8"),
    ],
)
async def test_a_frame_that_may_not_be_sent_ends_the_connection_with_its_code(
    sent: bytes, code: int, autojump_clock: MockClock
) -> None:
    """Each violation is closed with the code RFC 6455 has for it, counted under it, and noticed by nobody else."""
    async with wired(ServeConfig(max_message_size_bytes=SIZE)) as node, node.client("/ws?clientId=witness") as witness:
        async with node.rough("/ws?clientId=a") as peer:
            await peer.send(plain("a", "before"), sent, plain("a", "after"))
            assert (await peer.ended()).code == code
            assert await peer.at_eof()
        assert (await witness.hear())["Message"] == "before"
        assert (await witness.ask(Message="witness", id="1"))["seq"] == 2
        assert node.counters.closes[closing.label_of(code)] == 1
        assert node.counters.connection_errors["bug"] == 0
        assert len(node.hub.members) == 1


async def test_a_message_of_exactly_the_size_limit_passes_in_both_lanes(autojump_clock: MockClock) -> None:
    """The limit is the last size that is allowed, whole or in fragments, counted in bytes."""
    overhead = len(b'{"clientId":"a","Message":""}')
    text = "ó" * ((SIZE - overhead) // 2) + "a" * ((SIZE - overhead) % 2)
    payload = b'{"clientId":"a","Message":"%s"}' % text.encode()
    assert len(payload) == SIZE
    async with wired(ServeConfig(max_message_size_bytes=SIZE)) as node, node.rough("/ws?clientId=a") as peer:
        await peer.send(frame(TEXT, payload))
        assert (await peer.hear())["Message"] == text
        await peer.send(frame(TEXT, payload[:150], fin=False), frame(CONTINUATION, payload[150:]))
        assert (await peer.hear())["Message"] == text


@pytest.mark.parametrize("flood", [frame(PING), frame(CONTINUATION, fin=False)], ids=["pings", "empty fragments"])
async def test_a_flood_of_frames_ends_the_connection(flood: bytes, autojump_clock: MockClock) -> None:
    """Control frames and fragments are bounded per second, whatever their size; slower ones pass."""
    async with wired() as node, node.client("/ws?clientId=witness") as witness:
        async with node.rough("/ws?clientId=a") as peer:
            await peer.send(frame(TEXT, b"{", fin=False) if flood == frame(CONTINUATION, fin=False) else b"")
            await peer.send(flood * (MAX_PASSED_FRAMES_PER_S // 2))
            await trio.sleep(2)
            assert len(node.hub.members) == 2
            await peer.send(flood * (MAX_PASSED_FRAMES_PER_S + 1))
            assert await peer.ended() == LOST
        assert node.counters.connection_errors["flood"] == 1
        assert (await witness.ask(Message="served", id="1"))["type"] == "ack"


async def test_fragments_of_one_message_are_bounded_however_slowly_they_come(autojump_clock: MockClock) -> None:
    """A message that never ends and never grows cannot collect empty fragments in memory for ever."""
    async with wired() as node, node.rough("/ws?clientId=a") as peer:
        await peer.send(frame(TEXT, b"{", fin=False))
        with trio.move_on_after(60) as patience:
            async with trio.open_nursery() as nursery:

                async def drip() -> None:
                    while True:
                        await peer.send(frame(CONTINUATION, fin=False) * 500)
                        await trio.sleep(1)

                nursery.start_soon(drip)
                assert await peer.ended() == LOST
                nursery.cancel_scope.cancel()
        assert not patience.cancelled_caught


# --- ending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload, echoed, label",
    [
        (b"", Closed(1005, ""), "no_code"),
        (b"\x03\xe8", Closed(1000, ""), "normal"),
        (b"\x03\xe8bye", Closed(1000, "bye"), "normal"),
        (b"\x03\xe9", Closed(1001, ""), "going_away"),
        (b"\x0f\xa0", Closed(4000, ""), "other"),
    ],
)
async def test_a_client_that_closes_is_answered_in_kind(
    payload: bytes, echoed: Closed, label: str, autojump_clock: MockClock
) -> None:
    """RFC 6455 section 5.5.1: a Close is answered with a Close, then the stream ends; counted by its code."""
    async with wired() as node:
        async with node.rough("/ws?clientId=a") as peer:
            await peer.send(frame(CLOSE, payload), frame(PING), plain("a", "too late"))
            assert await peer.ended() == echoed
            assert await peer.at_eof()
        assert node.counters.closes[label] == 1
        assert node.counters.publications == 0
        node.assert_nobody_left()


async def test_what_was_said_before_a_close_is_delivered(autojump_clock: MockClock) -> None:
    """Messages in front of a Close in the same segment count."""
    async with wired() as node, node.client("/ws?clientId=witness") as witness:
        async with node.rough("/ws?clientId=a") as peer:
            await peer.send(plain("a", "last words"), frame(CLOSE, b"\x03\xe8"))
            assert (await peer.hear())["Message"] == "last words"
        assert (await witness.hear())["Message"] == "last words"


async def test_a_client_that_vanishes_is_gone_at_once(autojump_clock: MockClock) -> None:
    """The end of the stream without a Close frame: 1006 in the metrics, membership over."""
    async with wired() as node:
        async with node.client("/ws?clientId=watcher&presence=1") as watcher:
            async with node.rough("/ws?clientId=a"):
                pass
            assert [(await watcher.hear())["event"] for _ in range(2)] == ["join", "leave"]
        assert node.counters.closes["lost"] == 2
        node.assert_nobody_left()


async def test_a_silent_client_is_pinged_and_then_ended(autojump_clock: MockClock) -> None:
    """Who answers pings stays for ever; who answers none is ended with 1001 within three periods."""
    async with wired(ServeConfig(heartbeat_s=2.0)) as node, node.client("/ws?clientId=polite") as polite:
        async with node.rough("/ws?clientId=mute") as mute:
            began_s = trio.current_time()
            while (got := await mute.frame()).opcode == PING:
                pass
            assert got.opcode == CLOSE
            assert got.payload[:2] == (1001).to_bytes(2, "big")
            assert 4.0 < trio.current_time() - began_s <= 3 * 2.0
        await trio.sleep(100)
        assert (await polite.ask(Message="here", id="1"))["type"] == "ack"
        assert node.counters.evictions["heartbeat"] == 1


async def test_a_client_that_stopped_reading_is_cut_off_in_bounded_time(autojump_clock: MockClock) -> None:
    """4008 takes its place behind nothing, the peer never takes it, and the connection is gone `GOODBYE_S` later."""
    async with wired(ServeConfig(queue_frames=8)) as node, node.client("/ws?clientId=talker") as talker:
        stuck = RoughPeer(node.connect_in_lockstep())
        await stuck.enter("/ws?clientId=stuck")
        assert len(node.hub.members) == 2
        for number in range(20):
            assert (await talker.ask(Message="x", id=str(number)))["type"] == "ack"
            assert (await talker.hear())["Message"] == "x"
        assert len(node.hub.members) == 1, "it is no member from the moment that its queue is full"
        assert node.counters.evictions["queue_full"] == 1
        assert node.admission.connections == 2
        await trio.sleep(GOODBYE_S + HAIR_S)
        assert node.admission.connections == 1
        assert node.counters.closes["too_slow"] == 1
        assert (node.backlog.frames, node.backlog.bytes) == (0, 0)


async def test_a_trickle_is_too_old_before_it_is_too_long(autojump_clock: MockClock) -> None:
    """A queue within its lengths whose head does not move is ended by its age."""
    async with wired(ServeConfig(queue_age_s=3.0)) as node, node.client("/ws?clientId=talker") as talker:
        stuck = RoughPeer(node.connect_in_lockstep())
        await stuck.enter("/ws?clientId=stuck")
        await talker.say(Message="one")
        await trio.sleep(2.5)
        assert len(node.hub.members) == 2
        await trio.sleep(1)
        assert len(node.hub.members) == 1
        assert node.counters.evictions["queue_age"] == 1


async def test_a_slow_client_that_reads_again_finds_what_was_queued_and_then_why_it_was_cut(
    autojump_clock: MockClock,
) -> None:
    """No hole before the end: the frame under way is whole, and the Close names a time to come back."""
    async with wired(ServeConfig(queue_frames=4)) as node, node.client("/ws?clientId=talker") as talker:
        slow = RoughPeer(node.connect_in_lockstep())
        await slow.enter("/ws?clientId=slow")
        for number in range(20):
            await talker.ask(Message=str(number), id=str(number))
            await talker.hear()
        heard: list[str] = []
        while (got := await slow.frame()).opcode == TEXT:
            heard.append(got.payload.decode())
        assert [f'"Message":"{number}"' in text for number, text in enumerate(heard)] == [True] * len(heard)
        assert len(heard) >= 1
        assert Closed(int.from_bytes(got.payload[:2], "big"), got.payload[2:].decode()) == Closed(
            4008, "too slow; retry after 1000 ms"
        )


async def test_a_peer_that_never_ends_its_side_is_cut_after_its_goodbye(autojump_clock: MockClock) -> None:
    """After our Close a peer has `GOODBYE_S` to end; one that stays open, silent, is cut."""
    async with wired() as node, node.rough("/ws?clientId=a") as peer:
        await peer.send(frame(BINARY, b"x"))
        assert (await peer.ended()).code == 1003
        assert node.admission.connections == 1
        await trio.sleep(GOODBYE_S + HAIR_S)
        assert node.admission.connections == 0


async def test_an_operator_can_end_a_connection(autojump_clock: MockClock) -> None:
    """4005, for that connection alone; asking twice changes nothing."""
    async with wired() as node, node.client("/ws?clientId=a") as kicked, node.client("/ws?clientId=a") as stays:
        member = node.hub.members[kicked.welcome["session"]]
        member.end(closing.KICKED)
        member.end(closing.KICKED)
        assert await kicked.ended() == Closed(4005, "closed by an operator")
        assert (await stays.ask(Message="hello", id="1"))["type"] == "ack"


async def test_draining_tells_each_dialect_in_its_own_way(autojump_clock: MockClock) -> None:
    """v1 hears `reconnect`, then 4012; plain has only the code, 1001. Nothing said meanwhile is acknowledged."""
    async with (
        wired() as node,
        node.client("/ws?clientId=a") as v1,
        node.client("/ws?clientId=b", v1=False) as plain_client,
    ):
        node.hub.draining = True
        await v1.say(Message="too late", id="1")
        assert await v1.hears_nothing()
        for member in list(node.hub.members.values()):
            member.end(closing.DRAINING, retry_after_ms=1234)
        assert await v1.hear() == {"type": "reconnect", "after_ms": 1234, "reason": "draining"}
        assert await v1.ended() == Closed(4012, "draining; retry after 1234 ms")
        assert (await plain_client.ended()).code == 1001
        assert node.counters.publications == 0


async def test_whoever_comes_in_while_the_node_begins_to_drain_is_told_as_well(autojump_clock: MockClock) -> None:
    """A handshake that was decided before the drain and finished after it does not hold up the shutdown."""
    async with wired() as node:
        for passes in range(20):
            node.admission.draining = False
            peer = RoughPeer(node.connect())
            await peer.send(request("/ws?clientId=a", v1=True))
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
            node.admission.draining = True
            for member in list(node.hub.members.values()):
                member.end(closing.DRAINING, retry_after_ms=500)
            status, _, _ = await peer.answer()
            assert status in (101, 503)
            if status == 101:
                assert (await peer.ended()).code == 4012, f"after {passes} passes"
            await peer.aclose()
            await wait_all_tasks_blocked()
            node.assert_nobody_left()


# --- being cancelled ------------------------------------------------------------------------------------------------


async def _whole_life(node: Wired, scope: trio.CancelScope) -> None:
    """One v1 client that does everything a client can do, each step after the answer to the last."""
    async with node.client("/ws?clientId=a&presence=1&history=5", scope=scope) as client:
        for command in (
            {"Message": "one", "id": "1"},
            {"type": "join", "room": "tea", "history": 10, "presence": True, "id": "2"},
            {"type": "direct", "to": "witness", "Message": "psst", "id": "3"},
            {"Message": "two", "room": "tea", "id": "4"},
            {"type": "history", "room": "tea", "id": "5"},
            {"type": "presence", "room": "tea", "id": "6"},
            {"type": "leave", "room": "tea", "id": "7"},
            {"type": "nonsense", "id": "8"},
        ):
            await client.say(**command)
            while (await client.hear()).get("id") != command["id"]:
                pass
        await client.websocket.aclose()


async def test_cancelled_anywhere_a_connection_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """Cancelled at every scheduler pass of its life: no member, room, presence, heartbeat or queue of it remains."""
    for passes in itertools.count():
        async with wired() as node, node.client("/ws?clientId=witness") as witness:
            await node.hub.publish("tea", "bob", "before")
            scope = trio.CancelScope()
            finished = False

            async def live(node: Wired = node, scope: trio.CancelScope = scope) -> None:
                nonlocal finished
                with trio.move_on_after(30):
                    try:
                        await _whole_life(node, scope)
                        finished = True
                    except* Exception:  # noqa: BLE001  The client is cut off in the middle of anything.
                        pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(live)
                for _ in range(passes):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
                await wait_all_tasks_blocked()
                _assert_only(node, witness)
                nursery.cancel_scope.cancel()
            while not await witness.hears_nothing():
                pass
            assert (await witness.ask(Message="served", id="1"))["type"] == "ack"
        assert sum(node.counters.connection_errors.values()) == 0
        if finished:
            break
    assert passes > 30, "the life is long enough to be cut in many places"


def _assert_only(node: Wired, witness: Client) -> None:
    assert set(node.hub.members) == {witness.welcome["session"]}
    assert set(node.hub._by_client) == {"witness"}
    assert set(node.hub.rooms) == {"global"}
    assert node.bus._present == {"global": {"witness": 1}}
    assert node.bus._followed == {"global"}
    assert len(node.heartbeat._slot_of) == len(node.heartbeat._owner) == 1
    assert (node.backlog.frames, node.backlog.bytes) == (0, 0)
    assert node.admission.connections == 1
