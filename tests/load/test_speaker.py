"""What one client says: at once when it is there, and what has waited when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from scalechat.config import LoadConfig
from scalechat.load import payload
from scalechat.load.dialects import Plain
from scalechat.load.inbox import Inbox
from scalechat.load.payload import Header
from scalechat.load.plan import Plan
from scalechat.load.speaker import MAX_WAITING, Speaker
from scalechat.load.surroundings import Surroundings
from scalechat.wire.codec import decode_command
from scalechat.wire.messages import Joined, Publish

from .worlds import surroundings

MS = 1_000_000
NOW_NS = 9 * MS
PLAN = Plan.of(LoadConfig(clients=2), 1)


@dataclass
class Owner:
    """A client that is where a test puts it."""

    world: Surroundings
    is_open: bool = True
    is_away: bool = False
    takes: bool = True
    sent: list[bytes] = field(default_factory=list)
    told_of: list[int] = field(default_factory=list)
    """Whose answer was there, in a closed loop."""

    def __post_init__(self) -> None:
        self.inbox = Inbox(0, self.world, self)
        self.speaker = Speaker(0, self.world, self)

    def send(self, frame: bytes) -> bool:
        if self.takes:
            self.sent.append(frame)
        return self.takes

    def joined(self, said: Joined | None) -> None: ...

    def told(self, after_ms: int) -> None: ...

    def answered(self, number: int) -> None:
        self.speaker.answered(number)

    def said(self) -> list[tuple[str | None, int]]:
        """(id, intended time) of each message."""
        headers = []
        for frame in self.sent:
            command = decode_command(frame)
            assert isinstance(command, Publish)
            header = payload.decode(command.text)
            assert isinstance(header, Header)
            headers.append((command.id, header.intended_ns))
        return headers


@pytest.fixture
def owner() -> Iterator[Owner]:
    with surroundings(PLAN, clock=lambda: NOW_NS) as world:
        yield Owner(world)


def test_what_is_due_while_a_client_is_away_goes_out_in_order_when_it_is_back(owner: Owner) -> None:
    """Its latency counts from when it was due; that it waited for its client is no lateness of the generator's."""
    owner.is_open, owner.is_away = False, True
    for intended_ns in (1 * MS, 2 * MS):
        owner.speaker.publish(100, intended_ns)
    assert (owner.sent, owner.world.recorder.counters.published) == ([], 0)
    owner.is_open, owner.is_away = True, False
    owner.speaker.catch_up()
    owner.speaker.publish(100, 8 * MS)
    owner.speaker.catch_up()
    assert owner.said() == [("0-1", 1 * MS), ("0-2", 2 * MS), ("0-3", 8 * MS)]
    owner.world.recorder.end_window()
    lags = owner.world.recorder.windows.merged("send_lag")
    assert (lags.count, lags.max_ns) == (1, NOW_NS - 8 * MS)


def test_who_is_gone_for_good_says_nothing_later(owner: Owner) -> None:
    owner.is_open = False
    owner.speaker.publish(100, 1 * MS)
    assert not owner.speaker.ask(100, 1 * MS, owner.told_of.append)
    owner.is_open = True
    owner.speaker.catch_up()
    assert owner.sent == []


def test_no_more_waits_than_a_persons_client_keeps(owner: Owner) -> None:
    """The first ones: they have waited longest, and a person's client refuses the newest."""
    owner.is_open, owner.is_away = False, True
    for intended_ns in range(MAX_WAITING + 5):
        owner.speaker.publish(100, intended_ns)
    owner.is_open = True
    owner.speaker.catch_up()
    assert owner.said() == [(f"0-{number + 1}", number) for number in range(MAX_WAITING)]


def test_a_message_that_the_connection_does_not_take_was_never_published(owner: Owner) -> None:
    """Nobody is owed it, its number goes to the next one, and it is an error with a name."""
    owner.takes = False
    owner.speaker.publish(100, 1 * MS)
    assert owner.world.recorder.counters.published == 0
    assert set(owner.world.errors.kinds) == {"send_refused"}
    owner.takes = True
    owner.speaker.publish(100, 2 * MS)
    assert owner.said() == [("0-1", 2 * MS)]


def test_the_answer_that_is_waited_for_is_the_one_to_the_last_message(owner: Owner) -> None:
    """Others' answers, and late ones to messages that were given up, wake nobody."""
    assert owner.speaker.ask(100, 1 * MS, owner.told_of.append)
    assert owner.speaker.ask(100, 2 * MS, owner.told_of.append)
    owner.speaker.answered(1)
    assert owner.told_of == []
    owner.speaker.answered(2)
    owner.speaker.answered(2)
    assert owner.told_of == [0]
    assert owner.inbox.awaited is None, "this server acknowledges"


def test_asked_while_away_a_client_says_only_the_last_when_it_is_back(owner: Owner) -> None:
    """What was asked before was waited for in vain, and given up."""
    owner.is_open, owner.is_away = False, True
    for size_bytes in (100, 200, 300):
        owner.speaker.ask(size_bytes, 1 * MS, owner.told_of.append)
    owner.is_open = True
    owner.speaker.catch_up()
    (said,) = (decode_command(frame) for frame in owner.sent)
    assert isinstance(said, Publish)
    assert len(said.text) == 300


def test_without_acknowledgements_the_message_itself_is_waited_for() -> None:
    with surroundings(PLAN, clock=lambda: NOW_NS, dialect=Plain()) as world:
        owner = Owner(world)
        owner.speaker.ask(100, 1 * MS, owner.told_of.append)
        assert owner.inbox.awaited == 1


def test_who_is_back_after_its_process_has_said_its_last_word_keeps_what_has_waited(owner: Owner) -> None:
    """To the other processes it would be a message that nobody published."""
    owner.is_open, owner.is_away = False, True
    owner.speaker.publish(100, 1 * MS)
    owner.world.recorder.is_silent = True
    owner.is_open, owner.is_away = True, False
    owner.speaker.catch_up()
    assert owner.said() == []
