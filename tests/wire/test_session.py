import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scalechat.wire import closing
from scalechat.wire.codec import encode_command
from scalechat.wire.messages import (
    BadMessage,
    Command,
    ErrorAnswer,
    Join,
    Leave,
    Position,
    Publish,
    ReadHistory,
    ReadPresence,
    SendDirect,
)
from scalechat.wire.session import (
    BAD_MESSAGES_WITHIN_S,
    MAX_ROOMS,
    AnswerHistory,
    AnswerPresence,
    DeliverDirect,
    Dialect,
    Effect,
    End,
    JoinRoom,
    LeaveRoom,
    Phase,
    PublishIn,
    SayError,
    Session,
)
from tests.wire import strategies


def _v1(*rooms: str, allowed: frozenset[str] | None = None, room: str = "tea") -> Session:
    session = Session(Dialect.V1, client_id="alice", plain_room=room, allowed_rooms=allowed)
    session.rooms.update(rooms)
    return session


def _plain(client_id: str | None = "alice") -> Session:
    session = Session(Dialect.PLAIN, client_id=client_id, plain_room="tea")
    session.rooms.add("tea")
    return session


def _ask(session: Session, command: Command, now_s: float = 0.0) -> Effect:
    return session.receive(encode_command(command), now_s)


def _say_plain(session: Session, client_id: str, text: str = "hi") -> Effect:
    return session.receive(json.dumps({"clientId": client_id, "Message": text}).encode(), 0.0)


def _error(code: str, detail: str, id: str | None = None) -> SayError:
    return SayError(ErrorAnswer(code=code, detail=detail, id=id))


SINCE = Position("e", 3)

# --- the table: command in a phase ------------------------------------------------------------------------------------

SPEAKING: list[tuple[Command, Effect]] = [
    (Publish("hi", "tea", None, "1"), PublishIn("tea", "alice", "hi", "1")),
    (Publish("hi"), PublishIn("tea", "alice", "hi", None)),
    (Publish("hi", None, "alice"), PublishIn("tea", "alice", "hi", None)),
    (Publish("hi", "bar", None, "1"), _error("not_a_member", "join the room first", "1")),
    (Publish("hi", None, "bob", "1"), _error("forbidden", "this connection speaks under another clientId", "1")),
    (SendDirect("bob", "psst", "1"), DeliverDirect("alice", "bob", "psst", "1")),
    (Join("bar", SINCE, 5, True, "1"), JoinRoom("bar", SINCE, 5, True, "1")),
    (Join("tea", None, 0, False, "1"), JoinRoom("tea", None, 0, False, "1")),
    (Leave("tea", "1"), LeaveRoom("tea", "1")),
    (Leave("bar", "1"), _error("not_a_member", "not in that room", "1")),
    (ReadHistory("bar", 9, 5, "1"), AnswerHistory("bar", 9, 5, "1")),
    (ReadPresence("bar", "1"), AnswerPresence("bar", "1")),
]


@pytest.mark.parametrize("command, effect", SPEAKING)
def test_a_known_speaker_gets_each_command_done_or_refused(command: Command, effect: Effect) -> None:
    """The row SPEAKING of the transition table, in room tea."""
    assert _ask(_v1("tea"), command) == effect


def test_the_first_plain_message_names_its_speaker() -> None:
    """The caller is told, so that it enters the name in the room's presence first."""
    session = _plain(None)
    assert _say_plain(session, "alice") == PublishIn("tea", "alice", "hi", None, named=True)
    assert _say_plain(session, "alice", "more") == PublishIn("tea", "alice", "more", None)
    assert (session.client_id, session.phase) == ("alice", Phase.SPEAKING)


def test_the_name_is_bound_in_its_normal_form() -> None:
    """Two ways to write one name are one speaker."""
    session = _plain(None)
    _say_plain(session, "Åsa")
    assert session.client_id == "Åsa"
    assert _say_plain(session, "A\u030asa") == PublishIn("tea", "Åsa", "hi", None)


@pytest.mark.parametrize("name", ["", ".", "a b", "x" * 65])
def test_a_bad_first_name_ends_a_plain_connection(name: str) -> None:
    """It stays anonymous and is told why in its Close frame."""
    session = _plain(None)
    effect = _say_plain(session, name)
    assert isinstance(effect, End)
    assert (effect.closing, session.client_id) == (closing.POLICY, None)


def test_a_plain_client_under_another_name_is_ended() -> None:
    """One connection, one speaker; the plain dialect has no error answers."""
    assert _say_plain(_plain(), "bob") == End(closing.POLICY, "this connection speaks under another clientId")


@pytest.mark.parametrize("payload", [b"", b"hello", b'{"Message":"x"}', b'{"clientId":"a"}', b'{"clientId":1}'])
def test_a_bad_plain_message_ends_the_connection(payload: bytes) -> None:
    """With 1008 and a reason."""
    effect = _plain().receive(payload, 0.0)
    assert isinstance(effect, End)
    assert effect.closing is closing.POLICY
    assert effect.detail


def test_a_message_without_a_room_in_no_room_is_refused() -> None:
    """A v1 client whose URL named no room is in none at first."""
    assert _ask(_v1(room=""), Publish("hi")) == _error("not_a_member", "join the room first")


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [Join("bar"), ReadHistory("bar"), ReadPresence("bar")])
def test_a_room_the_token_does_not_name_stays_closed(command: Command) -> None:
    """Not to be entered, not to be read, and not to be spied on."""
    session = _v1("tea", allowed=frozenset({"tea"}))
    assert _ask(session, command) == _error("forbidden", "your token does not name that room")


