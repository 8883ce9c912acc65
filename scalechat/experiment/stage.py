"""The processes of one run: server, perhaps a Redis, and what happens to them while the load client is at work.

Each part keeps its port over a restart, so that clients find it again. All parts are gone with the stage.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from scalechat.config import OperationalError
from scalechat.experiment.spec import Action, Limits, Settings, Side, flags

START_S: Final = 20.0
"""A cold interpreter on a busy machine; ordinarily half a second."""
STOP_S: Final = 15.0
"""More than any experiment's drain."""
_LOG_BYTES: Final = 64 * 1024
"""Kept of a part's log, for its last words."""


class Part:
    """A process that can be killed and started again. `is_ready` looks at its log."""

    def __init__(self, name: str, command: Sequence[str], is_ready: Callable[[bytes], bool]) -> None:
        self.name = name
        self._command = list(command)
        self._is_ready = is_ready
        self._process: trio.Process | None = None
        self._log = b""

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
                await trio.sleep(action.for_s)
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


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def raised(side: Side, settings: Settings) -> AsyncIterator[tuple[str, Callable[[], object]]]:
    """Server and Redis of one side; the value is the WebSocket URL, and what begins the side's actions."""
    with tempfile.TemporaryDirectory(prefix="scalechat-experiment-") as directory:
        parts: dict[str, Part] = {}
        if side.redis:
            socket_path = f"{directory}/redis.sock"
            parts["redis"] = _redis(directory, socket_path)
            settings = {"bus": f"unix://{socket_path}"} | settings
        port = free_port()
        parts["server"] = _server(side, settings, port)
        async with trio.open_nursery() as nursery:
            try:
                for part in parts.values():
                    await part.start(nursery)

                def begin() -> None:
                    for action in side.actions:
                        nursery.start_soon(_act, parts, action, nursery)

                yield f"ws://127.0.0.1:{port}/ws", begin
            finally:
                nursery.cancel_scope.shield = True
                with trio.CancelScope(shield=True):
                    for part in reversed(parts.values()):
                        await part.end(signal.SIGTERM)
            nursery.cancel_scope.cancel()


async def _act(parts: dict[str, Part], action: Action, nursery: trio.Nursery) -> None:
    await trio.sleep(action.at_s)
    if action.part not in parts:
        raise OperationalError(f"the experiment's action needs a {action.part}, and this side has none")
    await parts[action.part].suffer(action, nursery)


def _server(side: Side, settings: Settings, port: int) -> Part:
    module = side.program or "scalechat"
    command = [sys.executable, "-m", module]
    if side.program is None:
        command += ["serve", "--log-format", "json", *flags(settings)]
    command += ["--port", str(port)]
    return Part("server", side.server_limits.command() + command, lambda log: b"listening" in log)


def _redis(directory: str, socket_path: str) -> Part:
    binary = shutil.which("redis-server")
    if binary is None:
        raise OperationalError("this experiment needs redis-server: apt install redis-server")
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command = [binary, "--port", "0", "--unixsocket", socket_path, "--dir", directory, *durable]
    return Part("redis", command, lambda log: b"Ready to accept connections" in log)


async def load(side: Side, settings: Settings, url: str, out: str) -> None:
    """Run the load client to its end. Raises `OperationalError` when no run came of it."""
    limits: Limits = side.load_limits
    words = ["load", "--server-url", url, "--out", out, "--quiet", *flags(settings)]
    command = [*limits.command(), sys.executable, "-m", "scalechat", *words]
    done = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True, env=own_environment())
    if done.returncode in (1, 2):
        last = (done.stderr or done.stdout).decode(errors="replace").strip().rpartition("\n")[2]
        raise OperationalError(f"the experiment's load did not run: {last}")
