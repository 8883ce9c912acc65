"""Members who follow what others received are accounted for exactly as by reading every message."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from random import Random

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_pair

from scalechat.client.shared_reader import SharedReader
from scalechat.client.transport import LaneStream
from scalechat.config import LoadConfig
from scalechat.load import payload
from scalechat.load.connector import TcpConnector
from scalechat.load.course import PhaseNumber
from scalechat.load.decoding import Batch, Decoder
from scalechat.load.dialects import Names, Reply, ScaleChatV1
from scalechat.load.errors import ErrorLog
from scalechat.load.inbox import Inbox
from scalechat.load.last_account import close_accounts
from scalechat.load.ledger import Outcome, RecipientLedger
from scalechat.load.payload import Header
from scalechat.load.plan import Plan
from scalechat.load.poller import Poller
from scalechat.load.recorder import Recorder
from scalechat.load.room_stream import RoomStream
from scalechat.load.seeded import Chance
from scalechat.load.surroundings import Surroundings
from scalechat.wire.frames import ping_frame, text_frame
from scalechat.wire.messages import Joined

RUN = 7
MEMBERS = 4
PUBLISHERS = 3
HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

Sent = tuple[int, int]
"""(publisher, number): the one room has them as slots too."""


def message_frame(sent: Sent, to: int | None = None) -> bytes:
    """`to`: in bytes that no other member gets."""
    publisher, number = sent
    text = payload.encode(Header(RUN, publisher, number, 5, 6, 7), 60 + number % 90).decode()
    said: dict[str, object] = {"clientId": f"c{publisher}", "Message": text, "room": "r", "seq": number, "ts": 1}
    if to is not None:
        said["to"] = to
    return text_frame(json.dumps(said).encode())


@st.composite
def what_members_get(draw: st.DrawFn) -> tuple[list[Sent], list[list[Sent | None]]]:
    """What was published, in the server's order, and what each member gets of it: None is something for it alone."""
    numbers: Counter[int] = Counter()
    published: list[Sent] = []
    for publisher in draw(st.lists(st.integers(0, PUBLISHERS - 1), max_size=30)):
        numbers[publisher] += 1
        published.append((publisher, numbers[publisher]))
    streams: list[list[Sent | None]] = []
    for _ in range(MEMBERS):
        stream: list[Sent | None] = list(published)
        for kind, pick in draw(st.lists(st.tuples(st.sampled_from("ldsa"), st.integers(0, 40)), max_size=4)):
            at = min(pick, len(stream))
            match kind:
                case "l":  # lost
                    del stream[at : at + 1]
                case "d":  # twice
                    stream[at:at] = stream[at : at + 1]
                case "s":  # the other way round
                    stream[at : at + 2] = stream[at : at + 2][::-1]
                case "a":  # an answer
                    stream.insert(at, None)
        streams.append(stream)
    return published, streams


@given(
    what_members_get(),
    st.lists(st.tuples(st.integers(0, MEMBERS - 1), st.integers(1, 2500)), max_size=40),
    st.sampled_from([1, 8, 4096]),
    st.booleans(),
    st.sets(st.integers(0, MEMBERS - 1)),
)
def test_following_accounts_as_reading_does(
    given_streams: tuple[list[Sent], list[list[Sent | None]]],
    reads: list[tuple[int, int]],
    rooms_that_share_memory: int,
    flush: bool,
    own_bytes: set[int],
) -> None:
    """However the bytes are cut, whoever reads first, whatever is lost, doubled or in another order for whom, and who
    gets it in bytes of his own."""
    published, streams = given_streams
    trio.run(_both_ways, published, streams, reads, rooms_that_share_memory, flush, own_bytes)


class Deaf:
    """Whom nothing is told that matters here."""

    def joined(self, said: Joined | None) -> None: ...

    def told(self, after_ms: int) -> None: ...

    def answer(self, reply: Reply) -> None: ...

    def answered(self, number: int) -> None: ...


