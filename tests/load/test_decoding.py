"""What a server's frames mean to a load client, in both dialects, and what is not its business."""

from __future__ import annotations

import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load import payload
from scalechat.load.decoding import Damaged, Decoder, Delivery, Foreign, Phantom
from scalechat.load.dialects import Names, Plain, ScaleChatV1, number_of
from scalechat.load.payload import Header
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder
from scalechat.wire.messages import Ack

RUN = 0xC0FFEE
CONFIG = LoadConfig(clients=4, rooms=2, publishers=3)


def world(dialect: Plain | ScaleChatV1) -> tuple[Decoder, Recorder, Names]:
    recorder = Recorder(Plan.of(CONFIG, 1), acknowledged=dialect.acknowledges)
    names = Names.of(CONFIG, RUN)
    for client in range(4):
        recorder.join(client)
    for client in (0, 1, 2, 0):
        recorder.published(client, size_bytes=100, intended_ns=5, sent_ns=6, due_ns=5)
    return Decoder(dialect, names, recorder), recorder, names


def plain_text(message: str, client_id: str = "load-00c0ffee-c0") -> bytes:
    return json.dumps({"clientId": client_id, "Message": message}).encode()


def message_of(publisher: int, number: int, run: int = RUN) -> str:
    return payload.encode(Header(run, publisher, number, 5, 6, 7), 100).decode()


@pytest.mark.parametrize("dialect", [Plain(), ScaleChatV1()], ids=["plain", "v1"])
def test_the_messages_of_a_room_come_as_one_batch(dialect: Plain | ScaleChatV1) -> None:
    """In order, each with its publisher's slot, its number and its row."""
    decoder, recorder, _ = world(dialect)
    extra = {"room": "r", "seq": 1, "ts": 2} if dialect.acknowledges else {}
    texts = [
        json.dumps({"clientId": "load-x", "Message": message_of(publisher, number)} | extra).encode()
        for publisher, number in ((0, 1), (2, 1), (0, 2))
    ]
    batch = decoder.batch(texts)
    rows = [recorder.broadcasts.row_of(publisher, number) for publisher, number in ((0, 1), (2, 1), (0, 2))]
    assert batch.room == 0
    assert batch.deliveries == ((0, 1), (1, 1), (0, 2))
    assert batch.rows == array("q", [row for row in rows if row is not None])
    assert batch.others == ()


def test_messages_of_two_rooms_in_one_chunk_stay_apart() -> None:
    """Only a server that mixes rooms up sends such a chunk."""
    decoder, _, _ = world(Plain())
    batch = decoder.batch([plain_text(message_of(0, 1)), plain_text(message_of(1, 1))])
    assert (batch.room, batch.deliveries) == (0, ((0, 1),))
    assert [type(other) for other in batch.others] == [Delivery]


@pytest.mark.parametrize(
    "publisher, number, run",
    [(0, 3, RUN), (0, 0, RUN), (3, 1, RUN), (99, 1, RUN), (0, 1, RUN + 1)],
    ids=["too high", "zero", "no publisher", "nobody", "another run"],
)
def test_what_nobody_published_is_a_phantom(publisher: int, number: int, run: int) -> None:
    """However well it is formed."""
    decoder, _, _ = world(Plain())
    assert decoder.batch([plain_text(message_of(publisher, number, run))]).others == (Phantom(),)


@pytest.mark.parametrize(
    "name, kind",
    [("0-2", None), (None, None), ("0-1", Damaged()), ("2-1", Damaged()), ("0-3", Phantom()), ("9-1", Phantom())],
)
@pytest.mark.parametrize("seen_before", [False, True])
def test_a_text_under_another_message_s_id_is_not_that_message(
    name: str | None, kind: Damaged | Phantom | None, seen_before: bool
) -> None:
    """Damaged where that one was published, also when the text itself is known by now."""
    decoder, _, _ = world(ScaleChatV1())
    said = {"clientId": "load-x", "Message": message_of(0, 2), "room": "r", "seq": 2, "ts": 2}
    if seen_before:
        assert decoder.batch([json.dumps(said | {"id": "0-2"}).encode()]).deliveries == ((0, 2),)
    batch = decoder.batch([json.dumps(said | ({} if name is None else {"id": name})).encode()])
    assert batch.deliveries == (((0, 2),) if kind is None else ())
    assert batch.others == (() if kind is None else (kind,))


@pytest.mark.parametrize(
    "text, kind",
    [
        (plain_text("hello", "alice"), Foreign()),
        (plain_text("hello"), Damaged()),
        (plain_text(message_of(0, 1)[:-1]), Damaged()),
        (plain_text(message_of(0, 1)[:-1] + "Z", "alice"), Damaged()),
        (plain_text(message_of(0, 1))[:-1], Damaged()),
        (b"hello", Foreign()),
        (b'{"hello": 1}', Foreign()),
        (b"\xff\xfe", Foreign()),
        (b"[" * 100_000, Foreign()),
    ],
)
def test_damage_is_told_from_what_is_not_ours(text: bytes, kind: object) -> None:
    """A person's message in the room is no error of the server; a broken one of ours is."""
    decoder, _, _ = world(Plain())
    assert decoder.batch([text]).others == (kind,)


