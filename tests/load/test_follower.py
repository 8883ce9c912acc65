"""Members who follow what others received are accounted for exactly as by reading every message."""

from __future__ import annotations

import json
from collections import Counter

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_pair

from scalechat.client.shared_reader import SharedReader
from scalechat.client.transport import LaneStream
from scalechat.config import LoadConfig
from scalechat.load import payload
from scalechat.load.decoding import Batch
from scalechat.load.inbox import Inbox
from scalechat.load.last_account import close_accounts
from scalechat.load.ledger import Outcome, RecipientLedger
from scalechat.load.payload import Header
from scalechat.load.plan import Plan
from scalechat.wire.frames import ping_frame, text_frame
from scalechat.wire.messages import Joined

from .worlds import RUN, surroundings

MEMBERS = 4
PUBLISHERS = 3
HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

ROOMS = 2
"""All members sit in the first, clients 0, 2, 4…; the other one has a publisher, client 1."""

Sent = tuple[int, int]
"""(slot, number) in the first room."""
ASTRAY: Sent = (-1, 1)
"""A message of the other room."""


def message_frame(sent: Sent, to: int | None = None) -> bytes:
    """`to`: in bytes that no other member gets."""
    slot, number = sent
    publisher = 1 if sent == ASTRAY else slot * ROOMS
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
        for kind, pick in draw(st.lists(st.tuples(st.sampled_from("ldsao"), st.integers(0, 40)), max_size=4)):
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
                case "o":  # out of another room
                    stream.insert(at, ASTRAY)
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

    def send(self, payload: bytes) -> bool:
        return True

    def answered(self, number: int) -> None: ...


async def _both_ways(
    published: list[Sent],
    streams: list[list[Sent | None]],
    reads: list[tuple[int, int]],
    rooms_that_share_memory: int,
    flush: bool,
    own_bytes: set[int],
) -> None:
    plan = Plan.of(LoadConfig(clients=MEMBERS * ROOMS, rooms=ROOMS, publishers=PUBLISHERS * ROOMS), 1)
    now_ns = 0

    def clock() -> int:
        nonlocal now_ns
        now_ns += 1000
        return now_ns

    with surroundings(plan, clock=clock, rooms_that_share_memory=rooms_that_share_memory) as world:
        recorder = world.recorder
        inboxes = [Inbox(number * ROOMS, world, Deaf()) for number in range(MEMBERS)]
        async with trio.open_nursery() as nursery:
            lanes = [_lane(inbox, world.reader, nursery) for inbox in inboxes]
            for inbox in inboxes:
                inbox.open(0, again=False)
            for slot, _ in published:
                recorder.published(slot * ROOMS, size_bytes=100, intended_ns=0, sent_ns=1, due_ns=0)
            recorder.published(1, size_bytes=100, intended_ns=0, sent_ns=1, due_ns=0)
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
            if sent is not None and sent != ASTRAY:
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
    assert counters.phantom == sum(stream.count(ASTRAY) for stream in streams)
    left = [message for message in close_accounts(recorder, never_ns=1, now_ns=now_ns) if not message.room]
    assert {(message.publisher // ROOMS, message.number): message.delivered for message in left} == {
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


async def test_what_comes_in_one_read_is_one_reception() -> None:
    """A publisher's answers lie between what everybody receives; cut there, each publisher would be a party of its own,
    and a busy room with many of them all parties of one."""
    plan = Plan.of(LoadConfig(clients=3, rooms=1, publishers=1), 1)
    with surroundings(plan, clock=lambda: 1) as world:
        recorder = world.recorder
        inboxes = [Inbox(number, world, Deaf()) for number in range(3)]
        async with trio.open_nursery() as nursery:
            lanes = [_lane(inbox, world.reader, nursery) for inbox in inboxes]
            for inbox in inboxes:
                inbox.open(0, again=False)
            for _ in range(4):
                recorder.published(0, size_bytes=100, intended_ns=0, sent_ns=0, due_ns=0)
            messages = [message_frame((0, number)) for number in range(1, 5)]
            lanes[0].feed(b"".join(messages))
            lanes[1].feed(b"".join(messages))
            lanes[2].feed(b"".join([*messages[:2], ping_or_message(None, None), *messages[2:]]))
        stretch = world.streams[0].newest
        assert stretch is not None
        assert {places: [*reception.clients] for places, reception in stretch.receptions.items()} == {(0, 4): [0, 1, 2]}
        assert recorder.counters.delivered == 12
