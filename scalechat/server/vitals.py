"""The process's own pulse: how late its loop runs, how long its collections pause it, what it holds, its file limit."""

from __future__ import annotations

import errno
import gc
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import trio

from scalechat.cpu_quota import CpuQuota, read_cpu_quota

GC_THRESHOLDS = (10_000, 20, 50)
"""Objects for a young collection, young ones for a middle one, middle ones for a full one; measured, see
`collector_for_many_connections`."""
LAG_PROBE_S = 0.1
"""Ten probes a second cost 0.02 % of a core and see every stall longer than a tenth of a second."""


class LoopLag:
    """Measures how late a task that asked for a moment gets it; `recent_p99_s` is over the last ten seconds."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._recent_s: list[float] = []

    @property
    def recent_p99_s(self) -> float:
        recent = sorted(self._recent_s)
        return recent[int(len(recent) * 0.99)] if recent else 0.0

    def worst_s(self, of_the_last_s: float) -> float:
        """The latest that the loop was in the last seconds."""
        return max(self._recent_s[-max(1, int(of_the_last_s / LAG_PROBE_S)) :], default=0.0)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            due_s = trio.current_time() + LAG_PROBE_S
            await trio.sleep_until(due_s)
            lag_s = trio.current_time() - due_s
            self._observe(lag_s)
            self._recent_s.append(lag_s)
            del self._recent_s[: -int(10 / LAG_PROBE_S)]


@contextmanager
def observed_collections(observe: Callable[[int, float], None]) -> Iterator[None]:
    """While entered, tell `observe(generation, seconds)` of each garbage collection."""
    began_s = 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal began_s
        if phase == "start":
            began_s = time.perf_counter()
        else:
            observe(info["generation"], time.perf_counter() - began_s)

    gc.callbacks.append(watch)
    try:
        yield
    finally:
        gc.callbacks.remove(watch)


@contextmanager
def collector_for_many_connections() -> Iterator[None]:
    """While entered, collect garbage less often, and never look at what was there at the start.

    A connection makes some 60 objects that live for hours. Opening 10,000 with CPython's thresholds (700, 10, 10) spent
    0.97 s in collections that found nothing, with these 0.4 to 0.6 s, and 160 instead of 216 µs of CPU a connection.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Footprint:
    """What this process holds, as it was when it could last be read: reading takes a descriptor."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.start_unix_s = self._process.create_time()
        self.rss_bytes = 0
        self.open_fds = 0
        self.cpu_wait_s = 0.0
        """How long the main thread was ready to run and had no core; 0 where the system does not tell (not Linux)."""
        self.cpu_quota = CpuQuota(0.0, 0.0)
        self.read()

    def read(self) -> None:
        """Look again. Without a descriptor to spare, memory stays what it was and every descriptor is in use."""
        try:
            self.rss_bytes = self._process.memory_info().rss
            # Since Linux 6.2 the directory's size is the count; reading 10,000 entries would take 10 ms of the loop.
            self.open_fds = os.stat("/proc/self/fd").st_size or self._process.num_fds()
        except FileNotFoundError:  # Not Linux.
            self.open_fds = self._process.num_fds()
        except OSError as error:
            if error.errno == errno.EMFILE:
                self.open_fds = file_limit()
        with suppress(OSError):
            self.cpu_wait_s = int(Path("/proc/self/schedstat").read_bytes().split()[1]) / 1e9
        with suppress(OSError):
            self.cpu_quota = read_cpu_quota()


def file_limit() -> int:
    """How many files this process may have open now."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_file_limit() -> tuple[int, int]:
    """Raise the soft limit of open files to the hard one; returns (before, now).

    The soft limit's usual 1,024 exists for programs that call select(2). We do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS reports an infinite hard limit and refuses it.
            return soft, soft
    return soft, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
