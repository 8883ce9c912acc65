"""Exactly once and in order, for any sequence of talk, cuts and recoveries; without I/O."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scalechat.client.conversation import (
    DIRECTS_REMEMBERED,
    Break,
    ComeBack,
    Conversation,
    Outcome,
    Past,
    Reply,
    Surface,
)
from scalechat.client.events import Joined
from scalechat.wire.codec import EncodeError, decode_command
from scalechat.wire.messages import (
    Ack,
    DirectMessage,
    ErrorAnswer,
    History,
    Join,
    Leave,
    Left,
    Publication,
    Publish,
    ReadHistory,
    Reconnect,
)
from scalechat.wire.messages import Joined as JoinedAnswer

from .peer import publication, raw


def surfaced(outcomes: list[Outcome]) -> list[Publication]:
    found = [outcome.event for outcome in outcomes if isinstance(outcome, Surface)]
    return [event for event in found if isinstance(event, Publication)]


class LossyWorld(RuleBasedStateMachine):
    """A room whose log is the truth, a connection that breaks whenever it likes, and one client.

    Frames travel in order, and any number of them may be lost with a connection: those the
    client sent and those it was about to receive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.client = Conversation("c")
        self.log: list[Publication] = []
        self.epoch = 1
        self.forgotten = 0  # messages that the server's history no longer holds
        self.seen_ids: dict[str, int] = {}  # the server's dedupe window
        self.to_server: list[bytes] | None = None
        self.to_client: list[msgspec.Struct] = []
        self.member = False
        self.seen_epoch = ""
        self.next_seq = 1
        self.loss_told = False
        self.acked: dict[str, int] = {}
        _, _ = self.client.begin(lambda id: Join("global", None, 0, False, id))
        self.said = 0

    # -- the network

    @precondition(lambda self: self.to_server is None)
    @rule()
    def connect(self) -> None:
        frames, _ = self.client.connected()
        self.to_server = list(frames)
        self.to_client = []
        self.member = False

    @precondition(lambda self: self.to_server is not None)
    @rule()
    def cut(self) -> None:
        self.to_server = None
        self.to_client = []
        self.member = False

    @precondition(lambda self: self.to_server)
    @rule()
    def server_reads(self) -> None:
        assert self.to_server is not None
        match decode_command(self.to_server.pop(0)):
            case Join(room=room, since=since, id=id):
                kept = self.log[self.forgotten :]
                recovered = (
                    since is not None
                    and since.epoch == f"e{self.epoch}"
                    and self.forgotten <= since.seq <= len(self.log)
                )
                past = [m for m in kept if since is not None and recovered and m.seq > since.seq]
                if since is not None and not recovered:
                    past = kept
                self.member = True
                self.to_client.append(
                    JoinedAnswer(
                        id=id,
                        room=room,
                        epoch=f"e{self.epoch}",
                        seq=len(self.log),
                        members=1,
                        recovered=recovered,
                        history=raw(*past),
                    )
                )
            case Publish(text=text, id=str(id)):
                if id not in self.seen_ids:
                    self.publish(text, id)
                self.to_client.append(Ack(id=id, room="global", seq=self.seen_ids[id]))

    def publish(self, text: str, id: str | None) -> None:
        message = Publication(client_id="x", text=text, room="global", seq=len(self.log) + 1, ts_unix_ms=0, id=id)
        self.log.append(message)
        if id is not None:
            self.seen_ids[id] = message.seq
        if self.member:
            self.to_client.append(message)

    @precondition(lambda self: self.to_client)
    @rule()
    def client_reads(self) -> None:
        said = self.to_client.pop(0)
        assert isinstance(said, Publication | JoinedAnswer | Ack)
        for outcome in self.client.received(said):
            match outcome:
                case Surface(Publication(seq=seq)):
                    # Each number follows its predecessor; only after a loss that was told may some be missing.
                    assert seq >= self.next_seq if self.loss_told else seq == self.next_seq
                    self.next_seq, self.loss_told = seq + 1, False
                case Surface(Joined(resumed=False)):
                    assert isinstance(said, JoinedAnswer)
                    self.next_seq = said.seq + 1
                case Surface(Joined(recovered=False)):
                    assert isinstance(said, JoinedAnswer)
                    self.loss_told = True
                    if said.epoch != self.seen_epoch:
                        self.next_seq = 1
                case Reply(id, Ack(seq=int(seq))):
                    assert id not in self.acked
                    self.acked[id] = seq
                case Break():
                    pytest.fail("an honest server leaves no hole")
        if isinstance(said, JoinedAnswer):
            self.seen_epoch = said.epoch

    # -- the people

    @rule()
    def somebody_speaks(self) -> None:
        self.publish("by another", None)

    @precondition(lambda self: "global" in self.client.rooms and self.said < 30)
    @rule()
    def client_speaks(self) -> None:
        self.said += 1
        _, frame = self.client.begin(lambda id: Publish(f"mine {id}", "global", None, id))
        if self.to_server is not None:
            self.to_server.append(frame)

    @precondition(lambda self: len(self.log) - self.forgotten > 3)
    @rule()
    def server_forgets(self) -> None:
        self.forgotten = len(self.log) - 2

    @precondition(lambda self: self.to_server is None)
    @rule()
    def server_restarts(self) -> None:
        self.epoch += 1
        self.log = []
        self.seen_ids = {}
        self.forgotten = 0

    def teardown(self) -> None:
        """When the network is good at last, everything said is seen and everything asked is answered."""
        if self.to_server is None:
            self.connect()
        while self.to_server or self.to_client:
            if self.to_server:
                self.server_reads()
            else:
                self.client_reads()
        position = self.client.position("global")
        assert position is not None
        assert (position.epoch, position.seq) == (f"e{self.epoch}", len(self.log))
        assert len(self.acked) == self.said

    # -- what holds at every moment

    @invariant()
    def an_own_message_is_in_the_log_once(self) -> None:
        """However often it was sent, the server holds it once."""
        mine = [message.id for message in self.log if message.id is not None]
        assert len(mine) == len(set(mine))


