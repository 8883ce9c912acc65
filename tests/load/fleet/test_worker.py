"""One worker and a coordinator whose every word is in the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from outcome import Outcome, acapture
from trio.testing import MockClock, memory_stream_pair

from scalechat.config import LoadConfig, OperationalError, UsageError
from scalechat.load.ending import Interruption
from scalechat.load.fleet.channel import SILENCE_S, Gone, StreamChannel
from scalechat.load.fleet.messages import (
    Account,
    Begin,
    Bye,
    CalledOff,
    Failed,
    FromCoordinator,
    FromWorker,
    Go,
    Hello,
    Interrupt,
    Orders,
    Ping,
    Pong,
    Ready,
    Report,
    Rows,
    Standing,
    decode_worker,
    encode,
)
from scalechat.load.fleet.worker import Worker
from scalechat.load.own_part import this_worker
from scalechat.scenario import Probe
from tests.load.broadcaster import Broadcaster
from tests.load.worlds import memory_connector, virtual_ns

M = TypeVar("M", bound=FromWorker)
HELLO = Hello(this_worker(0), "", {})
BYE = Bye(exit_code=0, verdict="pass", run_dir="runs/r")
AHEAD_NS = 5_000_000_000
"""The coordinator's clock shows so much more than the worker's."""


class Chief:
    """The coordinator's end. It answers pings while it hears."""

    def __init__(self, stream: trio.abc.Stream, config: LoadConfig) -> None:
        self.stream = stream
        self.config = config
        self.heard: list[FromWorker] = []
        self.ended: Outcome[Bye] | None = None
        """What `work` returned or raised."""
        self.over = trio.Event()
        self._channel = StreamChannel(stream)

    async def tell(self, message: FromCoordinator) -> None:
        await self._channel.send(encode(message))

    async def order(self, *, shares_clock: bool = True, part_dir: Path | None = None) -> None:
        where = None if part_dir is None else str(part_dir)
        await self.hear(Hello)
        await self.tell(Orders(0, 1, 1, 7, "r", self.config, part_dir=where, shares_clock=shares_clock))

    async def hear(self, kind: type[M]) -> M:
        while True:
            message = decode_worker(await self._channel.receive())
            self.heard.append(message)
            if isinstance(message, Ping):
                now_ns = virtual_ns() + AHEAD_NS
                await self.tell(Pong(message.asked_ns, now_ns, now_ns))
            if isinstance(message, kind):
                return message

    async def ready(self) -> None:
        """From the orders to the moment when everybody has joined."""
        await self.hear(Standing)
        await self.tell(Go(virtual_ns() + AHEAD_NS, 0))
        await self.hear(Ready)

    async def conduct(self) -> Report:
        """From the orders to the report of a run that begins at once."""
        await self.ready()
        await self.tell(Begin(virtual_ns() + AHEAD_NS))
        return await self.hear(Report)

    async def outcome(self) -> Bye:
        with trio.fail_after(1000):
            await self.over.wait()
        assert self.ended is not None
        return self.ended.unwrap()


def files_in(out: Path) -> dict[str, bytes]:
    """All there are, each by its own name."""
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@asynccontextmanager
async def worker(out: Path, **options: object) -> AsyncIterator[Chief]:
    """A worker that has said hello."""
    config = LoadConfig(
        **{"out": out, "clients": 3, "warmup_s": 0, "duration_s": 1.0, "drain_s": 1.0, **options}  # type: ignore[arg-type]
    )
    async with memory_connector(Broadcaster(v1=True).serve) as connector, trio.open_nursery() as nursery:
        ours, theirs = memory_stream_pair()
        chief = Chief(ours, config)
        one = Worker(StreamChannel(theirs), connector=connector, clock=virtual_ns)

        async def work() -> None:
            chief.ended = await acapture(lambda: one.work(Hello(this_worker(0), "", {}), orders_s=3.0))
            chief.over.set()
            await trio.aclose_forcefully(theirs)

        nursery.start_soon(work)
        yield chief
        nursery.cancel_scope.cancel()