async def _both_ways(
    published: list[Sent],
    streams: list[list[Sent | None]],
    reads: list[tuple[int, int]],
    rooms_that_share_memory: int,
    flush: bool,
    own_bytes: set[int],
) -> None:
    plan = Plan.of(LoadConfig(clients=MEMBERS, rooms=1, publishers=PUBLISHERS), 1)
    recorder = Recorder(plan, acknowledged=True)
    recorder.phase = PhaseNumber.STEADY
    names = Names(RUN, "/ws")
    now_ns = 0

    def clock() -> int:
        nonlocal now_ns
        now_ns += 1000
        return now_ns

    decode = Decoder(ScaleChatV1(), names, recorder).batch
    with Poller() as poller:
        world = Surroundings(
            connector=TcpConnector("ws://h/", 0, ("127.0.0.1", 1), None),
            dialect=ScaleChatV1(),
            names=names,
            recorder=recorder,
            decode=decode,
            reader=SharedReader(decode),
            streams=[RoomStream(rooms_that_share_memory)],
            errors=ErrorLog(),
            poller=poller,
            clock=clock,
            chance=Chance(1),
            random=Random(1),
            reconnects=False,
            connect_timeout_s=1,
            unix_offset_ns=0,
            on_settled=lambda: None,
            on_left=lambda: None,
            on_replaced=lambda _client: None,
        )
        inboxes = [Inbox(number, world, Deaf()) for number in range(MEMBERS)]
        async with trio.open_nursery() as nursery:
            lanes = [_lane(inbox, world.reader, nursery) for inbox in inboxes]
            for inbox in inboxes:
                inbox.open(0, again=False)
            for publisher, _ in published:
                recorder.published(publisher, size_bytes=100, intended_ns=0, sent_ns=1, due_ns=0)
            bytes_for = [
                b"".join(ping_or_message(sent, member if member in own_bytes else None) for sent in stream)
                for member, stream in enumerate(streams)
            ]
            for member, count in (*reads, *((member, 1_000_000) for member in range(MEMBERS))):
                read, bytes_for[member] = bytes_for[member][:count], bytes_for[member][count:]
                if read:
                    lanes[member].feed(read)
                if flush:
                    recorder.flush_some()
    totals: Counter[Outcome] = Counter()
    got: Counter[Sent] = Counter()
    for inbox, stream in zip(inboxes, streams, strict=True):
        model = RecipientLedger([0] * PUBLISHERS)
        for sent in stream:
            if sent is not None:
                (outcome,) = model.admit([sent]) or [Outcome.FIRST]
                totals[outcome] += 1
                got[sent] += outcome in (Outcome.FIRST, Outcome.LATE)
        inbox.close()
        assert inbox.ledger is not None
        assert inbox.ledger.received == model.received
        assert inbox.ledger.in_gaps == model.in_gaps
        assert inbox.ledger.state == model.state
    counters = recorder.counters
    assert counters.delivered == totals[Outcome.FIRST] + totals[Outcome.LATE]
    assert (counters.duplicated, counters.reordered) == (totals[Outcome.DUPLICATE], totals[Outcome.LATE])
    left = close_accounts(recorder, never_ns=1, now_ns=now_ns)
    assert {(message.publisher, message.number): message.delivered for message in left} == {
        sent: got[sent] for sent in published
    }
    recorder.end_window()
    missing = sum(message.missing for message in left)
    assert recorder.windows.merged("delivery").count == counters.delivered + missing
    assert recorder.windows.merged("delivery_from_send").count == counters.delivered


def ping_or_message(sent: Sent | None, to: int | None) -> bytes:
    """Answers are texts for one member; a ping is the library's."""
    if sent is None:
        return text_frame(b'{"type":"ack","id":"0-9999","room":"r","seq":1}') + ping_frame(b"x")
    return message_frame(sent, to)


def _lane(inbox: Inbox, reader: SharedReader[Batch], nursery: trio.Nursery) -> LaneStream[Batch]:
    lane = LaneStream(
        memory_stream_pair()[0],
        nursery=nursery,
        reader=reader,
        on_batch=inbox.take,
        follower=inbox,
        on_end=lambda: None,
        fed=True,
    )
    lane.feed(HEAD)
    return lane


def test_a_member_far_behind_does_not_keep_what_all_others_have() -> None:
    """The stretches it has not received are bounded; then it is accounted for message by message."""
    room = RoomStream(rooms=100_000)
    first = room.begin([0])
    for number in range(1, 400):
        frame = b"x" * 1000
        assert room.extend([(0, number)], _rows(), [frame], _rows())
    length = 0
    stretch = first
    while stretch.next is not None:
        stretch, length = stretch.next, length + 1
    assert length < 10
    assert room.newest is not None
    assert room.newest.highest == [399]


def _rows() -> array[int]:
    return array("q", [0])
