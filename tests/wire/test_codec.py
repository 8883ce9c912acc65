import json
import sys
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.wire.codec import (
    MAX_HISTORY_ITEMS,
    EncodeError,
    decode_command,
    decode_plain,
    decode_server_text,
    encode,
    encode_command,
    read_id,
)
from scalechat.wire.messages import (
    Ack,
    BadMessage,
    Command,
    DirectMessage,
    ErrorAnswer,
    History,
    Join,
    Joined,
    Leave,
    Left,
    Limits,
    PlainDirect,
    PlainMessage,
    Position,
    Presence,
    PresenceEvent,
    PresenceMember,
    Publication,
    Publish,
    ReadHistory,
    ReadPresence,
    Reconnect,
    SendDirect,
    ServerSays,
    Welcome,
)
from tests.wire import strategies

COMMANDS: list[tuple[str, Command]] = [
    ('{"Message":"hi"}', Publish("hi")),
    ('{"type":"message","Message":"hi","room":"tea","id":"7"}', Publish("hi", "tea", None, "7")),
    ('{"clientId":"alice","Message":"hello"}', Publish("hello", None, "alice")),
    ('{"type":"direct","to":"bob","Message":"psst","id":"2"}', SendDirect("bob", "psst", "2")),
    ('{"type":"join","room":"tea"}', Join("tea")),
    (
        '{"type":"join","room":"tea","since":{"epoch":"e1","seq":41},"history":20,"presence":true,"id":"3"}',
        Join("tea", Position("e1", 41), 20, True, "3"),
    ),
    ('{"type":"leave","room":"tea","id":"4"}', Leave("tea", "4")),
    ('{"type":"history","room":"tea","before":40,"limit":10,"id":"5"}', ReadHistory("tea", 40, 10, "5")),
    ('{"type":"history","room":"tea"}', ReadHistory("tea", None, 50)),
    ('{"type":"presence","room":"tea","id":"6"}', ReadPresence("tea", "6")),
]

SAID: list[tuple[str, Publication | ServerSays]] = [
    (
        '{"clientId":"alice","Message":"hó 😀","room":"tea","seq":1,"ts":1700000000000,"id":"7"}',
        Publication(client_id="alice", text="hó 😀", room="tea", seq=1, ts_unix_ms=1700000000000, id="7"),
    ),
    (
        '{"clientId":"alice","Message":"","room":"tea","seq":2,"ts":3}',
        Publication(client_id="alice", text="", room="tea", seq=2, ts_unix_ms=3),
    ),
    (
        (
            '{"type":"welcome","clientId":"alice","session":"s1","protocol":"scalechat.v1",'
            '"limits":{"message_size_bytes":65536,"message_rate_per_s":100.0},"heartbeat_ms":25000}'
        ),
        Welcome(
            client_id="alice",
            session="s1",
            protocol="scalechat.v1",
            limits=Limits(65536, 100.0),
            heartbeat_ms=25000,
        ),
    ),
    ('{"type":"ack","id":"7","room":"tea","seq":42}', Ack(room="tea", seq=42, id="7")),
    ('{"type":"ack","id":"8"}', Ack(id="8")),
    (
        (
            '{"type":"joined","id":"3","room":"tea","epoch":"e1","seq":41,"members":3,"recovered":false,'
            '"history":[{"clientId":"bob"}]}'
        ),
        Joined(
            room="tea",
            epoch="e1",
            seq=41,
            members=3,
            recovered=False,
            history=[msgspec.Raw(b'{"clientId":"bob"}')],
            id="3",
        ),
    ),
    ('{"type":"left","room":"tea"}', Left(room="tea")),
    (
        '{"type":"history","room":"tea","epoch":"e1","messages":[{"seq":1},{"seq":2}]}',
        History(room="tea", epoch="e1", messages=[msgspec.Raw(b'{"seq":1}'), msgspec.Raw(b'{"seq":2}')]),
    ),
    (
        '{"type":"presence","room":"tea","members":[{"clientId":"bob","connections":2}],"count":1}',
        Presence(room="tea", members=[PresenceMember("bob", 2)], count=1),
    ),
    (
        '{"type":"presence_event","room":"tea","clientId":"bob","event":"leave"}',
        PresenceEvent(room="tea", client_id="bob", event="leave"),
    ),
    (
        '{"type":"direct","id":"2","clientId":"alice","to":"bob","Message":"psst","ts":9}',
        DirectMessage(client_id="alice", to="bob", text="psst", ts_unix_ms=9, id="2"),
    ),
    (
        '{"type":"error","id":"9","code":"not_a_member","detail":"join the room first"}',
        ErrorAnswer(code="not_a_member", detail="join the room first", id="9"),
    ),
    ('{"type":"reconnect","after_ms":1234,"reason":"draining"}', Reconnect(after_ms=1234, reason="draining")),
]


def _refusal(payload: str | bytes) -> BadMessage:
    with pytest.raises(BadMessage) as refused:
        decode_command(payload.encode() if isinstance(payload, str) else payload)
    return refused.value


