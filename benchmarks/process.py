"""A process under measurement: on a core of its own, bounded in time, and gone afterwards whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_S = 20.0
"""A cold interpreter on a busy machine; ordinarily under one second."""
STOP_S = 5.0
"""After SIGTERM; then SIGKILL."""
_PR_SET_PDEATHSIG = 1  # prctl(2)


class CannotStart(Exception):
    """The process ended or did not listen in time; the message has the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Cores:
    """One for the server, another for the meter: neither may take the other's time."""

    server: int
    meter: int

    @property
    def shared(self) -> bool:
        """On a machine with one core, whose figures compare with nothing."""
        return self.server == self.meter


def choose_cores() -> Cores:
    """The first two cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1 % len(usable)])


def raise_file_limit() -> int:
    """Raise the limit of open files as far as we may, for ourselves and every process we start; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    # Beyond the hard limit needs CAP_SYS_RESOURCE, which root in a container or a small guest often has not.
    for limit in (most, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int) -> Callable[[], None]:
    """For the child, before it becomes its program: stay on `core`, and end when we do, even if we are killed."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    return prepare


@contextlib.contextmanager
def running(command: Sequence[str], *, core: int, port: int, log: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """The server `command` while entered, listening on `port`; gives its pid.

    What it prints goes to `log`. Raises `CannotStart`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_clean_environ() | dict(environ),
            preexec_fn=pinned(core),  # noqa: PLW1509  this program has one thread
        )
    try:
        _wait_listening(process, port, log)
        yield process.pid
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a child, politely at first. It is reaped on return."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # a stopped one does not hear the first
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait(STOP_S)


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-2000:]
    what = f"ended with {process.returncode}" if process.returncode is not None else f"not listening in {START_S:g} s"
    raise CannotStart(f"{what}: {tail}")


def _clean_environ() -> dict[str, str]:
    """Ours without settings that a developer's shell may hold."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SCALECHAT_")}
