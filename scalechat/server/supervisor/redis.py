"""A private redis-server between the workers: on a Unix socket, in memory, for as long as the supervisor lives.

What it keeps, it keeps like the memory bus: until it ends. Should it die, it is started again, empty; the bus sees
another epoch, and clients are told that their log began anew.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import structlog
import trio

from scalechat.config import OperationalError
from scalechat.server.supervisor.restarts import Restarts

START_S = 10.0
"""It ordinarily answers after 20 ms."""

_GUARD = """
exec 3<&0
"$@" </dev/null >/dev/null 2>&1 & redis=$!
{ cat <&3 >/dev/null; rm -rf "$DIRECTORY"; kill -9 "$redis"; } 2>/dev/null &
guard=$!
wait "$redis"; code=$?
kill "$guard" 2>/dev/null
exit "$code"
"""
"""Runs redis-server until its own input ends, which is when the supervisor is gone, however it went: redis-server
itself would live on."""

log = structlog.get_logger("scalechat.server")


def find_redis_server() -> str:
    """The binary. Raises `OperationalError` that says what to install."""
    path = shutil.which("redis-server")
    if path is None:
        raise OperationalError(
            "several workers need a Redis between them, and there is no redis-server here: "
            "install it (apt install redis-server, brew install redis) or name a Redis with --bus redis://host:6379"
        )
    return path


class PrivateRedis:
    """`run` keeps it running. `directory` holds its socket and is removed with it when the supervisor is killed."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._socket = directory / "redis.sock"
        self._log = directory / "redis.log"
        self.restarts = Restarts()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start it, and again whenever it ends, until cancelled; then it is gone.

        Raises `OperationalError` when it does not start, at first or several times in a row.
        """
        served = False
        while True:
            began_s = trio.current_time()
            async with trio.open_nursery() as nursery:
                process = await nursery.start(self._start)
                ready = await self._wait_ready(process)
                if ready:
                    if not served:
                        served = True
                        task_status.started()
                    await process.wait()
                nursery.cancel_scope.cancel()
            wait_s = self.restarts.ended(trio.current_time() - began_s if ready else None)
            if wait_s is None or not served:
                raise OperationalError(f"redis-server ({self._binary}) does not start: {self._last_words()}")
            log.error("the private redis-server ended", again_in_s=wait_s, last_words=self._last_words())
            await trio.sleep(wait_s)

    async def _start(self, *, task_status: trio.TaskStatus[trio.Process]) -> None:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "logfile": str(self._log),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        await trio.run_process(
            ["/bin/sh", "-c", _GUARD, "scalechat-redis", self._binary, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            env={"DIRECTORY": str(self._directory), "PATH": "/usr/bin:/bin"},
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends it last.
            deliver_cancel=_end,
            task_status=task_status,
        )

    async def _wait_ready(self, process: trio.Process) -> bool:
        with trio.move_on_after(START_S):
            while process.returncode is None and not await self._answers():  # noqa: ASYNC110  It sets no event.
                await trio.sleep(0.01)
            return process.returncode is None
        return False

    async def _answers(self) -> bool:
        try:
            async with await trio.open_unix_socket(self._socket) as stream:
                await stream.send_all(b"PING\r\n")
                return bool((await stream.receive_some()).startswith(b"+PONG"))
        except (OSError, trio.BrokenResourceError):
            return False

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it says nothing"


async def _end(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