# --- examples, whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, command", COMMANDS)
def test_a_command_is_understood_as_written_in_the_protocol(text: str, command: Command) -> None:
    """Each example of the protocol decodes to the value that stands beside it."""
    assert decode_command(text.encode()) == command


@pytest.mark.parametrize("text, said", SAID)
def test_the_server_says_exactly_these_bytes(text: str, said: Publication | ServerSays) -> None:
    """Key names, their order and what is left out when it has no value are part of the protocol."""
    assert encode(said).decode() == text


@pytest.mark.parametrize("text, said", SAID)
def test_what_the_server_says_is_understood(text: str, said: Publication | ServerSays) -> None:
    """A client reads back what the server wrote; raw messages stay the bytes they are."""
    assert encode(decode_server_text(text.encode())).decode() == text


def test_a_plain_private_message_has_the_three_keys_of_its_dialect() -> None:
    """The plain dialect has no word for an addressee."""
    assert encode(PlainDirect("alice", "psst", 9)) == b'{"clientId":"alice","Message":"psst","ts":9}'


def test_a_plain_message_is_its_two_keys() -> None:
    """The origin's protocol: a program that knows only these two keys is a full citizen."""
    assert decode_plain(b'{"clientId": "alice", "Message": "hello"}') == PlainMessage("alice", "hello")


# --- growth and looseness -------------------------------------------------------------------------------------------


def test_a_missing_type_means_message() -> None:
    """The plain form is a v1 command as well."""
    assert decode_command(b'{"Message":"hi"}') == decode_command(b'{"type":"message","Message":"hi"}')


@given(strategies.commands, st.dictionaries(st.text().map(lambda key: "x" + key), strategies.json_values, max_size=4))
def test_unknown_keys_are_ignored(command: Command, extra: dict[str, object]) -> None:
    """Clients may know more than this server: what it does not know changes nothing."""
    known = json.loads(encode_command(command))
    assert decode_command(json.dumps(extra | known).encode()) == command


def test_unknown_keys_are_ignored_in_the_plain_dialect() -> None:
    """A client that says more than the two keys is still understood."""
    assert decode_plain(b'{"type":"x","clientId":"a","n":[{}],"Message":"m"}') == PlainMessage("a", "m")


@given(st.text().filter(lambda word: word not in {"message", "direct", "join", "leave", "history", "presence"}))
def test_an_unknown_type_is_an_error_that_can_be_matched(word: str) -> None:
    """The refusal carries the request's id."""
    refused = _refusal(json.dumps({"type": word, "id": "7"}))
    assert (refused.code, refused.id) == ("unknown_type", "7")


@pytest.mark.parametrize("key", ["type", "Message", "room", "to", "since", "history", "limit", "presence"])
def test_a_value_of_the_wrong_type_is_a_bad_message_with_its_id(key: str) -> None:
    """Wrong types are refused before anything is done, and the refusal carries the request's id."""
    refused = _refusal(json.dumps({"id": "7", "type": "join", "room": "tea", key: [1]}))
    assert (refused.code, refused.id) == ("bad_message", "7")


@pytest.mark.parametrize(
    "payload, code, detail",
    [
        ('{"type":"message"}', "bad_message", "Message is missing"),
        ('{"type":"direct","Message":"x"}', "bad_message", "to is missing"),
        ('{"type":"direct","to":"bob"}', "bad_message", "Message is missing"),
        ('{"type":"direct","to":"","Message":"x"}', "bad_name", "to must have 1 to 64 characters"),
        ('{"type":"join"}', "bad_message", "room is missing"),
        ('{"type":"leave"}', "bad_message", "room is missing"),
        ('{"type":"history"}', "bad_message", "room is missing"),
        ('{"type":"presence"}', "bad_message", "room is missing"),
        ('{"type":"join","room":""}', "bad_name", "room must have 1 to 64 characters"),
        ('{"type":"join","room":"a","history":-1}', "bad_message", "history must not be negative"),
        ('{"type":"history","room":"a","limit":-1}', "bad_message", "limit must not be negative"),
        ('{"Message":"x","room":".."}', "bad_name", "room may hold letters, digits and -_. and not begin with a dot"),
        ('{"Message":"x","id":""}', "bad_message", "id must have 1 to 64 characters"),
    ],
)
def test_an_incomplete_command_is_refused_with_one_clear_line(payload: str, code: str, detail: str) -> None:
    """The refusal says which key is meant."""
    refused = _refusal(payload)
    assert (refused.code, refused.detail) == (code, detail)


def test_an_id_is_bounded() -> None:
    """Ids are remembered and echoed: 64 characters at most."""
    assert _refusal(json.dumps({"Message": "x", "id": "i" * 65})).detail == "id must have 1 to 64 characters"


