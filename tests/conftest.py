"""What several test modules need: real processes, free ports, binaries of the system."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import settings

from tests.ports import unused_port

START_S = 60.0  # a cold interpreter on a busy machine; ordinarily well under one second
STOP_S = 20.0  # more than the longest drain any test configures

# The machine is shared and small, so a slow example is no finding; in CI every run sees the same.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell without job control lets what it starts in the background ignore Ctrl-C, and so all that this starts in turn.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LogLine = dict[str, object]


def clean_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without the settings that a developer's shell may hold, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SCALECHAT_")}
    return kept | dict(extra or {})


@dataclass(slots=True)
class ServerProcess:
    """A real server in a process of its own; its log is read all the time, so it never blocks."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    url: str = ""
    _reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def ws_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/ws"

    def log(self) -> list[LogLine]:
        """The log so far, one dict a line; a line that is no JSON is ``{"raw": line}``."""
        return [_parse(line) for line in list(self.lines)]

    def stop(self) -> int:
        """End the server as an operator would (SIGTERM) and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the server did not end within {STOP_S:g} s of SIGTERM\n{self._tail()}")
        self._join()
        return code

    def kill(self) -> None:
        """End the server at once; nothing happens if it has ended already."""
        if self.process.poll() is None:
            # A stopped process takes SIGKILL, so a test may leave it under SIGSTOP.
            self.process.kill()
        self.process.wait(STOP_S)
        self._join()

    def _start_reading(self) -> None:
        found: queue.Queue[str] = queue.Queue(maxsize=1)

        def read() -> None:
            stream = self.process.stderr
            assert stream is not None
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                entry = _parse(line)
                if entry.get("event") == "listening" and not self.url:
                    self.url = str(entry["url"])
                    found.put(self.url)
            with contextlib.suppress(queue.Full):
                found.put_nowait("")

        self._reader = threading.Thread(target=read, name=f"log of {self.pid}", daemon=True)
        self._reader.start()
        with contextlib.suppress(queue.Empty):
            found.get(timeout=START_S)
        if not self.url:
            self.kill()
            pytest.fail(
                f"no server: exit code {self.process.returncode} without 'listening' within "
                f"{START_S:g} s\n{self._tail()}"
            )

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join(STOP_S)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _tail(self) -> str:
        return "\n".join(self.lines[-30:])


def _parse(line: str) -> LogLine:
    try:
        entry = json.loads(line)
    except ValueError:
        return {"raw": line}
    return entry if isinstance(entry, dict) else {"raw": line}


class ServeProcess(Protocol):
    """``serve_process("--heartbeat", "2", env={...})`` starts a server and waits for its port."""

    def __call__(self, *args: str, env: Mapping[str, str] | None = None) -> ServerProcess: ...


@pytest.fixture
def serve_process() -> Iterator[ServeProcess]:
    """A factory of servers on free ports; the test's end is theirs."""
    with _servers() as serve:
        yield serve


@pytest.fixture(scope="module")
def shared_serve_process() -> Iterator[ServeProcess]:
    """`serve_process` for a server that all tests of a module share; the module's end is its end."""
    with _servers() as serve:
        yield serve


@contextlib.contextmanager
def _servers() -> Iterator[ServeProcess]:
    started: list[ServerProcess] = []

    def serve(*args: str, env: Mapping[str, str] | None = None) -> ServerProcess:
        defaults = [] if "--port" in args else ["--port", "0"]
        server = ServerProcess(
            subprocess.Popen(
                [sys.executable, "-m", "scalechat", "serve", "--log-format=json", *defaults, *args],
                env=clean_environ(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        )
        started.append(server)
        server._start_reading()
        return server

    try:
        yield serve
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def free_port() -> int:
    """See `unused_port`."""
    return unused_port()


@pytest.fixture
def require_binary() -> Callable[[str, str], str]:
    """``require_binary("redis-server", "apt install redis-server")`` → its path.

    Without the binary the test is skipped with that hint, and in CI (``CI=true``) it fails: there
    a missing binary is a broken machine, not somebody's choice.
    """

    return find_binary


def find_binary(name: str, hint: str) -> str:
    """`require_binary` for fixtures that live longer than a test."""
    path = shutil.which(name)
    if path is not None:
        return path
    message = f"needs {name} ({hint})"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def eventually(condition: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Wait until `condition` holds in another process, or fail naming `what`.

    For e2e tests only: inside one process virtual time says exactly when a thing happens.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)  # between two looks at another process, there is no event to wait for
