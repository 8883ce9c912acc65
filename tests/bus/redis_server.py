"""A real Redis for tests: its own process, a Unix socket in a directory of its own, nothing left behind."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 10.0  # a busy machine; ordinarily 20 ms
HINT = "apt install redis-server"


@dataclass(slots=True)
class RedisServer:
    """`options` are given to every start; what it wrote to disk is there again after `kill` and `start`."""

    binary: str
    folder: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [
                *(self.binary, "--port", "0", "--unixsocket", str(self.socket)),
                *("--dir", str(self.folder), "--save", "", *self.options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S
        while self.cli("ping") != "PONG":
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail("redis-server did not start")
            time.sleep(0.01)  # another process: there is no event to wait for

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cli(self, *command: str) -> str:
        """What redis-cli prints for a command."""
        done = subprocess.run(
            ["redis-cli", "-s", str(self.socket), *command], capture_output=True, text=True, check=False, timeout=10
        )
        return done.stdout.strip()


@contextlib.contextmanager
def redis_server(binary: str, *options: str) -> Iterator[RedisServer]:
    """A running Redis."""
    folder = Path(tempfile.mkdtemp(prefix="scalechat-redis-"))  # Short: a socket's path has 107 characters at most.
    server = RedisServer(binary, folder, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