async def test_a_worker_without_orders_does_not_wait_for_ever(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with worker(tmp_path) as chief:
        with pytest.raises(OperationalError, match="the coordinator of the run did not come within 3 s"):
            await chief.outcome()
        assert trio.current_time() == pytest.approx(3.0)


async def test_what_cannot_be_carried_out_is_told_before_anything_is_written(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """In the words that one process would use, with its exit code; the worker ends with the same."""
    async with worker(tmp_path, kinds=(Probe(count=9),)) as chief:
        await chief.order()
        failed = await chief.hear(Failed)
        assert failed.text.startswith("9 clients are claimed by [[kinds]] and there are 3")
        assert failed.exit_code == 2
        with pytest.raises(UsageError, match="9 clients are claimed"):
            await chief.outcome()
    assert files_in(tmp_path) == {}


async def test_a_coordinator_that_is_gone_ends_its_worker(autojump_clock: MockClock, tmp_path: Path) -> None:
    """In the middle of a run, in one line and not in a group of errors."""
    async with worker(tmp_path, duration_s=60.0) as chief:
        await chief.order()
        await chief.ready()
        await trio.aclose_forcefully(chief.stream)
        with pytest.raises(OperationalError, match="instance 0 is gone: this part of the run was ended"):
            await chief.outcome()


async def test_a_coordinator_that_says_nothing_any_more_is_as_good_as_gone(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It would have answered a ping."""
    async with worker(tmp_path) as chief:
        await chief.order()
        with pytest.raises(OperationalError, match=r"^instance 0 was silent for 10 s: this part of the run was ended"):
            await chief.outcome()
        assert trio.current_time() == pytest.approx(SILENCE_S)


async def test_where_a_disk_is_shared_the_tables_stay_and_only_the_report_is_sent(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """In the directory that the orders name."""
    async with worker(tmp_path) as chief:
        await chief.order(part_dir=tmp_path / "here")
        await chief.conduct()
        await chief.tell(BYE)
        assert await chief.outcome() == BYE
        assert not [message for message in chief.heard if isinstance(message, Rows)]
    assert files_in(tmp_path / "here")["broadcasts.csv"].count(b"\n") > 1


async def test_elsewhere_the_tables_are_shipped_before_the_report_and_then_removed(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """To the last byte: the coordinator counts rows by what it got."""
    async with worker(tmp_path) as chief:
        await chief.order()
        report = await chief.conduct()
        shipped: dict[str, bytes] = {}
        for message in chief.heard:
            if isinstance(message, Rows):
                shipped[message.file] = shipped.get(message.file, b"") + message.data
        assert shipped == files_in(tmp_path), "which are still there: the coordinator may fail"
        assert shipped["broadcasts.csv"].count(b"\n") == report.part.ledger.published + 1
        await chief.tell(BYE)
        await chief.outcome()
    assert files_in(tmp_path) == {}


async def test_a_worker_with_another_clock_measures_it_first_and_starts_by_the_coordinators(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Its times in the report are its own, with the offset beside them."""
    async with worker(tmp_path) as chief:
        await chief.order(shares_clock=False)
        report = await chief.conduct()
        pings = [type(message) for message in chief.heard].index(Standing)
        assert pings > 5, "measured before it says that it can begin"
        assert report.part.worker.clock_offset_ns == -AHEAD_NS
        assert (report.part.worker.clock_error_ns or 0) < 1_000_000


async def test_an_interruption_is_obeyed_and_reported(autojump_clock: MockClock, tmp_path: Path) -> None:
    """It drains as one process would, and its account says that it is not all."""
    async with worker(tmp_path, duration_s=600.0) as chief:
        await chief.order()
        await chief.ready()
        await chief.tell(Begin(virtual_ns()))
        await trio.sleep(2)
        await chief.tell(Interrupt())
        await chief.hear(Account)
        report = await chief.hear(Report)
        assert (report.part.facts.interrupted, report.part.facts.completed) == (True, False)
        assert report.part.ledger.missing == 0
        assert trio.current_time() < 10


async def test_a_run_that_is_called_off_ends_with_the_reason(autojump_clock: MockClock) -> None:
    """Whoever waits for orders need not wait for the time-out, and has the coordinator's exit code."""
    ours, theirs = memory_stream_pair()
    await StreamChannel(theirs).send(encode(CalledOff("no server there", 2)))
    with pytest.raises(OperationalError, match="instance 0 ended the run: no server there") as ended:
        await Worker(StreamChannel(ours)).work(HELLO, orders_s=60)
    assert ended.value.exit_code == 2


async def test_ctrl_c_ends_the_wait_for_orders(autojump_clock: MockClock) -> None:
    """Exit code 105."""
    ours, _theirs = memory_stream_pair()
    interruption = Interruption()
    interruption.request()
    with pytest.raises(OperationalError, match="interrupted before the first connection") as ended:
        await Worker(StreamChannel(ours), interruption=interruption).work(HELLO, orders_s=60)
    assert ended.value.exit_code == 105


async def test_a_redis_that_is_gone_is_named() -> None:
    """And not the coordinator, who has the same trouble."""

    class Away:
        async def send(self, frame: bytes) -> None:
            pass

        async def receive(self) -> bytes:
            raise Gone("Redis did not answer for 8 s")

    with pytest.raises(OperationalError, match=r"^Redis did not answer for 8 s: this part of the run was ended$"):
        await Worker(Away()).work(HELLO, orders_s=60)
