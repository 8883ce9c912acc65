"""The client of the page against a scripted server, in the browser's own WebSockets and in virtual time."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from scalechat.wire.codec import decode_command
from tests.web.peer import Connection, Peer, publication

_OPEN = """
async (options) => {
  const { connect } = await import("/chat.js");
  window.events = [];
  window.results = [];
  window.chat = connect("ws://chat.test/ws", { clientId: "ada", random: () => 0, ...options });
  for (const name of ["state", "joined", "left", "message", "gap", "direct", "presence", "error"])
    chat.on(name, (detail) => events.push([name, { ...detail, code: detail.code ?? null }]));
}
"""
_CALL = """
([name, args]) => {
  const index = results.push(null) - 1;
  chat[name](...args).then(
    (answer) => (results[index] = ["done", answer]),
    (error) => (results[index] = ["failed", error.code]),
  );
}
"""


class Client:
    """The client in the page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def call(self, name: str, *args: object) -> None:
        """Call a method that returns a promise; `results` has what becomes of it."""
        self.page.evaluate(_CALL, [name, args])

    @property
    def results(self) -> list[Any]:
        answers: list[Any] = self.page.evaluate("results")
        return answers

    @property
    def state(self) -> str:
        state: str = self.page.evaluate("chat.status.state")
        return state

    def events(self, name: str) -> list[Any]:
        found: list[Any] = self.page.evaluate("events")
        return [detail for kind, detail in found if kind == name]

    @property
    def shown(self) -> list[int]:
        return [message["seq"] for message in self.events("message")]

    def pass_time(self, ms: int) -> None:
        self.page.clock.run_for(ms)


@pytest.fixture
def client(page: Page, peer: Peer) -> Client:
    page.evaluate(_OPEN, {})
    assert len(peer.connections) == 1
    return Client(page)


@pytest.fixture
def server(client: Client, peer: Peer) -> Connection:
    """The first connection, welcomed, with the room `lab` joined at position 3."""
    first = peer.connections[0]
    first.welcome()
    client.call("join", "lab")
    first.joined(first.take(client.page, "join"), seq=3)
    return first


def come_back(client: Client, peer: Peer) -> Connection:
    """The next connection: without jitter the first retry is at once."""
    client.pass_time(1)
    latest = peer.connections[-1]
    latest.welcome()
    return latest


def test_a_room_is_resumed_from_the_last_message_shown(client: Client, server: Connection, peer: Peer) -> None:
    """After a loss the client asks for what came after its position and shows the overlap once."""
    server.say(**publication(4))
    server.close(1006)
    second = come_back(client, peer)
    request = second.take(client.page, "join")
    assert request["since"] == {"epoch": "e1", "seq": 4}
    second.joined(request, 4, 5, 6, seq=6, recovered=True)
    second.say(**publication(7))
    assert client.shown == [4, 5, 6, 7]
    assert [joined["recovered"] for joined in client.events("joined")] == [True, True]


def test_a_loss_for_good_is_told_before_the_messages_that_follow_it(
    client: Client, server: Connection, peer: Peer
) -> None:
    """`joined` says `recovered: false` and how many messages are missing."""
    server.close(1006)
    second = come_back(client, peer)
    second.joined(second.take(client.page, "join"), 9, seq=9)
    *_, joined = client.events("joined")
    assert (joined["recovered"], joined["missed"]) == (False, 5)
    assert client.shown == [9]


def test_messages_that_overtake_the_answer_to_a_join_wait_for_it(
    client: Client, server: Connection, peer: Peer
) -> None:
    """They are shown after what the answer replays, in order."""
    server.close(1006)
    second = come_back(client, peer)
    request = second.take(client.page, "join")
    second.say(**publication(5))
    assert client.shown == []
    second.joined(request, 4, seq=4, recovered=True)
    assert client.shown == [4, 5]


