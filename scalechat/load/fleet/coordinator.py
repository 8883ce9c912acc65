"""The coordinator: speaks with every worker, carries out what the agreement decides, and writes the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import trio

from scalechat.config import OperationalError, ScaleChatError
from scalechat.load.assignment import Assignment
from scalechat.load.conclusion import RunOutcome, conclude
from scalechat.load.ending import Interruption
from scalechat.load.exposition import LoadCollector, serve_metrics
from scalechat.load.failures import told_in
from scalechat.load.fleet.agreement import Agreement, Letter
from scalechat.load.fleet.channel import SILENCE_S, Channel, Gone
from scalechat.load.fleet.merging import Merge
from scalechat.load.fleet.messages import (
    Bye,
    CalledOff,
    Counted,
    Failed,
    FromWorker,
    Hello,
    Interrupt,
    Note,
    Orders,
    Progress,
    Rows,
    decode_worker,
    encode,
)
from scalechat.load.fleet.post import Post
from scalechat.load.fleet.settings import require_same
from scalechat.load.fleet.tallies import Tallies
from scalechat.load.fleet.together import together
from scalechat.load.live import WRITING, Audience, Snapshot
from scalechat.load.pacing import NowNs
from scalechat.load.plan import SECOND_NS
from scalechat.load.results import Reason, RunWriter
from scalechat.load.verdict import EXIT_GENERATOR, EXIT_INTERRUPTED

START_S: Final = 60.0
"""An interpreter on a busy machine may take so long to start."""
FAREWELL_S: Final = 5.0
MERGE_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A worker as the coordinator reaches it."""

    channel: Channel
    is_ours: bool
    """Started by us: it takes our settings and writes its tables where we say."""
    name: str
    """For a person."""
    abandon: Callable[[], None]
    """Called when it is lost: whatever is left of it must not go on."""


