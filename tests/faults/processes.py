"""The parts that get killed: server nodes and a Redis, each a real process that can be started again as it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from ..conftest import clean_environ
from ..ports import unused_port

START_S: Final = 30.0
"""A cold interpreter on a busy machine; ordinarily half a second."""
STOP_S: Final = 30.0
LOG_LINES: Final = 200
"""Kept of each node's log, for whoever reads why a round failed."""


class Part:
    """A process on 127.0.0.1:`port` that can be started, signalled, and started again."""

    def __init__(self, name: str, port: int, command: list[str]) -> None:
        self.name = name
        self.port = port
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._command = command
        self._process: trio.Process | None = None

    def __repr__(self) -> str:
        return f"<{self.name} at {self.port}>"

    async def start(self, nursery: trio.Nursery) -> None:
        """Start it and wait until it serves."""
        assert self._process is None
        self._process = await trio.lowlevel.open_process(
            self._command,
            env=clean_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        ready = trio.Event()
        nursery.start_soon(self._read, self._process, ready)
        with trio.fail_after(START_S):
            await ready.wait()
        if self._process is None:
            raise RuntimeError(f"{self.name} did not start:\n" + "\n".join(self.log))

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it at once, also when it is stopped."""
        if self._process is not None:
            self._process.kill()
            await self.ended()

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        with trio.fail_after(STOP_S):
            code = await self._process.wait()
        self._process = None
        return code

    def is_ready(self, line: str) -> bool:
        """Whether this line of its log says that it serves."""
        raise NotImplementedError

    async def _read(self, process: trio.Process, ready: trio.Event) -> None:
        """A log nobody reads would stop the process that writes it."""
        assert process.stdout is not None
        rest = b""
        async with process.stdout:
            async for data in process.stdout:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.log.append(line.decode(errors="replace"))
                    if self.is_ready(self.log[-1]):
                        ready.set()
        if not ready.is_set():  # It ended instead.
            self._process = None
            ready.set()


class NodePart(Part):
    """``python -m scalechat serve`` over the Redis at `redis_url`."""

    def __init__(self, number: int, redis_url: str, options: tuple[str, ...]) -> None:
        port = unused_port()
        command = [sys.executable, "-m", "scalechat", "serve", "--log-format=json", "--port", str(port)]
        super().__init__(f"node {number}", port, [*command, "--bus", redis_url, *options])

    def is_ready(self, line: str) -> bool:
        try:
            said = json.loads(line)
        except ValueError:
            return False
        return isinstance(said, dict) and said.get("event") == "listening"


class RedisPart(Part):
    """A redis-server that writes every command to disk before it answers."""

    def __init__(self, binary: str, directory: Path) -> None:
        port = unused_port()
        options = ["--port", str(port), "--dir", str(directory), "--save", "", "--appendonly", "yes"]
        super().__init__("redis", port, [binary, *options, "--appendfsync", "always", "--bind", "127.0.0.1"])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def is_ready(self, line: str) -> bool:
        return "Ready to accept connections" in line

    async def command(self, *words: str) -> str:
        """Carry out one command as its operator would; returns what it answered."""
        with trio.fail_after(STOP_S):
            done = await trio.run_process(["redis-cli", "-p", str(self.port), *words], capture_stdout=True)
        return done.stdout.decode().strip()


@asynccontextmanager
async def running(*parts: Part) -> AsyncIterator[trio.Nursery]:
    """Start the parts in this order, nodes together; end what is left of them, however the block ends."""
    async with trio.open_nursery() as nursery:
        try:
            first, *others = parts
            await first.start(nursery)
            async with trio.open_nursery() as starting:
                for part in others:
                    starting.start_soon(part.start, nursery)
            yield nursery
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(STOP_S):
                for part in parts:
                    await part.kill()
        nursery.cancel_scope.cancel()
