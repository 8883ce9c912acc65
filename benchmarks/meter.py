"""The meter: builds ``meter.c`` and runs it, on its own core, bounded in time."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from benchmarks.process import pinned, stop

SOURCE = Path(__file__).with_name("meter.c")
NEEDS = "a C compiler (apt install gcc libc6-dev)"
SATURATED = 0.9
"""A meter busier than this may have been the limit: then the server's figure is a lower bound."""

Options = Mapping[str, float | str]


class MeterFailed(Exception):
    """The meter gave no result."""


class Reading(msgspec.Struct, frozen=True):
    """What the meter says at its end; see ``meter.c``. Times by name, rates by second."""

    clients: int
    opened: int
    lost: int
    connect_s: float
    open_server_cpu_s: float
    open_meter_cpu_ratio: float
    rss_before_kb: int
    rss_after_kb: int
    seconds: float
    published_per_s: float
    deliveries: int
    deliveries_per_s: float
    bytes_in_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    latencies: int
    late_ms: float
    meter_cpu_ratio: float
    server_cpu_s: float
    total_published: int
    total_expected: int
    total_deliveries: int

    @property
    def undelivered(self) -> int:
        """Deliveries that should have come and did not within the time that was waited for them."""
        return self.total_expected - self.total_deliveries

    @property
    def saturated(self) -> bool:
        """Whether the meter itself may have been the limit."""
        return self.meter_cpu_ratio > SATURATED


def compiler() -> str | None:
    """The C compiler to use, None without one."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def build(directory: Path) -> Path:
    """Compile the meter into `directory`, unless it is there and newer than its source. Raises `MeterFailed`."""
    program = directory / "meter"
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    cc = compiler()
    if cc is None:
        raise MeterFailed(f"needs {NEEDS}")
    directory.mkdir(parents=True, exist_ok=True)
    command = [cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise MeterFailed(done.stderr)
    return program


class Meter:
    """A meter process that holds (``--hold 1``) at ``start``, ``open`` and ``measured`` until told to go on."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        self._process = process
        self._deadline = deadline
        self._text = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, phase: str) -> None:
        """Wait until it holds at `phase`. Raises `MeterFailed`."""
        if (line := self._line()) != phase:
            raise MeterFailed(f"expected {phase!r}, got {line!r}")

    def pass_to(self, phase: str) -> None:
        """Go on, and wait until it holds again. Raises `MeterFailed`."""
        self.go_on()
        self.wait_for(phase)

    def go_on(self) -> None:
        """End its holding."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It has ended, which the next wait tells better.
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()

    def reading(self) -> Reading:
        """Wait for the result. Raises `MeterFailed`."""
        line = self._line()
        try:
            return msgspec.json.decode(line, type=Reading)
        except msgspec.DecodeError as error:
            raise MeterFailed(f"no result but {line!r}") from error

    def _line(self) -> str:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._text:
            left_s = self._deadline - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                raise MeterFailed("took too long")
            data = os.read(descriptor, 65536)
            if not data:
                raise MeterFailed(f"ended early, exit code {self._process.wait(1)}")
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()


@contextlib.contextmanager
def metering(program: Path, options: Options, *, core: int, within_s: float) -> Iterator[Meter]:
    """A running meter; it is gone on exit, and gives up after `within_s` seconds in all."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [str(program), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=pinned(core),  # noqa: PLW1509  this program has one thread
    )
    try:
        yield Meter(process, time.monotonic() + within_s)
    finally:
        stop(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
