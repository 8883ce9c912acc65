"""What one client receives is counted and told, whatever it is; messages themselves are `test_room_stream`'s."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load import payload
from scalechat.load.inbox import Inbox
from scalechat.load.payload import Header
from scalechat.load.plan import Plan
from scalechat.load.surroundings import Surroundings
from scalechat.wire.codec import encode
from scalechat.wire.messages import SUBPROTOCOL, Ack, ErrorAnswer, Joined, Limits, Publication, Reconnect, Welcome

from .worlds import RUN, surroundings

CLIENT = 2
"""It publishes in room 0, where client 0 does too."""
JOINED = Joined(room="r", epoch="e", seq=0, members=1, recovered=False, history=[])
WELCOME = Welcome(client_id="c", session="s", protocol=SUBPROTOCOL, limits=Limits(1, 1.0), heartbeat_ms=1)


class Clock:
    """Stands still until it is set."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Owner:
    """Remembers what it is told."""

    told_of: list[object] = field(default_factory=list)

    def joined(self, said: Joined | None) -> None:
        self.told_of.append(said)

    def told(self, after_ms: int) -> None:
        self.told_of.append(("come back", after_ms))

    def send(self, payload: bytes) -> bool:
        self.told_of.append(("send", payload))
        return True

    def answered(self, number: int) -> None:
        self.told_of.append(("answered", number))


class Received:
    """An inbox, and the run around it."""

    def __init__(self, world: Surroundings, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self.owner = Owner()
        self.inbox = Inbox(CLIENT, world, self.owner)
        self.counters = world.recorder.counters

    def take(self, *frames: bytes) -> None:
        self.inbox.take(self.world.decoder.batch(frames))

    def publish(self, client: int) -> None:
        self.world.recorder.published(client, size_bytes=100, intended_ns=0, sent_ns=0, due_ns=0)


@pytest.fixture
def received() -> Iterator[Received]:
    clock = Clock()
    with surroundings(Plan.of(LoadConfig(clients=6, rooms=2), 1), clock=clock) as world:
        yield Received(world, clock)


def message(publisher: int, number: int, *, run: int = RUN, damaged: bool = False) -> bytes:
    text = payload.encode(Header(run, publisher, number, 5, 6, 7), 100).decode()
    if damaged:
        text = text[:-1] + "?"
    return encode(Publication(client_id="c", text=text, room="r", seq=number, ts_unix_ms=1))


def test_an_acknowledgement_ends_the_wait_of_its_message(received: Received) -> None:
    """Counted once; one that answers nothing of ours is an unknown frame."""
    received.publish(CLIENT)
    received.take(encode(Ack(id=f"{CLIENT}-1", room="r", seq=1)), encode(Ack(id="hello", room="r", seq=2)))
    assert received.owner.told_of == [("answered", 1)]
    assert (received.counters.acked, received.counters.unknown_frames) == (1, 1)


def test_a_refusal_is_an_answer_and_an_error(received: Received) -> None:
    """Who is told no waits no longer; one without a number is an error of the server's all the same."""
    received.publish(CLIENT)
    received.take(
        encode(ErrorAnswer.of("busy", "later", id=f"{CLIENT}-1")), encode(ErrorAnswer.of("forbidden", "not you"))
    )
    assert received.owner.told_of == [("answered", 1)]
    assert received.counters.rejected == 1
    assert {kind: entry.example for kind, entry in received.world.errors.kinds.items()} == {
        "server_busy": "later",
        "server_forbidden": "not you",
    }


def test_the_answer_to_joining_comes_before_the_first_message_of_the_room(received: Received) -> None:
    """Also when one read brings both, in whatever order: who is told of it is a member for the message."""
    received.publish(0)
    received.take(message(0, 1), encode(JOINED))
    assert received.owner.told_of == [JOINED]
    assert received.counters.early == 1, "nobody opened the inbox: the message was promised to nobody"


def test_a_message_for_another_room_is_a_phantom(received: Received) -> None:
    """As is one of another run; a damaged one is corrupted."""
    received.publish(1)
    received.inbox.open(0, again=False)
    received.take(message(1, 1))
    received.take(message(0, 1, run=RUN + 1))
    received.take(message(0, 1, damaged=True))
    assert (received.counters.phantom, received.counters.corrupted, received.counters.delivered) == (2, 1, 0)


def test_a_notice_to_come_back_is_passed_on(received: Received) -> None:
    received.take(encode(Reconnect(after_ms=250, reason="restart")), encode(WELCOME))
    assert received.owner.told_of == [("come back", 250)]
    assert received.counters.unknown_frames == 0


def test_in_a_closed_loop_a_message_that_comes_back_is_the_answer(received: Received) -> None:
    """Meanwhile nothing is followed without being read, so that it is seen."""
    received.inbox.open(0, again=False)
    received.publish(0)
    received.publish(CLIENT)
    received.inbox.awaited = 1
    assert received.inbox.follow(b"anything") == b"anything"
    received.take(message(0, 1))
    assert received.owner.told_of == []
    received.take(message(CLIENT, 1))
    assert received.owner.told_of == [("answered", 1)]
    assert received.inbox.awaited is None


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=10))
def test_the_longest_time_without_a_delivery_counts_from_joining(waits_ns: list[int]) -> None:
    """What comes in between that is no delivery ends no gap."""
    clock = Clock()
    with surroundings(Plan.of(LoadConfig(clients=6, rooms=2), 1), clock=clock) as world:
        received = Received(world, clock)
        clock.now_ns = 50
        received.inbox.open(50, again=False)
        for number, wait_ns in enumerate(waits_ns, start=1):
            received.publish(0)
            clock.now_ns += wait_ns // 2
            received.take(encode(WELCOME))
            clock.now_ns += wait_ns - wait_ns // 2
            received.take(message(0, number))
        assert received.inbox.longest_gap_ns == max(waits_ns)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"[]", b'{"type":"news"}', b'{"type":7}']), max_size=8))
def test_a_frame_that_nobody_understands_is_counted_and_harms_nothing(frames: list[bytes]) -> None:
    """Whatever bytes a server sends."""
    clock = Clock()
    with surroundings(Plan.of(LoadConfig(clients=6, rooms=2), 1), clock=clock) as world:
        received = Received(world, clock)
        received.inbox.open(0, again=False)
        received.take(*frames)
        assert received.counters.unknown_frames + received.counters.corrupted == len(frames)
        received.publish(0)
        received.take(message(0, 1))
        world.recorder.flush()
        assert received.counters.delivered == 1