def test_a_connection_is_in_a_bounded_number_of_rooms() -> None:
    """Joining again one of them is not one more."""
    rooms = [f"r{n}" for n in range(MAX_ROOMS)]
    session = _v1(*rooms)
    assert _ask(session, Join("more")) == _error("forbidden", f"a connection may be in {MAX_ROOMS} rooms")
    assert _ask(session, Join(rooms[0])) == JoinRoom(rooms[0], None, 0, False, None)


def _err_at(session: Session, *moments_s: float) -> list[bool]:
    return [isinstance(session.receive(b"not json", now_s), End) for now_s in moments_s]


def test_three_bad_messages_within_ten_seconds_end_the_connection() -> None:
    """Two are answered, the third is one too many."""
    assert _err_at(_v1(), 0.0, 5.0, 9.9) == [False, False, True]


def test_bad_messages_far_apart_are_answered_for_ever() -> None:
    """A person who mistypes now and then keeps the connection."""
    assert _err_at(_v1(), *(n * BAD_MESSAGES_WITHIN_S / 2 for n in range(20))) == [False] * 20


def test_refusals_count_as_bad_messages() -> None:
    """What is not allowed is as bad as what cannot be read."""
    session = _v1("tea")
    effects = [_ask(session, Leave("bar")), _ask(session, Publish("x", "bar")), session.receive(b"{", 1.0)]
    assert effects[-1] == End(closing.POLICY, "3 bad messages within 10 s")


def test_blame_repeats_the_id_it_was_given() -> None:
    """Callers that find a fault themselves get the same treatment."""
    assert _v1().blame(BadMessage("bad_message", "more than it may be", "7"), 0.0) == _error(
        "bad_message", "more than it may be", "7"
    )


# --- any conversation -----------------------------------------------------------------------------------------------

ROOMS = st.sampled_from(("tea", "bar", "den"))
NAMES = st.sampled_from(("alice", "bob", "", "a b"))
V1_COMMANDS = st.one_of(
    st.builds(Publish, st.just("hi"), st.none() | ROOMS, st.none() | NAMES, strategies.ids),
    st.builds(SendDirect, st.just("bob"), st.just("psst")),
    st.builds(Join, ROOMS),
    st.builds(Leave, ROOMS),
    st.builds(ReadHistory, ROOMS),
    st.builds(ReadPresence, ROOMS),
)


class Conversations(RuleBasedStateMachine):
    """A client that says anything, and a server that does what the session decides."""

    def __init__(self) -> None:
        super().__init__()
        self.session = _v1()
        self.bound: str | None = None
        self.joined: set[str] = set()
        self.allowed: frozenset[str] | None = None
        self.bad_at_s: list[float] = []
        self.now_s = 0.0

    @initialize(
        dialect=st.sampled_from(Dialect),
        named=st.booleans(),
        room=ROOMS,
        allowed=st.none() | st.frozensets(ROOMS, min_size=1),
    )
    def connect(self, dialect: Dialect, named: bool, room: str, allowed: frozenset[str] | None) -> None:
        self.bound = "alice" if named or dialect is Dialect.V1 else None
        if allowed is not None:
            allowed |= {room}  # Admission lets nobody into the URL's room whom the token does not.
        self.allowed = allowed
        self.session = Session(dialect, client_id=self.bound, plain_room=room, allowed_rooms=allowed)
        self.session.rooms.add(room)
        self.joined = {room}

    @precondition(lambda self: self.session.dialect is Dialect.V1)
    @rule(command=V1_COMMANDS)
    def ask(self, command: Command) -> None:
        self.follow(_ask(self.session, command, self.now_s))

    @precondition(lambda self: self.session.dialect is Dialect.PLAIN)
    @rule(name=NAMES)
    def say(self, name: str) -> None:
        self.follow(_say_plain(self.session, name))

    @rule(payload=st.binary(max_size=8))
    def babble(self, payload: bytes) -> None:
        self.follow(self.session.receive(payload, self.now_s))

    @rule(passed_s=st.floats(0, 20))
    def wait(self, passed_s: float) -> None:
        self.now_s += passed_s

    def follow(self, effect: Effect) -> None:
        """Do what the server does, and hold the effect against the promises."""
        match effect:
            case PublishIn():
                assert effect.room in self.joined
                assert effect.named == (self.bound is None)
                self.bound = self.bound or effect.client_id
                assert effect.client_id == self.bound
            case DeliverDirect():
                assert effect.client_id == self.bound
            case JoinRoom():
                assert self.allowed is None or effect.room in self.allowed
                self.joined.add(effect.room)
                self.session.rooms.add(effect.room)
            case LeaveRoom():
                assert effect.room in self.joined
                self.joined.discard(effect.room)
                self.session.rooms.discard(effect.room)
            case AnswerHistory() | AnswerPresence():
                assert self.allowed is None or effect.room in self.allowed
            case SayError():
                assert self.session.dialect is Dialect.V1
                self.bad_at_s.append(self.now_s)
                assert not self._too_many_bad()
            case End():
                self.bad_at_s.append(self.now_s)
                assert self.session.dialect is Dialect.PLAIN or self._too_many_bad()

    def _too_many_bad(self) -> bool:
        last = self.bad_at_s[-3:]
        return len(last) == 3 and last[-1] - last[0] < BAD_MESSAGES_WITHIN_S

    @invariant()
    def the_speaker_never_changes(self) -> None:
        assert self.session.client_id == self.bound

    @invariant()
    def the_phase_tells_whether_the_speaker_is_known(self) -> None:
        assert self.session.phase is (Phase.ANONYMOUS if self.bound is None else Phase.SPEAKING)


TestConversations = Conversations.TestCase
TestConversations.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