def test_a_message_without_acknowledgement_goes_again_under_its_id(
    client: Client, server: Connection, peer: Peer
) -> None:
    """It waits until its room is resumed, and its promise is kept by the acknowledgement that comes in the end."""
    client.call("send", "lab", "hello")
    first_try = server.take(client.page, "message")
    server.close(1006)
    second = come_back(client, peer)
    request = second.take(client.page, "join")
    assert second.heard == []
    second.joined(request, seq=3, recovered=True)
    second_try = second.take(client.page, "message")
    assert second_try == first_try
    second.say(type="ack", id=second_try["id"], room="lab", seq=4)
    assert client.results[-1] == ["done", {"id": first_try["id"], "room": "lab", "seq": 4}]


def test_what_is_said_while_disconnected_is_sent_in_order_afterwards(
    client: Client, server: Connection, peer: Peer
) -> None:
    """Nothing is lost and nothing overtakes."""
    server.close(1006)
    for text in ("one", "two", "three"):
        client.call("send", "lab", text)
    second = come_back(client, peer)
    second.joined(second.take(client.page, "join"), seq=3, recovered=True)
    assert [second.take(client.page, "message")["Message"] for _ in range(3)] == ["one", "two", "three"]


def test_the_wait_a_drain_asks_for_is_kept(client: Client, server: Connection, peer: Peer) -> None:
    """`after_ms` of `reconnect` is the shortest wait."""
    server.say(type="reconnect", after_ms=4000, reason="draining")
    server.close(4012, "draining")
    assert client.state == "waiting"
    client.pass_time(3999)
    assert len(peer.connections) == 1
    client.pass_time(1)
    assert len(peer.connections) == 2


def test_the_wait_a_close_reason_asks_for_is_kept(client: Client, server: Connection, peer: Peer) -> None:
    """The reason's machine part is obeyed, and not shown to people."""
    server.close(4008, "too slow; retry after 2500 ms")
    assert client.events("state")[-1]["reason"] == "too slow"
    client.pass_time(2499)
    assert len(peer.connections) == 1
    client.pass_time(1)
    assert len(peer.connections) == 2


def test_waits_grow_until_a_connection_has_lasted(page: Page, peer: Peer) -> None:
    """A server that takes connections and drops them at once is not hammered."""
    page.evaluate(_OPEN.replace("random: () => 0", "random: () => 0.5"), {})
    client = Client(page)
    for wait_ms in (250, 500, 1000, 2000):
        peer.connections[-1].welcome()
        peer.connections[-1].close(1006)
        made = len(peer.connections)
        client.pass_time(wait_ms - 1)
        assert len(peer.connections) == made
        client.pass_time(2)  # a timer with a fraction of a millisecond ends in the next whole one
        assert len(peer.connections) == made + 1
    peer.connections[-1].welcome()
    client.pass_time(6000)
    peer.connections[-1].close(1006)
    made = len(peer.connections)
    client.pass_time(251)
    assert len(peer.connections) == made + 1


@pytest.mark.parametrize("code", [1008, 4001, 4003, 4005])
def test_a_final_end_is_final(client: Client, server: Connection, peer: Peer, code: int) -> None:
    """Where coming back would not help, the client stays away and gives up what was waiting."""
    client.call("send", "lab", "hello")
    server.take(client.page, "message")
    server.close(code, "no more of you")
    assert client.state == "closed"
    assert client.results[-1] == ["failed", "closed"]
    client.pass_time(120_000)
    assert len(peer.connections) == 1


def test_a_silent_link_is_asked_and_then_given_up(client: Client, server: Connection, peer: Peer) -> None:
    """No word for a heartbeat: one question; no answer to it: the link is dead, whatever TCP believes."""
    client.pass_time(27_500)
    server.take(client.page, "history")
    assert len(peer.connections) == 1
    client.pass_time(12_500)
    assert len(peer.connections) == 2


def test_a_link_that_answers_is_kept(client: Client, server: Connection, peer: Peer) -> None:
    """Hours of a quiet room cost a question now and then, no reconnect."""
    for _ in range(5):
        client.pass_time(27_500)
        question = server.take(client.page, "history")
        server.say(type="history", id=question["id"], room="lab", epoch="e1", messages=[])
    assert len(peer.connections) == 1


