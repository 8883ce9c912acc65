"""What a process says of its run: each figure from where it was counted, and nothing where nobody can know."""

from __future__ import annotations

import os
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scalechat.config import LoadConfig
from scalechat.load.assignment import Assignment, Beginning
from scalechat.load.connector import TcpConnector
from scalechat.load.course import PhaseNumber
from scalechat.load.dialects import Dialect, Names, Plain, ScaleChatV1
from scalechat.load.ending import Ending
from scalechat.load.failures import OWN
from scalechat.load.instruments import Instruments
from scalechat.load.measurement import Measurement
from scalechat.load.own_part import own_part
from scalechat.load.part import COUNTED, Part, Unseen
from scalechat.load.plan import EVERYTHING, Plan, Share
from scalechat.load.results import RunWriter

from .worlds import RUN, Memory

MS = 1_000_000
ENDED_NS = 9_000 * MS


@dataclass
class Played:
    """A run of two clients that a test plays by hand, on a clock that stands still."""

    instruments: Instruments
    told: list[str]

    def __post_init__(self) -> None:
        self.recorder = self.instruments.recorder
        self.ending = Ending(self.told.append)
        self.instruments.timeline.enter(PhaseNumber.STEADY)
        self.recorder.phase = PhaseNumber.STEADY

    def publish(self, client: int, *reached: int) -> None:
        number = self.recorder.roll.next_number(client)
        self.recorder.published(client, size_bytes=100, intended_ns=5 * MS, sent_ns=7 * MS, due_ns=5 * MS)
        row = self.recorder.broadcasts.row_of(client, number)
        assert row is not None
        for member in reached:
            self.recorder.deliveries.add(member, array("q", [row]), 8 * MS)

    def part(self, *, interrupted: bool = False) -> Part:
        self.instruments.finish(ENDED_NS)
        measurement = Measurement(self.recorder, lambda: 0)
        return own_part(self.instruments, measurement, None, self.ending, interrupted=interrupted, ended_ns=ENDED_NS)


@contextmanager
def played(out: Path, dialect: Dialect, share: Share = EVERYTHING) -> Iterator[Played]:
    config = LoadConfig(clients=4 if share.count > 1 else 2)
    todo = Assignment(
        config=config,
        sources={},
        plan=Plan.of(config, 1, share),
        slos=(),
        dialect=dialect,
        names=Names(RUN, "/ws"),
        connector=TcpConnector("ws://h/", 0, ("127.0.0.1", 1), None),
        page=None,
        stated={},
        beginning=Beginning(1_000 * MS, 50_000 * MS),
    )
    with RunWriter.create(out) as writer:
        instruments = Instruments(todo, writer, Memory(), lambda: 2_000 * MS)
        with instruments.opened():
            yield Played(instruments, [])


@pytest.fixture
async def acknowledged(tmp_path: Path) -> AsyncIterator[Played]:
    with played(tmp_path, ScaleChatV1()) as run:
        yield run


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Played]:
    with played(tmp_path, Plain()) as run:
        yield run


@pytest.fixture
async def second_of_two(tmp_path: Path) -> AsyncIterator[Played]:
    with played(tmp_path, ScaleChatV1(), Share(1, 2)) as run:
        yield run


async def test_every_message_is_in_the_ledger_by_what_became_of_it(acknowledged: Played) -> None:
    """Taken, refused, or never answered: these three are all that was published."""
    recorder = acknowledged.recorder
    for client in range(2):
        recorder.join(client)
    for reached in ((0, 1), (0,), (), (1,)):
        acknowledged.publish(0, *reached)
    recorder.acknowledge(0, 1, at_ns=9 * MS, room_seq=1)
    recorder.acknowledge(0, 2, at_ns=9 * MS, room_seq=2)
    recorder.reject(0, 3)
    ledger = acknowledged.part().ledger
    assert (ledger.published, ledger.acked, ledger.rejected, ledger.unacked) == (4, 2, 1, 1)
    # The second one missed a member; the last one was promised to nobody but who got it.
    assert (ledger.expected, ledger.delivered, ledger.missing) == (5, 4, 1)


async def test_of_a_server_that_acknowledges_nothing_it_is_not_said_what_it_acknowledged(plain: Played) -> None:
    """Not even that it was nothing."""
    plain.recorder.join(1)
    plain.publish(0)
    ledger = plain.part().ledger
    assert (ledger.acked, ledger.rejected, ledger.unacked) == (None, None, None)
    assert (ledger.published, ledger.expected, ledger.missing) == (1, 1, 1)


async def test_a_run_that_ended_before_it_published_has_measured_nothing_and_says_why(acknowledged: Played) -> None:
    """The times are those of the wall clock."""
    acknowledged.ending.end("interrupted")
    part = acknowledged.part(interrupted=True)
    facts = part.facts
    assert (facts.interrupted, facts.completed, facts.why_not) == (True, False, "interrupted")
    assert (facts.intended, facts.in_time, facts.late, part.steady.published) == (0, 0, 0, 0)
    assert (part.started_unix_ns, part.ended_unix_ns) == (50_000 * MS, 58_000 * MS)
    assert (part.phases[-1].end_s, part.measured) == (8.0, [PhaseNumber.STEADY])
    assert (part.worker.pid, part.worker.worker_id) == (os.getpid(), "0")


async def test_a_connection_that_this_machine_refused_is_told_apart_and_is_the_example(acknowledged: Played) -> None:
    """Whatever else failed: it makes the run invalid, and a server's refusals do not."""
    counters, errors = acknowledged.recorder.counters, acknowledged.instruments.errors
    counters.connect_failures |= {"refused": 3, OWN: 2}
    counters.disconnects, counters.evicted = 7, 5
    for kind, text in (("connect_refused", "nobody listens"), (f"connect_{OWN}", "no port"), ("closed_1001", "gone")):
        errors.note(kind, text, at_ns=0, phase=PhaseNumber.RAMP)
    part = acknowledged.part()
    assert (part.facts.failed_dials, part.facts.own_failures, part.facts.failure_example) == (5, 2, "no port")
    assert part.counted == {"evicted": 5, "disconnects": 7, "connect_failures": 5, "errors": 3}
    assert set(part.counted) == set(COUNTED)


async def test_what_another_process_published_and_nobody_here_saw_goes_along(second_of_two: Played) -> None:
    """So that whoever published it can say how long it was waited for; and a refused one that came is counted apart."""
    recorder = second_of_two.recorder
    mine, others = recorder.plan.mine(), [client for client in range(4) if not recorder.plan.is_mine(client)]
    ledgers = [recorder.roll.join(client, late=False) for client in mine]
    for ledger in ledgers:
        ledger.admit([(recorder.plan.slot_of(others[0]), 1)])
    recorder.roll.elsewhere.see(others[0], 1)
    recorder.roll.elsewhere.announce(others[0], 3, unowed=[1], refused=[1])
    recorder.roll.elsewhere.announce(others[1], 0)
    recorder.settle()
    part = second_of_two.part()
    assert part.unseen == [Unseen(others[0], 2, 3, members=2, apart=0)]
    assert (part.ledger.refused_delivered, part.worker.worker_id) == (2, "1")
