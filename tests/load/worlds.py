"""Runs without a network: load client, broadcast server and the memory streams between them, on one virtual clock."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from random import Random

import trio
from outcome import acapture
from rich.console import Console
from trio.testing import memory_stream_pair

from scalechat.client.shared_reader import SharedReader
from scalechat.config import LoadConfig
from scalechat.load.connector import Connector, Link, TcpConnector
from scalechat.load.course import PhaseNumber
from scalechat.load.decoding import Decoder
from scalechat.load.dialects import Dialect, Names, ScaleChatV1
from scalechat.load.display.closing_words import print_summary
from scalechat.load.errors import ErrorLog
from scalechat.load.live import Snapshot
from scalechat.load.pacing import NowNs
from scalechat.load.plan import Plan
from scalechat.load.poller import Poller
from scalechat.load.recorder import Recorder
from scalechat.load.room_stream import RoomStream
from scalechat.load.runner import Interruption, RunOutcome, run_load
from scalechat.load.seeded import Chance
from scalechat.load.surroundings import Surroundings

RUN = 7
"""The number of every run here that is not a whole one."""
Serve = Callable[[trio.abc.Stream], Awaitable[None]]


def virtual_ns() -> int:
    """Trio's clock, in ns."""
    return round(trio.current_time() * 1e9)


@dataclass
class MemoryConnector:
    """Connections that are memory streams, each served in a task of its own."""

    serve: Serve
    nursery: trio.Nursery
    host_header: str = "memory"
    links: list[trio.abc.Stream] = field(default_factory=list)
    """The server's ends, in the order they were opened."""
    without_port: Container[int] = ()
    """Clients for whom this machine has none left."""

    async def open(self, client: int, *, receive_buffer_bytes: int | None = None) -> Link:
        if client in self.without_port:
            raise OSError(errno.EADDRNOTAVAIL, "no port")
        ours, theirs = memory_stream_pair()
        self.links.append(theirs)
        self.nursery.start_soon(self.serve, theirs)
        await trio.lowlevel.checkpoint()
        return Link(ours)


@asynccontextmanager
async def memory_connector(serve: Serve) -> AsyncIterator[MemoryConnector]:
    """A connector for the body; its connections end with it."""
    async with trio.open_nursery() as nursery:
        yield MemoryConnector(serve, nursery)
        nursery.cancel_scope.cancel()


@contextmanager
def surroundings(
    plan: Plan,
    *,
    clock: NowNs = virtual_ns,
    connector: Connector | None = None,
    dialect: Dialect | None = None,
    rooms_that_share_memory: int | None = None,
    reconnects: bool = False,
) -> Iterator[Surroundings]:
    """What the clients of a plan share, in the measured phase of a run that nobody conducts."""
    dialect = ScaleChatV1() if dialect is None else dialect
    names, recorder = Names(RUN, "/ws"), Recorder(plan, acknowledged=dialect.acknowledges)
    recorder.phase = PhaseNumber.STEADY
    decoder = Decoder(dialect, names, recorder)
    with Poller() as poller:
        yield Surroundings(
            connector=TcpConnector("ws://h/", 0, ("127.0.0.1", 1), None) if connector is None else connector,
            dialect=dialect,
            names=names,
            recorder=recorder,
            decoder=decoder,
            reader=SharedReader(decoder.batch),
            streams=[RoomStream(rooms_that_share_memory or plan.rooms) for _ in range(plan.rooms)],
            errors=ErrorLog(),
            poller=poller,
            clock=clock,
            chance=Chance(plan.seed),
            random=Random(plan.seed),
            reconnects=reconnects,
            connect_timeout_s=1,
            unix_offset_ns=0,
            on_settled=lambda: None,
            on_left=lambda: None,
            on_replaced=lambda _client: None,
        )


def printed(outcome: RunOutcome) -> str:
    """What a person reads when the run is over."""
    console = Console(file=StringIO(), width=200, record=True)
    print_summary(outcome, console)
    return console.export_text()


@dataclass
class Memory:
    """A watcher that remembers."""

    snapshots: list[Snapshot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def begin(self, config: LoadConfig) -> None:
        self.waits.append("connecting")

    def wait(self, what: str) -> None:
        self.waits.append(what)

    def show(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def note(self, line: str) -> None:
        self.notes.append(line)


async def virtual_run(
    serve: Serve,
    out: Path,
    *,
    meanwhile: Callable[[MemoryConnector, Interruption], Awaitable[None]] | None = None,
    watcher: Memory | None = None,
    **options: object,
) -> RunOutcome:
    """One run against `serve` in virtual time; `meanwhile` may do things to it."""
    config = LoadConfig(**{"out": out, "seed": 1, "warmup_s": 1.0, "duration_s": 5.0, **options})  # type: ignore[arg-type]
    interruption = Interruption()
    async with memory_connector(serve) as connector, trio.open_nursery() as nursery:
        if meanwhile is not None:
            nursery.start_soon(meanwhile, connector, interruption)
        # Captured, so that what it raises does not come out in a group.
        result = await acapture(
            run_load,
            config,
            {"clients": "flag"},
            watcher=watcher,
            interruption=interruption,
            connector=connector,
            clock=virtual_ns,
        )
        nursery.cancel_scope.cancel()
    return result.unwrap()
