"""One worker's process: started with sockets and a job, given orders, ended."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from typing import Final

import msgspec
import trio

from scalechat.server.supervisor.lines import Lines
from scalechat.server.supervisor.worker import Job

COMMAND: Final = (sys.executable, "-m", "scalechat.server.supervisor.worker")
ORDER_S = 1.0
"""A pipe takes an order at once, also when the worker is stopped."""


class Child:
    """`run` lasts as long as the process; cancelling it kills the process."""

    def __init__(self, job: Job, sockets: list[socket.socket]) -> None:
        self._job = job
        self._sockets = sockets
        self._process: trio.Process | None = None
        self.ready = trio.Event()
        self.left = False
        """Whether it has said goodbye: it was told to, by the supervisor or by a signal."""
        self.quiet = trio.Event()
        """It publishes nothing any more: it has said so, or is over."""
        self.over = trio.Event()
        self.ready_at_s: float | None = None
        self.failure: tuple[int, str] | None = None
        """Exit code and line for the user, of one that could not start."""

    @property
    def exit_code(self) -> int | None:
        """Negative: the signal that ended it. None while it runs, and when it was never started."""
        return None if self._process is None else self._process.returncode

    async def run(self) -> None:
        """From the start of the process to its end."""
        try:
            async with trio.open_nursery() as nursery:
                self._process = process = await nursery.start(self._start)
                assert process.stdout is not None
                job = msgspec.structs.replace(self._job, sockets=[sock.fileno() for sock in self._sockets])
                await self._write(msgspec.json.encode(job))
                lines = Lines(process.stdout)
                while (line := await lines.next()) is not None:
                    self._heard(line)
        finally:
            self.over.set()
            self.quiet.set()
            if self._process is not None:
                for pipe in (self._process.stdin, self._process.stdout):
                    assert pipe is not None
                    await trio.aclose_forcefully(pipe)

    async def order(self, order: str) -> None:
        """Tell the process ``drain``, ``go`` or ``hurry``."""
        await self._write(order.encode())

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def close_sockets(self) -> None:
        """Give up our share of its listening sockets: when the process closes its own, they are closed."""
        for sock in self._sockets:
            sock.close()

    async def _start(self, *, task_status: trio.TaskStatus[trio.Process]) -> None:
        await trio.run_process(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            check=False,
            pass_fds=[sock.fileno() for sock in self._sockets],
            start_new_session=True,  # Ctrl-C is for the supervisor, which tells the workers.
            deliver_cancel=_kill,
            task_status=task_status,
        )

    async def _write(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(ORDER_S):
            await self._process.stdin.send_all(line + b"\n")

    def _heard(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "ready":
                self.ready_at_s = trio.current_time()
                self.ready.set()
            case "quiet":
                self.left = True
                self.quiet.set()
            case "failed":
                code, _, message = rest.partition(" ")
                self.failure = (int(code), message)


async def _kill(process: trio.Process) -> None:
    process.kill()