@given(st.lists(st.binary(max_size=200), max_size=5), st.sampled_from([Plain(), ScaleChatV1()]))
def test_no_frame_is_too_strange(texts: list[bytes], dialect: Plain | ScaleChatV1) -> None:
    """Each frame becomes something, and nothing is raised."""
    decoder, _, _ = world(dialect)
    batch = decoder.batch(texts)
    assert len(batch.deliveries) + len(batch.others) == len(texts)


def test_answers_of_a_v1_server_are_handed_on() -> None:
    """An ack names the message by an id of ours."""
    decoder, _, _ = world(ScaleChatV1())
    (ack,) = decoder.batch([b'{"type":"ack","id":"7-12","room":"r","seq":3}']).others
    assert isinstance(ack, Ack)
    assert (number_of(ack.id), ack.seq) == (12, 3)


@pytest.mark.parametrize("foreign", [None, "", "12", "a-b", "7-", "7-²", "7--1"])
def test_an_id_that_is_not_ours_has_no_number(foreign: str | None) -> None:
    """And does not raise either."""
    assert number_of(foreign) is None


def test_a_message_is_published_in_the_dialect_of_the_target() -> None:
    """The text stands in it unescaped, so its size is what was asked for."""
    text = message_of(0, 1).encode()
    names = Names(RUN, "/ws")
    assert json.loads(Plain().publish(names, 0, "r0")(text, 4)) == {
        "clientId": names.member(0),
        "Message": text.decode(),
    }
    assert json.loads(ScaleChatV1().publish(names, 7, "r0")(text, 4)) == {
        "type": "message",
        "room": "r0",
        "Message": text.decode(),
        "id": "7-4",
    }


def test_a_client_asks_for_its_room_and_keeps_the_parameters_of_the_url() -> None:
    """clientId, room and token are ours to set."""
    names = Names.of(LoadConfig(server_url="ws://h:1/chat/ws?tenant=a%20b&room=x"), 1)
    assert names.resource(3, names.room(0)) == "/chat/ws?tenant=a%20b&clientId=load-00000001-c3&room=load-00000001-r0"


def test_with_a_token_every_client_speaks_under_its_subject() -> None:
    """The server vouches for the name in the token and would refuse any other."""
    token = "e30.eyJzdWIiOiJhbGljZSJ9.x"
    names = Names.of(LoadConfig(server_url="ws://h/ws", token=token), 1)
    assert names.client_id(3) == "alice"
    assert names.resource(3, "r") == f"/ws?room=r&token={token}"
    assert Names.of(LoadConfig(token="not a token"), 1).client_id(3) == "load-00000001-c3"


def test_the_text_that_was_published_here_is_known_without_reading_its_header() -> None:
    """With the place that the server gave it; in other bytes too."""
    decoder, recorder, _ = world(ScaleChatV1())
    text = "not a header at all"
    decoder.expect(text.encode(), 2, 1)
    frames = [
        json.dumps({"clientId": client, "Message": text, "room": "r", "seq": 9, "ts": 2, "id": "2-1"}).encode()
        for client in ("load-x", "load-y")
    ]
    batch = decoder.batch(frames)
    row = recorder.broadcasts.row_of(2, 1)
    assert batch.deliveries == ((1, 1), (1, 1))
    assert batch.rows == array("q", [row, row] if row is not None else [])
    assert batch.seqs == array("q", [9, 9])
    assert batch.others == ()


def test_the_text_that_was_published_here_under_another_id_is_damage() -> None:
    """The text is looked at as if nobody had expected it."""
    decoder, _, _ = world(ScaleChatV1())
    text = message_of(0, 1)
    decoder.expect(text.encode(), 0, 1)
    frame = json.dumps({"clientId": "load-x", "Message": text, "room": "r", "seq": 9, "ts": 2, "id": "0-2"}).encode()
    assert decoder.batch([frame]).others == (Damaged(),)


def test_what_never_comes_back_is_not_expected_for_ever() -> None:
    """A server that swallows everything must not fill the memory; what comes after all is read as any other."""
    decoder, _, _ = world(ScaleChatV1())
    text = message_of(0, 1)
    decoder.expect(text.encode(), 0, 1)
    for number in range(1, 12):
        decoder.expect(b"%07d" % number * 128 * 1024, 1, 1)
    assert decoder.expected_bytes < 9 * 1024 * 1024
    frame = json.dumps({"clientId": "load-x", "Message": text, "room": "r", "seq": 9, "ts": 2, "id": "0-1"}).encode()
    assert decoder.batch([frame]).deliveries == ((0, 1),)