def test_a_server_without_room_is_asked_again(client: Client, server: Connection, peer: Peer) -> None:
    """`rate_limited` and `busy` are passing: the message waits and goes again, its promise stays open."""
    client.call("send", "lab", "hello")
    message = server.take(client.page, "message")
    server.say(type="error", code="rate_limited", detail="too fast", id=message["id"])
    client.pass_time(2000)
    assert server.take(client.page, "message") == message
    assert client.results[-1] is None


def test_a_refused_message_fails_its_promise(client: Client, server: Connection) -> None:
    """The server's word for it is the error's code."""
    client.call("send", "lab", "hello")
    message = server.take(client.page, "message")
    server.say(type="error", code="forbidden", detail="no", id=message["id"])
    assert client.results[-1] == ["failed", "forbidden"]


def test_a_room_that_refuses_is_not_asked_again(client: Client, server: Connection, peer: Peer) -> None:
    """A refused join fails, and the next connection does not try it."""
    client.call("join", "vault")
    request = server.take(client.page, "join")
    server.say(type="error", code="forbidden", detail="no", id=request["id"])
    assert client.results[-1] == ["failed", "forbidden"]
    server.close(1006)
    second = come_back(client, peer)
    assert second.take(client.page, "join")["room"] == "lab"
    assert second.heard == []


def test_a_message_too_large_for_the_server_never_leaves(client: Client, peer: Peer) -> None:
    """Bytes count, not characters: the server would end the connection."""
    server = peer.connections[0]
    server.welcome(message_size_bytes=300)
    client.call("direct", "bob", "é" * 100)
    client.call("direct", "bob", "é" * 150)
    assert server.take(client.page, "direct")["Message"] == "é" * 100
    assert client.results == [None, ["failed", "too_large"]]


def test_a_direct_message_that_comes_twice_is_shown_once(client: Client, server: Connection) -> None:
    """Its sender repeats it when the acknowledgement was lost; without an id nobody can tell."""
    direct = {"type": "direct", "clientId": "bob", "to": "ada", "Message": "psst", "ts": 1}
    for _ in range(2):
        server.say(**direct, id="x")
    for _ in range(2):
        server.say(**direct)
    assert len(client.events("direct")) == 3


def test_unknown_answers_and_keys_are_ignored(client: Client, server: Connection) -> None:
    """The protocol may grow."""
    server.say(type="fireworks", colour="red")
    server.say(**publication(4), mood="good")
    assert client.shown == [4]
    assert client.events("error") == []


def test_a_fault_in_a_listener_does_not_end_the_conversation(client: Client, server: Connection) -> None:
    """The next message is still given, and the fault is reported where faults are."""
    client.page.evaluate(
        """() => {
          window.faults = [];
          window.addEventListener("error", ({ error }) => faults.push(error.message));
          chat.on("message", () => { throw new Error("mine"); });
        }"""
    )
    server.say(**publication(4))
    server.say(**publication(5))
    assert client.shown == [4, 5]
    assert client.page.evaluate("faults") == ["mine", "mine"]


def test_the_token_travels_and_the_name_comes_back(page: Page, peer: Peer) -> None:
    """With a token the name is the token's affair: none is sent, and `welcome` tells it."""
    page.evaluate(_OPEN, {"clientId": None, "token": "t.o.k"})
    [connection] = peer.connections
    assert "token=t.o.k" in connection.url
    assert "clientId" not in connection.url
    connection.welcome()
    assert page.evaluate("chat.clientId") == "ada"


def test_every_frame_is_json_the_server_understands(client: Client, server: Connection) -> None:
    """What the client sends decodes as a command of the wire package."""
    client.call("send", "lab", "hello ❤")
    client.call("direct", "bob", "psst")
    client.call("presence", "lab")
    client.call("history", "lab", {"before": 3, "limit": 10})
    client.page.evaluate("chat.join('tea', {history: 5, presence: true}); chat.leave('lab')")
    kinds = ("message", "direct", "presence", "history", "join", "leave")
    frames = [server.take(client.page, kind) for kind in kinds]
    names = [type(decode_command(json.dumps(frame).encode())).__name__ for frame in frames]
    assert names == ["Publish", "SendDirect", "ReadPresence", "ReadHistory", "Join", "Leave"]
