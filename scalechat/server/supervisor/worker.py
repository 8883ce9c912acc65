"""What runs in a worker's process: one node on sockets that the supervisor opened.

    python -m scalechat.server.supervisor.worker

The supervisor writes a `Job` into its input, and orders after that, a line each: ``drain``, ``go`` (no other worker
publishes any more), ``hurry``. The end of the input is the end of the supervisor, and a worker does not outlive it. To
its output a worker writes ``ready``, ``quiet`` (it has stopped to accept and to publish) and, when it cannot start,
``failed CODE MESSAGE``.
"""

from __future__ import annotations

import math
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import structlog
import trio

from scalechat.config import ScaleChatError, ServeConfig
from scalechat.server.app import run_node, stop_signals
from scalechat.server.ceiling import ceiling_here
from scalechat.server.log import configure_logging
from scalechat.server.node import Node
from scalechat.server.site import Here
from scalechat.server.supervisor.everywhere import Everywhere, answer_for
from scalechat.server.supervisor.lines import Lines
from scalechat.server.supervisor.questions import listen_at, serve_answers, supervisor_at, worker_at
from scalechat.server.vitals import raise_file_limit

QUIET_S = 2.0
"""For the other workers to stop publishing: one that stands still must not hold up the drain of all."""
STOPS_BUFFERED = 8
"""Only the first two mean anything."""

log = structlog.get_logger("scalechat.server")


class Job(msgspec.Struct, frozen=True):
    """What a worker is told at its start. `directory` holds the sockets on which the processes ask each other."""

    worker: int
    config: ServeConfig
    sockets: list[int]
    directory: str
    knows_all_nodes: bool
    processes: int
    """That share the memory there is."""


def share_of(config: ServeConfig, *, bus: str) -> ServeConfig:
    """The configuration of one of the workers that `config` asks for."""
    return replace(config, workers=1, bus=bus, max_connections=math.ceil(config.max_connections / config.workers))


class Orders:
    """What the supervisor and signals ask of this process. `stops` is what `run_node` reads."""

    def __init__(self) -> None:
        self._stop, self.stops = trio.open_memory_channel[None](STOPS_BUFFERED)
        self._go = trio.Event()
        self._ordered = False

    async def follow_supervisor(self, lines: Lines) -> None:
        """Until the supervisor is gone, which is an order to stop as well."""
        while (line := await lines.next()) is not None:
            if line == "go":
                self._go.set()
                continue
            self._ordered = True
            self.stop()
        self._go.set()
        self.stop()

    async def follow_signals(self, signals: AsyncIterator[int]) -> None:
        """A signal for this process alone: it leaves, the others stay."""
        async for _ in signals:
            self.stop()

    def stop(self) -> None:
        with suppress(trio.WouldBlock):
            self._stop.send_nowait(None)

    async def others_quiet(self) -> None:
        """Say that this node is quiet; when all are to end, wait until the others are as well."""
        tell("quiet")
        if self._ordered:
            with trio.move_on_after(QUIET_S):
                await self._go.wait()


def tell(line: str) -> None:
    """Write a line to the supervisor; one that is gone needs none."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())  # A few bytes: a pipe always takes them.


async def work() -> None:
    """Do the job that comes first on stdin, until the supervisor or a signal says to end."""
    orders = Orders()
    with stop_signals(ends_process=True) as signals:
        lines = Lines(trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())))
        job = msgspec.json.decode(await lines.next() or "{}", type=Job)
        config = job.config
        directory = Path(job.directory)
        configure_logging(config.log_format, config.log_level, worker=job.worker)

        def everywhere(_: Here) -> Everywhere:
            return Everywhere(supervisor_at(directory), knows_all_nodes=job.knows_all_nodes)

        allowed = ceiling_here(raise_file_limit()[1], processes=job.processes)
        node = Node(config, allowed.connections, site_around=everywhere)
        answers = listen_at(worker_at(directory, job.worker))

        def announce() -> None:
            log.info("worker is ready", pid=os.getpid(), max_connections=node.admission.max_connections)
            tell("ready")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(orders.follow_supervisor, lines)
            nursery.start_soon(orders.follow_signals, signals)
            nursery.start_soon(serve_answers, answers, answer_for(node.here))
            await run_node(
                node,
                [socket.socket(fileno=fd) for fd in job.sockets],
                orders.stops,
                drain_s=config.drain_s,
                announce=announce,
                others_quiet=orders.others_quiet,
            )
            nursery.cancel_scope.cancel()


def main() -> int:
    """Run the worker and return its exit code."""
    exit_code = 0
    try:
        trio.run(work)
    except* ScaleChatError as group:
        error = _first(group)
        exit_code = error.exit_code
        tell(f"failed {exit_code} {' '.join(str(error).split())}")
    return exit_code


def _first(group: BaseExceptionGroup[ScaleChatError]) -> ScaleChatError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
