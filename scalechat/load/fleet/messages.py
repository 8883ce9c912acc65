"""What coordinator and workers say to each other: MessagePack, one message a frame.

A worker says, in this order: `Hello`, `Standing`, `Ready`, `Account`…, `Report`; in between `Ping`, `Progress`,
`Counted`, `Note`, `Forlorn`, `Asking`, `Sent`, `Rows`; and instead of any of it `Failed`. The coordinator: `Orders`,
`Go`, `Begin`, `Others`…, `Bye`; in between `Pong`, `Lost`, `Interrupt`, `End`, and what others said of `Asking` and
`Sent`; and instead of any of it `CalledOff`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from scalechat.config import LoadConfig
from scalechat.load.histogram import Histogram, HistogramDump
from scalechat.load.live import Snapshot
from scalechat.load.part import Part
from scalechat.load.results import Worker
from scalechat.load.tally import Tally

M = TypeVar("M")


class _Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all messages. Times are monotonic ns of whoever says them."""


class Hello(_Message, frozen=True):
    """A worker is there."""

    worker: Worker
    boot_id: str
    """Names the machine's boot: processes with equal ones share a monotonic clock. Empty when it is not known."""
    settings: dict[str, str]
    """What all of a run must agree on; empty from a worker that takes the coordinator's settings."""


class Standing(_Message, frozen=True):
    """It has its orders and can begin."""


class Ready(_Message, frozen=True):
    """Its clients have joined, or failed to."""


class Forlorn(_Message, frozen=True):
    """None of its connections is left."""

    why: str


class Account(_Message, frozen=True):
    """It publishes no more. `final`: it awaits nothing any more either."""

    published: list[int]
    """For each of its publishers, ascending; empty when no room is split."""
    unowed: list[tuple[int, int]]
    """(publisher, number) of what the server refused or never acknowledged; complete when this is final."""
    final: bool
    refused: list[tuple[int, int]] = []
    """Those of them that the server refused."""


class Asking(_Message, frozen=True):
    """It has to know when the others' messages were sent: members of its came or went meanwhile."""


class Sent(_Message, frozen=True):
    """When messages were sent, because somebody asked. Those of an `Account` are told before it."""

    times: list[tuple[int, bytes]]
    """See `Sendings.told`."""


class Ping(_Message, frozen=True):
    """It lives, and asks for the time; a measure of its own clock goes along once it has one."""

    asked_ns: int
    offset_ns: int | None = None
    """Its clock minus the coordinator's."""
    error_ns: int | None = None


class Progress(_Message, frozen=True):
    """What a person may see of it."""

    snapshot: Snapshot


class Counted(_Message, frozen=True):
    """What Prometheus may see of it."""

    tally: Tally


class Note(_Message, frozen=True):
    """What a person should know."""

    line: str


class Rows(_Message, frozen=True):
    """The next bytes of one of its files, from a worker whose files the coordinator cannot read."""

    file: str
    data: bytes


class Report(_Message, frozen=True):
    """Its part is complete."""

    part: Part


class Failed(_Message, frozen=True):
    """It cannot go on."""

    text: str
    exit_code: int


class Orders(_Message, frozen=True):
    """Which part of which run."""

    index: int
    count: int
    seed: int
    run: int
    """32 random bits, as in `Names`."""
    run_id: str
    config: LoadConfig | None = None
    """None: the worker has its own, and it is the same."""
    part_dir: str | None = None
    """Where its tables go; None: where it likes, and they are to be shipped."""
    shares_clock: bool = False
    """Its monotonic clock is the coordinator's."""
    is_scraped: bool = False
    """Somebody reads the run's metrics: it says its `Counted` once a second."""


class Go(_Message, frozen=True):
    """The run starts then; `unix_ns` is the same moment on the wall clock."""

    start_ns: int
    unix_ns: int


class Begin(_Message, frozen=True):
    """Everybody has joined: publishing begins then."""

    begin_ns: int


class Others(_Message, frozen=True):
    """What another worker says of itself."""

    index: int
    account: Account


class Clock(_Message, frozen=True):
    """Another worker's clock minus the coordinator's, and how wrong that may be."""

    index: int
    offset_ns: int
    error_ns: int


class Lost(_Message, frozen=True):
    """Nothing more comes from that worker."""

    index: int


class End(_Message, frozen=True):
    """End the run early."""

    why: str


class Interrupt(_Message, frozen=True):
    """Somebody wishes the run to end; the second time, in a hurry."""


class Pong(_Message, frozen=True):
    """The answer to a `Ping`: when that came, and when this goes."""

    asked_ns: int
    heard_ns: int
    answered_ns: int


class Bye(_Message, frozen=True):
    """The run is written."""

    exit_code: int
    verdict: str
    run_dir: str


class CalledOff(_Message, frozen=True):
    """There will be no run, or nobody to write it."""

    text: str
    exit_code: int


_Started = Hello | Standing | Ready
_Going = Ping | Progress | Counted | Note | Forlorn
FromWorker = _Started | _Going | Account | Asking | Sent | Rows | Report | Failed
FromCoordinator = Orders | Go | Begin | Others | Asking | Sent | Clock | Lost | End | Interrupt | Pong | Bye | CalledOff


def encode(message: FromWorker | FromCoordinator) -> bytes:
    """One frame."""
    return msgspec.msgpack.encode(message, enc_hook=_plain)


def decode_worker(frame: bytes) -> FromWorker:
    """What a worker said. Raises `msgspec.DecodeError` for anything else."""
    return _FROM_WORKER.decode(frame)


def decode_coordinator(frame: bytes) -> FromCoordinator:
    """What the coordinator said. Raises `msgspec.DecodeError` for anything else."""
    return _FROM_COORDINATOR.decode(frame)


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case Histogram():
            return value.dump()
        case _:
            raise TypeError(f"{type(value).__name__} is not for sending")


def _restored(kind: type[M], plain: object) -> object:
    if issubclass(kind, Path):
        return Path(str(plain))
    return Histogram.load(msgspec.convert(plain, HistogramDump))


_FROM_WORKER: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker, dec_hook=_restored)
_FROM_COORDINATOR: msgspec.msgpack.Decoder[FromCoordinator] = msgspec.msgpack.Decoder(
    FromCoordinator, dec_hook=_restored
)
