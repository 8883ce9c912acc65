"""All workers: each started, and started again; one drain for all."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from scalechat.config import OperationalError, ServeConfig
from scalechat.server.supervisor.child import Child
from scalechat.server.supervisor.restarts import Restarts
from scalechat.server.supervisor.worker import QUIET_S, Job, share_of

START_S = 30.0
"""A cold interpreter on a busy machine; ordinarily half a second."""
OVERTIME_S = 5.0
"""What a worker may need after its drain; then it is killed."""
HURRY_S = 3.0
"""What a worker may need when it is told not to wait; its peers get 2 s for a goodbye."""
HOLD_S = 1.0
"""While a worker is away for so long at most, connections that the kernel has given to it wait for the next process.
For longer its sockets are closed, and the kernel gives its share to the others."""

log = structlog.get_logger("scalechat.server")


class Crew:
    """`open_sockets` gives a worker listening sockets of its own. A worker that cannot start is told by `failed`."""

    def __init__(
        self,
        config: ServeConfig,
        *,
        bus: str,
        directory: Path,
        knows_all_nodes: bool,
        open_sockets: Callable[[], list[socket.socket]],
    ) -> None:
        share = share_of(config, bus=bus)
        self._drain_s = config.drain_s
        self._open_sockets = open_sockets
        self._jobs = {
            worker: Job(worker, share, [], str(directory), knows_all_nodes, processes=config.workers + 1)  # And ours.
            for worker in range(1, config.workers + 1)
        }
        self._drain_began = trio.Event()
        self.children: dict[int, Child] = {}
        """The present process of each worker, or its last one."""
        self.restarts = {worker: Restarts() for worker in self._jobs}
        self.ended: Callable[[int], None] = lambda _worker: None
        self.failed = trio.Event()
        self.failure: OperationalError | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the workers running until they have been drained; reports started when each has been ready once.

        Raises the `OperationalError` of one that cannot start at first.
        """
        async with trio.open_nursery() as nursery:
            first, *others = self._jobs
            # One alone at first: what makes it fail would make all fail, and should be said once.
            await nursery.start(self._keep, first)
            async with trio.open_nursery() as starting:
                for worker in others:
                    starting.start_soon(nursery.start, self._keep, worker)
            task_status.started()

    async def drain(self) -> None:
        """End all workers: nobody accepts, nobody publishes, and then each says goodbye to its clients.

        Returns when they have ended. One that takes too long is killed.
        """
        self._drain_began.set()
        children = self._running()
        for child in children:
            child.close_sockets()
        await _order(children, "drain")
        with trio.move_on_after(QUIET_S):
            for child in children:
                await child.quiet.wait()
        await _order(children, "go")
        await self._end(children, self._drain_s + OVERTIME_S)

    async def hurry(self) -> None:
        """End all workers now."""
        children = self._running()
        await _order(children, "hurry")
        await self._end(children, HURRY_S)

    def _running(self) -> list[Child]:
        return [child for child in self.children.values() if not child.over.is_set()]

    async def _end(self, children: list[Child], within_s: float) -> None:
        with trio.move_on_after(within_s) as deadline:
            for child in children:
                await child.over.wait()
        if deadline.cancelled_caught:
            log.error("workers did not end and are killed", within_s=within_s)
            for child in children:
                child.kill()
            for child in children:
                await child.over.wait()

    async def _keep(self, worker: int, *, task_status: trio.TaskStatus[None]) -> None:
        """One worker, process after process."""
        sockets: list[socket.socket] = []
        started = False

        async def attend(child: Child) -> None:
            nonlocal started
            with trio.move_on_after(START_S):
                await child.ready.wait()
            if not child.ready.is_set():
                log.error("a worker does not get ready and is killed", worker=worker, within_s=START_S)
                child.kill()
            elif not started:
                started = True
                task_status.started()
            await child.quiet.wait()
            if child.left:
                child.close_sockets()

        try:
            while not self._drain_began.is_set():
                sockets = sockets or self._open_sockets()
                child = self.children[worker] = Child(self._jobs[worker], sockets)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(attend, child)
                    await child.run()
                    nursery.cancel_scope.cancel()
                self.ended(worker)
                if self._drain_began.is_set():
                    return
                if not started:
                    raise _cannot_start(worker, child)
                wait_s = self._judge(worker, child)
                if child.left or wait_s > HOLD_S:
                    child.close_sockets()
                    sockets = []
                with trio.move_on_after(wait_s):
                    await self._drain_began.wait()
        finally:
            for sock in sockets:
                sock.close()

    def _judge(self, worker: int, child: Child) -> float:
        """How long to wait before the next process of this worker."""
        restarts = self.restarts[worker]
        served_s = None if child.ready_at_s is None else trio.current_time() - child.ready_at_s
        if child.left and child.exit_code == 0:
            restarts.left()
            log.info("worker has left and is started again", worker=worker)
            return 0.0
        wait_s = restarts.ended(served_s)
        if wait_s is None:
            self.failure = _cannot_start(worker, child)
            self.failed.set()
            return math.inf
        log.error("worker ended", worker=worker, exit_code=child.exit_code, served_s=served_s, again_in_s=wait_s)
        return wait_s


async def _order(children: list[Child], order: str) -> None:
    async with trio.open_nursery() as nursery:
        for child in children:
            nursery.start_soon(child.order, order)


def _cannot_start(worker: int, child: Child) -> OperationalError:
    if child.failure is not None:
        code, message = child.failure
        return OperationalError(message, code)
    return OperationalError(
        f"worker {worker} cannot start: it ended with exit code {child.exit_code} before it was ready; "
        "the lines above say why"
    )
