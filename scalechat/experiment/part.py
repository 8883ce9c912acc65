"""A process of the stage: it can be killed, stopped for a while, and started again as it was."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import trio

from scalechat.config import OperationalError
from scalechat.experiment.spec import Action
from scalechat.experiment.workers import settle

START_S: Final = 60.0
"""A cold interpreter with a tenth of a core on a busy machine; ordinarily half a second."""
STOP_S: Final = 15.0
"""More than any experiment's drain."""
_LOG_BYTES: Final = 64 * 1024
"""Kept of a part's log, for its last words."""


class Part:
    """A process that can be killed and started again. `is_ready` looks at its log."""

    def __init__(
        self, name: str, command: Sequence[str], is_ready: Callable[[bytes], bool], apart: Sequence[Sequence[Path]] = ()
    ) -> None:
        self.name = name
        self._command = list(command)
        self._is_ready = is_ready
        self._apart = apart
        self._process: trio.Process | None = None
        self._log = b""

    @property
    def pid(self) -> int:
        """Of the process that runs. It must have been started."""
        assert self._process is not None
        return self._process.pid

    async def start(self, nursery: trio.Nursery) -> None:
        """Start it and wait until it serves. Raises `OperationalError` with its last words when it does not."""
        self._log = b""
        self._process = process = await trio.lowlevel.open_process(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the experiment, which then ends its parts in order
            env=own_environment(),
        )
        up = trio.Event()
        nursery.start_soon(self._read, process, up)
        with trio.move_on_after(START_S):
            await up.wait()
        if not self._is_ready(self._log):
            last = self._log.decode(errors="replace").strip().rpartition("\n")[2]
            raise OperationalError(f"the experiment's {self.name} did not start: {last or 'it said nothing'}")
        settle(process.pid, self._apart)

    async def end(self, number: signal.Signals) -> None:
        """Send the signal, see it gone; SIGKILL after STOP_S seconds. Nothing happens when it has ended."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        with trio.move_on_after(STOP_S, shield=True):
            await process.wait()
        if process.returncode is None:
            process.kill()
            with trio.move_on_after(STOP_S, shield=True):
                await process.wait()

    async def suffer(self, action: Action, nursery: trio.Nursery) -> None:
        """Carry out what an action says."""
        match action.do:
            case "pause":
                self._signal(signal.SIGSTOP)
                try:
                    await trio.sleep(action.for_s)
                finally:
                    self._signal(signal.SIGCONT)
            case "kill" | "terminate":
                await self.end(signal.SIGKILL if action.do == "kill" else signal.SIGTERM)
                await trio.sleep(action.for_s)
                await self.start(nursery)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _read(self, process: trio.Process, up: trio.Event) -> None:
        """To the end, so that the pipe never fills."""
        assert process.stdout is not None
        async with process.stdout:
            async for chunk in process.stdout:
                self._log = (self._log + chunk)[-_LOG_BYTES:]
                if not up.is_set() and self._is_ready(self._log):
                    up.set()
        up.set()


def own_environment() -> dict[str, str]:
    """Ours, without settings of the caller's: an experiment is the same for everybody."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SCALECHAT_")}