TestLossyWorld = LossyWorld.TestCase


def joined_conversation(*, seq: int = 0) -> Conversation:
    client = Conversation("c")
    id, _ = client.begin(lambda id: Join("global", None, 20, True, id))
    client.connected()
    client.received(JoinedAnswer(id=id, room="global", epoch="e", seq=seq, members=1, recovered=False, history=[]))
    return client


def test_a_new_connection_rejoins_before_it_repeats() -> None:
    """Messages before the join would be refused: not a member."""
    client = joined_conversation(seq=3)
    client.begin(lambda id: Publish("first", "global", None, id))
    client.begin(lambda id: Publish("second", "global", None, id))
    frames, outcomes = client.connected()
    commands = [decode_command(frame) for frame in frames]
    assert isinstance(commands[0], Join)
    assert commands[0].history == 20
    assert commands[0].presence
    assert [command.text for command in commands[1:] if isinstance(command, Publish)] == ["first", "second"]
    assert outcomes == []


def test_a_pending_leave_is_done_by_the_lost_connection() -> None:
    """It is answered at once and the room is not entered again."""
    client = joined_conversation()
    id, _ = client.begin(lambda id: Leave("global", id))
    frames, outcomes = client.connected()
    assert frames == []
    assert outcomes == [Reply(id, Left(id=id, room="global"))]
    assert client.rooms == ()


def test_a_hole_breaks_and_moves_nothing() -> None:
    """The position stays where the last good message was, so that the resume can fill the hole."""
    client = joined_conversation(seq=1)
    (outcome,) = client.received(publication(3))
    assert isinstance(outcome, Break)
    assert "2 to 2 of global" in outcome.reason
    position = client.position("global")
    assert position is not None
    assert position.seq == 1


def test_recovered_is_believed_only_when_the_numbers_agree() -> None:
    """A server that claims to have replayed everything and did not is not believed."""
    client = joined_conversation(seq=1)
    frames, _ = client.connected()
    id = decode_command(frames[0]).id
    outcomes = client.received(
        JoinedAnswer(
            id=id,
            room="global",
            epoch="e",
            seq=4,
            members=1,
            recovered=True,
            history=raw(publication(3), publication(4)),
        )
    )
    assert outcomes[0] == Surface(Joined(room="global", members=1, resumed=True, recovered=False, missed=2))
    assert [message.seq for message in surfaced(outcomes)] == [3, 4]


def test_messages_of_rooms_we_are_not_in_are_nothing() -> None:
    """What was under way when we left is not shown."""
    client = joined_conversation()
    assert client.received(publication(1, room="elsewhere")) == []


def test_busy_is_an_answer_unless_the_server_drains() -> None:
    """Without a drain nothing would ever repeat the request."""
    client = joined_conversation()
    id, _ = client.begin(lambda id: Publish("x", "global", None, id))
    client.received(Reconnect(after_ms=5, reason="draining"))
    assert client.received(ErrorAnswer(id=id, code="busy", detail="…")) == []
    assert client.is_pending(id)
    client.connected()
    (reply,) = client.received(ErrorAnswer(id=id, code="busy", detail="…"))
    assert isinstance(reply, Reply)


def test_the_notice_to_come_back_is_passed_on() -> None:
    """The one who keeps the connection decides what it means."""
    assert joined_conversation().received(Reconnect(after_ms=5, reason="draining")) == [ComeBack(5)]


def test_history_comes_as_messages_and_skips_what_is_none() -> None:
    """One unreadable entry does not take the others with it."""
    client = joined_conversation()
    id, _ = client.begin(lambda id: ReadHistory("global", None, 5, id))
    entries = [*raw(publication(1)), msgspec.Raw(b'{"type":"sticker"}'), *raw(publication(2))]
    assert client.received(History(id=id, room="global", epoch="e", messages=entries)) == [
        Reply(id, Past((publication(1), publication(2))))
    ]


def test_text_that_is_not_unicode_is_refused_before_it_is_noted() -> None:
    """A lone surrogate cannot be sent, and must not wait for ever either."""
    client = joined_conversation()
    with pytest.raises(EncodeError):
        client.begin(lambda id: Publish("\ud800", "global", None, id))
    assert repr(client) == "<Conversation rooms=1 pending=0>"


@given(st.lists(st.integers(0, 400), max_size=600))
def test_repeated_private_messages_show_once_within_the_window(ids: list[int]) -> None:
    """A private message is recognised by its sender's id among the last ones."""
    client = joined_conversation()
    window: list[int] = []
    for number in ids:
        message = DirectMessage(id=str(number), client_id="bob", to="alice", text="psst", ts_unix_ms=0)
        shown = bool(client.received(message))
        assert shown == (number not in window)
        if shown:
            window = [*window, number][-DIRECTS_REMEMBERED:]
