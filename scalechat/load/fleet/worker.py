"""One worker: gets its orders, plays its share of the plan, and reports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import trio

from scalechat.config import LoadConfig, OperationalError, ScaleChatError
from scalechat.load.assignment import Assignment, Beginning
from scalechat.load.connector import Connector
from scalechat.load.ending import Interruption
from scalechat.load.failures import leaves, told_in
from scalechat.load.fleet.channel import SIGN_S, SILENCE_S, Channel, Gone
from scalechat.load.fleet.clock import ClockOffset
from scalechat.load.fleet.membership import Membership
from scalechat.load.fleet.messages import (
    Bye,
    CalledOff,
    Counted,
    Failed,
    Hello,
    Note,
    Orders,
    Progress,
    Report,
    Rows,
    Standing,
    decode_coordinator,
    encode,
)
from scalechat.load.fleet.post import Post
from scalechat.load.live import Snapshot
from scalechat.load.pacing import NowNs, monotonic_ns, sleep_until
from scalechat.load.part import Part
from scalechat.load.plan import Share
from scalechat.load.results import RunWriter
from scalechat.load.run import Run
from scalechat.load.setting_out import assign, unless_asked

COUNTED_S: Final = 1.0
MEASURING_S: Final = 0.02
MEASUREMENTS: Final = 10
"""Before the start: so many measurements of the clock, so quickly."""
CHUNK_BYTES: Final = 256 * 1024
"""Of a table that is shipped: far below what any channel takes at once."""
FAREWELL_S: Final = 5.0
"""So long for a last word to be sent."""


class Worker:
    """One share of one run. Make it and call `work`, once."""

    def __init__(
        self,
        channel: Channel,
        *,
        own: tuple[LoadConfig, Mapping[str, str]] | None = None,
        interruption: Interruption | None = None,
        connector: Connector | None = None,
        clock: NowNs = monotonic_ns,
    ) -> None:
        """`own`: settings and their sources, when the coordinator is not to give them."""
        self._channel = channel
        self._own = own
        self._interruption = interruption or Interruption()
        self._connector = connector
        self._clock = clock
        self._post = Post(channel)
        self._bye: Bye | None = None
        self._kept: Path | None = None
        """Tables of ours that nobody else has."""
        self._over = trio.Event()

    async def work(self, hello: Hello, *, orders_s: float) -> Bye:
        """Carry it out; wait no longer than `orders_s` for the coordinator. Returns its last word.

        Raises:
            OperationalError: the coordinator is gone, or never came.
            ScaleChatError: this worker cannot do its part; the coordinator was told.
        """
        try:
            await self._channel.send(encode(hello))
            orders = None
            async with unless_asked(self._interruption):
                with trio.move_on_after(orders_s):
                    orders = decode_coordinator(await self._channel.receive())
            if isinstance(orders, CalledOff):
                raise _called_off(orders)
            if not isinstance(orders, Orders):
                raise OperationalError(f"the coordinator of the run did not come within {orders_s:g} s")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._post.run)
                try:
                    await self._follow(orders, nursery)
                except Exception as error:
                    await self._excuse(error)
                    raise
                nursery.cancel_scope.cancel()
        except (ScaleChatError, Gone, ExceptionGroup) as error:
            raise _reason(error, self._kept) or error from None
        assert self._bye is not None
        return self._bye

    async def _follow(self, orders: Orders, nursery: trio.Nursery) -> None:
        config, sources = self._own or (orders.config, {})
        assert config is not None
        config = replace(config, metrics_port=None)  # The coordinator serves the metrics of all.
        share = Share(orders.index, orders.count)
        todo = await assign(
            config,
            sources,
            self._interruption,
            self._connector,
            seed=orders.seed,
            run=orders.run,
            share=share,
            is_first=False,
        )
        offset = ClockOffset(self._clock, shared=orders.shares_clock)
        member = Membership(todo.plan, self._post, self._interruption, offset, drain_s=config.drain_s)
        nursery.start_soon(self._hear, member)
        nursery.start_soon(self._ping, offset)
        await member.has_clock.wait()
        shipped = orders.part_dir is None
        part_dir = config.out / f"{orders.run_id}.{orders.index}" if orders.part_dir is None else Path(orders.part_dir)
        with RunWriter.create(part_dir.parent, run_id=part_dir.name) as writer:
            self._kept = part_dir if shipped else None
            self._post.tell(Standing())
            part = await self._run(todo, writer, member, offset, is_scraped=orders.is_scraped)
            writer.flush()  # all of it: nothing is finished here, the parts are put together elsewhere
        if shipped:
            await self._ship(part_dir)
        error_ns = offset.worst_error_ns
        worker = msgspec.structs.replace(part.worker, clock_offset_ns=offset.offset_ns, clock_error_ns=error_ns)
        facts = replace(part.facts, clock_error_ns=0 if todo.plan.rooms_are_whole else error_ns)
        self._post.tell(Report(replace(part, worker=worker, facts=facts)))
        await self._over.wait()
        if shipped:
            shutil.rmtree(part_dir, ignore_errors=True)

    async def _run(
        self, todo: Assignment, writer: RunWriter, member: Membership, offset: ClockOffset, *, is_scraped: bool
    ) -> Part:
        async with unless_asked(self._interruption):
            await member.has_go.wait()
        assert member.go is not None
        offset.begin()
        start_ns = member.go.start_ns + offset.offset_ns
        await sleep_until(start_ns, self._clock)
        todo = replace(todo, beginning=Beginning(start_ns, member.go.unix_ns))
        run = Run(todo, writer, _Told(self._post), self._interruption, member, self._clock)
        async with trio.open_nursery() as nursery:
            if is_scraped:
                nursery.start_soon(self._tell_counted, run)
            part = await run.carry_out()
            nursery.cancel_scope.cancel()
        return part

    async def _tell_counted(self, run: Run) -> None:
        while True:
            self._post.tell(Counted(run.tally()))
            await trio.sleep(COUNTED_S)

    async def _hear(self, member: Membership) -> None:
        while self._bye is None:
            try:
                with trio.fail_after(SILENCE_S):
                    frame = await self._channel.receive()
            except trio.TooSlowError:
                raise Gone(f"instance 0 was silent for {SILENCE_S:g} s") from None
            message = decode_coordinator(frame)
            if isinstance(message, CalledOff):
                raise _called_off(message)
            if isinstance(message, Bye):
                self._bye = message
                self._over.set()
            else:
                member.take(message)

    async def _ping(self, offset: ClockOffset) -> None:
        if not offset.is_shared:
            for _ in range(MEASUREMENTS):
                self._post.tell(offset.ask())
                await trio.sleep(MEASURING_S)
        while True:
            self._post.tell(offset.ask())
            await trio.sleep(SIGN_S)

    async def _ship(self, part_dir: Path) -> None:
        """Send the tables; a chunk follows when the one before was taken, so that no memory fills with them."""
        for rows in _chunks(part_dir):
            self._post.tell(rows)
            await self._post.sent()

    async def _excuse(self, error: Exception) -> None:
        """Tell the coordinator why nothing more comes."""
        reason = _reason(error)
        text, code = (str(reason), reason.exit_code) if reason is not None else (f"a bug: {error!r}", 1)
        with trio.move_on_after(FAREWELL_S):
            self._post.tell(Failed(text, code))
            await self._post.sent()


def _chunks(part_dir: Path) -> Iterator[Rows]:
    for path in sorted(part_dir.iterdir()):
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield Rows(path.name, chunk)


class _Told:
    """A watcher whose eyes are at the coordinator."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def show(self, snapshot: Snapshot) -> None:
        self._post.tell(Progress(snapshot))

    def note(self, line: str) -> None:
        self._post.tell(Note(line))


def _called_off(word: CalledOff) -> OperationalError:
    return OperationalError(f"instance 0 ended the run: {word.text}", word.exit_code)


def _reason(error: BaseException, kept: Path | None = None) -> ScaleChatError | None:
    """What a person should know of an error, or of a group; None for a bug of ours."""
    if (told := told_in(error)) is not None:
        return told
    gone = next((leaf for leaf in leaves(error) if isinstance(leaf, Gone)), None)
    if gone is None:
        return None
    where = f"; its tables so far are in {kept}" if kept is not None else ""
    return OperationalError(f"{str(gone) or 'instance 0 is gone'}: this part of the run was ended{where}")