class Coordinator:
    """One run of several workers. Make it and call `carry_out`, once."""

    def __init__(
        self,
        todo: Assignment,
        writer: RunWriter,
        peers: Sequence[Peer],
        watcher: Audience,
        interruption: Interruption,
        clock: NowNs,
    ) -> None:
        """`todo` is of no share: the coordinator has no clients."""
        self._todo = todo
        self._writer = writer
        self._peers = peers
        self._watcher = watcher
        self._interruption = interruption
        self._clock = clock
        self._agreement = Agreement(len(peers), clock, time.time_ns)
        self._posts = [Post(peer.channel) for peer in peers]
        self._merge = Merge(writer, len(peers))
        self._tallies = Tallies(len(peers))
        self._snapshots: dict[int, Snapshot] = {}
        self._noted: set[str] = set()
        self._failure: ScaleChatError | None = None
        """Why there will be no run."""
        self._over = trio.Event()

    async def carry_out(self) -> RunOutcome:
        """Do it.

        Raises:
            OperationalError: a worker could not begin, or all were lost.
        """
        async with trio.open_nursery() as nursery:
            for index in range(len(self._peers)):
                nursery.start_soon(self._converse, index)
            try:
                async with trio.open_nursery() as meanwhile:
                    await self._serve_metrics(meanwhile)
                    meanwhile.start_soon(self._obey)
                    meanwhile.start_soon(self._look)
                    await self._over.wait()
                    meanwhile.cancel_scope.cancel()
                if self._failure is not None:
                    raise self._failure
                self._watcher.wait(WRITING)
                outcome = await trio.to_thread.run_sync(self._write)  # Pings are answered meanwhile.
            except (ScaleChatError, ExceptionGroup) as error:
                await self._call_off(error)
                raise
            bye = Bye(outcome.exit_code, outcome.summary.verdict, str(outcome.run_dir))
            await self._say_goodbye(bye, self._agreement.living)
            nursery.cancel_scope.cancel()
        return outcome

    # --- one worker ---------------------------------------------------------------------------------------------------

    async def _converse(self, index: int) -> None:
        why = "it ended"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._posts[index].run)
                await self._welcome(index)
                while True:
                    with trio.fail_after(SILENCE_S):
                        frame = await self._peers[index].channel.receive()
                    self._take(index, decode_worker(frame))
        except* Gone as group:
            why = str(group.exceptions[0]) or why
        except* trio.TooSlowError:
            why = f"it was silent for {SILENCE_S:g} s"
        except* msgspec.DecodeError as group:
            why = f"it talks nonsense ({group.exceptions[0]})"
        except* ScaleChatError as group:
            self._fail(told_in(group))
        self._lose(index, why)

    async def _welcome(self, index: int) -> None:
        peer, todo = self._peers[index], self._todo
        with trio.fail_after(START_S):
            hello = decode_worker(await peer.channel.receive())
        if not isinstance(hello, Hello):
            raise Gone
        try:
            require_same(todo.config, hello.settings, peer.name)
        except OperationalError as error:
            # Here and not with the others: the conversation with it is over, and it would wait for its orders.
            await peer.channel.send(encode(CalledOff(str(error), error.exit_code)))
            raise
        part_dir = self._merge.part_dir(index).resolve()
        self._posts[index].tell(
            Orders(
                index=index,
                count=len(self._peers),
                seed=todo.plan.seed,
                run=todo.names.run,
                run_id=self._writer.run_id,
                config=todo.config if peer.is_ours else None,
                part_dir=str(part_dir) if peer.is_ours else None,
                shares_clock=peer.is_ours or hello.boot_id == boot_id() != "",
                is_scraped=todo.config.metrics_port is not None,
            )
        )

    def _take(self, index: int, message: FromWorker) -> None:
        match message:
            case Progress(snapshot=snapshot):
                self._snapshots[index] = snapshot
            case Counted(tally=tally):
                self._tallies.take(index, tally)
            case Note(line=line):
                if line not in self._noted:  # What one says all of them may say: "ending the run: interrupted".
                    self._noted.add(line)
                    self._watcher.note(f"{self._peers[index].name}: {line}")
            case Rows(file=file, data=data):
                self._merge.receive(index, file, data)
            case Failed(text=text, exit_code=code) if not self._agreement.has_started:
                self._fail(OperationalError(text, code))
            case _:
                self._send(self._agreement.hear(index, message))

    def _lose(self, index: int, why: str) -> None:
        peer = self._peers[index]
        letters = self._agreement.lose(index, why)
        if not self._agreement.has_started:
            self._fail(OperationalError(f"{peer.name} was lost before the run began: {why}"))
            return
        peer.abandon()
        self._tallies.lose(index)
        if index in self._agreement.lost:
            self._watcher.note(f"{peer.name} is lost: {self._agreement.lost[index]}")
        self._send(letters)

    def _fail(self, error: ScaleChatError | None) -> None:
        """There will be no run; the first reason counts."""
        self._failure = self._failure or error
        self._over.set()

    def _send(self, letters: Sequence[Letter]) -> None:
        for index, message in letters:
            self._posts[index].tell(message)
        if self._agreement.is_over:
            self._over.set()

    # --- all of them --------------------------------------------------------------------------------------------------

    async def _serve_metrics(self, nursery: trio.Nursery) -> None:
        if (port := self._todo.config.metrics_port) is not None:
            collector = LoadCollector(self._tallies.together, lambda: self._tallies.up)
            bound: int = await nursery.start(serve_metrics, collector, port)
            self._watcher.note(f"metrics of all load processes: http://localhost:{bound}/metrics")

    async def _obey(self) -> None:
        for asked in (self._interruption.asked, self._interruption.hurry):
            await asked.wait()
            if not self._agreement.has_started:
                self._fail(OperationalError("interrupted before the first connection", EXIT_INTERRUPTED))
            self._send([(index, Interrupt()) for index in self._agreement.living])

    async def _look(self) -> None:
        """Once a second: show the run, and take in what has come of its tables."""
        while True:
            await trio.sleep(MERGE_EVERY_S)
            if self._snapshots:
                self._watcher.show(together(list(self._snapshots.values())))
            while self._merge.pump():
                await trio.lowlevel.checkpoint()

    def _write(self) -> RunOutcome:
        agreement, config = self._agreement, self._todo.config
        distrust = [
            Reason(code="worker_lost", text=f"{self._peers[index].name} was lost ({why}); the others' part is here")
            for index, why in sorted(agreement.lost.items())
        ]
        found = [agreement.parts[index] for index in sorted(agreement.parts)]
        if not found:
            raise OperationalError(
                f"every load worker was lost ({distrust[0].text}); tables as far as written are in "
                f"{self._writer.run_dir}",
                EXIT_GENERATOR,
            )
        parts = self._merge.finish(found, self._todo.plan, never_ns=round(config.drain_s * SECOND_NS))
        outcome = conclude(self._writer, self._todo, parts, distrust=distrust)
        self._merge.clear()
        return outcome

    async def _call_off(self, error: Exception) -> None:
        """Those that we did not start would wait for us."""
        if (told := told_in(error)) is not None:
            others = [index for index in self._agreement.living if not self._peers[index].is_ours]
            await self._say_goodbye(CalledOff(str(told), told.exit_code), others)

    async def _say_goodbye(self, word: Bye | CalledOff, to: Sequence[int]) -> None:
        with trio.move_on_after(FAREWELL_S):
            async with trio.open_nursery() as nursery:
                for index in to:
                    self._posts[index].tell(word)
                    nursery.start_soon(self._posts[index].sent)


def boot_id() -> str:
    """Linux: names this boot of this machine, whose processes share CLOCK_MONOTONIC. Elsewhere empty."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