@pytest.mark.parametrize("asked", [1001, 10**6, 10**40])
def test_more_history_than_one_answer_carries_is_as_much_as_it_carries(asked: int) -> None:
    """A client may ask for everything; it gets the most that one answer holds."""
    command = decode_command(json.dumps({"type": "history", "room": "tea", "limit": asked}).encode())
    assert command == ReadHistory("tea", None, MAX_HISTORY_ITEMS)


# --- hostile bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"hello",
        b"{",
        b'{"Message":"x"',
        b'{"Message":"x"}}',
        b'{"Message":"x"}{"Message":"y"}',
        b"{'Message':'x'}",
        b'{"Message":NaN}',
        b"\xff\xfe{}",
        b'{"Message":"\xff"}',
        b'{"Message":"\\ud800"}',
        b'{"Message":"\\udc00\\ud800"}',
        b'{"Message":"\\ud83dx"}',
        b'{"Message":"a\nb"}',
        b'{"Message":"\\x41"}',
        b"{" * 100_000,
        b'{"x":' + b"[" * 100_000,
        b'{"x":' + b'{"x":' * 100_000,
        b'{"since":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused_in_both_dialects(payload: bytes) -> None:
    """Truncated, doubled, surrogate, control and deeply nested input is the peer's fault, never an error of ours."""
    for decode in (decode_command, decode_plain, decode_server_text):
        with pytest.raises(BadMessage):
            decode(payload)


@pytest.mark.parametrize("payload", [b"null", b"true", b"5", b'"text"', b"[]", b'[{"Message":"x"}]'])
def test_json_that_is_no_object_is_refused(payload: bytes) -> None:
    """Only objects are messages."""
    assert _refusal(payload).code == "bad_message"


@pytest.mark.parametrize(
    "payload", [b'{"Message":5,"id":"\xff"}', b'{"Message":5,"id":"\\ud800"}', b'{"Message":5,"id":' + b"[" * 100_000]
)
def test_a_refusal_whose_id_cannot_be_read_has_none(payload: bytes) -> None:
    """Looking for the id of a bad message meets bad bytes of its own."""
    assert _refusal(payload).id is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_bad_message(payload: bytes) -> None:
    """No input of a peer is an error of ours."""
    for decode in (decode_command, decode_plain, decode_server_text, read_id):
        with suppress(BadMessage):
            decode(payload)


_KEYS = st.sampled_from(
    ("type", "id", "clientId", "Message", "room", "to", "since", "history", "before", "limit", "presence", "x")
)
_WORDS = st.sampled_from(("message", "direct", "join", "leave", "history", "presence", "alice"))


@given(st.dictionaries(_KEYS, strategies.json_values | _WORDS), st.binary(max_size=2), st.integers(0, 400))
def test_almost_right_json_raises_nothing_but_bad_message(said: dict[str, object], noise: bytes, at: int) -> None:
    """Right keys with wrong values, and a byte or two in the wrong place."""
    payload = json.dumps(said, ensure_ascii=False).encode()
    for candidate in (payload, payload[:at] + noise + payload[at + len(noise) :]):
        for decode in (decode_command, decode_plain):
            with suppress(BadMessage):
                decode(candidate)


def test_a_number_longer_than_python_reads_is_a_bad_message() -> None:
    """CPython refuses integers of more than some 4,300 digits with a ValueError."""
    digits = b"9" * (sys.get_int_max_str_digits() + 1)
    assert _refusal(b'{"type":"history","room":"a","before":' + digits + b"}").code == "bad_message"


# --- round trips ----------------------------------------------------------------------------------------------------


@given(strategies.commands)
def test_what_a_client_asks_arrives_as_asked(command: Command) -> None:
    """Encoding and decoding a command are each other's opposite, for any Unicode text."""
    assert decode_command(encode_command(command)) == command


@given(strategies.publications | strategies.answers)
def test_what_a_server_says_arrives_as_said(said: Publication | ServerSays) -> None:
    """Encoding and decoding an answer are each other's opposite, for any Unicode text."""
    assert decode_server_text(encode(said)) == said


@given(strategies.plain_messages)
def test_a_plain_message_arrives_as_said(message: PlainMessage) -> None:
    """Any JSON writer may have written it, with its characters escaped or not."""
    for ascii_only in (True, False):
        written = json.dumps({"clientId": message.client_id, "Message": message.text}, ensure_ascii=ascii_only)
        assert decode_plain(written.encode()) == message


@given(st.text())
def test_any_text_survives_as_json_of_one_line(text: str) -> None:
    """A payload is one line of valid UTF-8 that every JSON reader understands."""
    payload = encode(Publication(client_id="a", text=text, room="r", seq=1, ts_unix_ms=2))
    assert b"\n" not in payload
    assert json.loads(payload)["Message"] == text


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_of_ours_that_is_not_unicode_is_our_error(text: str) -> None:
    """A lone surrogate of ours cannot be written, and that is never blamed on a peer."""
    with pytest.raises(EncodeError):
        encode(Publication(client_id="a", text=text, room="r", seq=1, ts_unix_ms=2))
    with pytest.raises(EncodeError):
        encode_command(Publish(text))
