"""Is the generator itself fit to measure? Its CPU, loop lag, collections, memory, and what the machine does to it."""

from __future__ import annotations

import gc
import os
import resource
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import trio

from scalechat.cpu_quota import read_cpu_quota
from scalechat.load.histogram import Histogram
from scalechat.load.pacing import NowNs, sleep_until

LAG_PERIOD_NS: Final = 10_000_000
"""A hundred probes a second: enough for a p99 each second, for 0.3 % of a core."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """One look at the process. Totals are since its start; None where the system does not tell."""

    cpu_user_s_total: float
    cpu_system_s_total: float
    loop_lag_ns: tuple[int, int, int] | None
    """p50, p99 and maximum since the last look."""
    gc_pause_s_total: float
    gc_pause_max_ns: int
    """The longest since the last look."""
    rss_bytes: int
    open_fds: int
    tasks: int
    cpu_steal_s_total: float | None
    cpu_throttled_s_total: float | None
    tcp_retransmits_total: int | None
    cpu_wait_s_total: float | None
    """Time this process was ready to run and had no core: other programs, or a CPU quota."""

    @property
    def cpu_s_total(self) -> float:
        """User and system."""
        return self.cpu_user_s_total + self.cpu_system_s_total


class Health:
    """Watches this process. `watch` must run, and `observed_collections` be entered, for the figures to be complete."""

    def __init__(self, clock: NowNs) -> None:
        self._clock = clock
        self._process = psutil.Process()
        self._lags = array("q")
        self._gc_pause_ns = 0
        self._gc_pause_max_ns = 0
        self.steady_lag = Histogram()
        """Loop lag of the measured phase; fed while `measuring`."""
        self.measuring = False

    @property
    def lag_p99_ns(self) -> int | None:
        """99th percentile of the loop lag in the measured phase; of ourselves we know enough after a hundred probes."""
        return self.steady_lag.quantile_ns(0.99, min_beyond=1)

    async def watch(self) -> None:
        """Ask for a moment every 10 ms and note how late it came. Runs until cancelled.

        The moments stand on a grid: a pause of a second makes a hundred of them late, by a second and less, and not
        one.
        """
        due_ns = self._clock()
        while True:
            due_ns += LAG_PERIOD_NS
            await sleep_until(due_ns, self._clock)
            now_ns = self._clock()
            self._lags.append(now_ns - due_ns)
            while due_ns + LAG_PERIOD_NS <= now_ns:
                due_ns += LAG_PERIOD_NS
                self._lags.append(now_ns - due_ns)

    def _open_fds(self) -> int:
        # Linux says it in the size of this directory since 6.2; to list 20,000 of them takes 10 ms.
        try:
            return Path("/proc/self/fd").stat().st_size or self._process.num_fds()
        except OSError:
            return self._process.num_fds()

    @contextmanager
    def observed_collections(self) -> Iterator[None]:
        """While entered, garbage collections are timed."""
        began_ns = 0

        def watch(phase: str, _info: dict[str, int]) -> None:
            nonlocal began_ns
            now_ns = time.perf_counter_ns()
            if phase == "start":
                began_ns = now_ns
            else:
                self._gc_pause_ns += now_ns - began_ns
                self._gc_pause_max_ns = max(self._gc_pause_max_ns, now_ns - began_ns)

        gc.callbacks.append(watch)
        try:
            yield
        finally:
            gc.callbacks.remove(watch)

    def look(self) -> Pulse:
        """The figures of now; those "since the last look" begin anew."""
        lags = np.array(self._lags, dtype=np.int64)
        del self._lags[:]
        if self.measuring:
            self.steady_lag.add(lags)
        gc_max_ns, self._gc_pause_max_ns = self._gc_pause_max_ns, 0
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Pulse(
            cpu_user_s_total=usage.ru_utime,
            cpu_system_s_total=usage.ru_stime,
            loop_lag_ns=_spread(lags),
            gc_pause_s_total=self._gc_pause_ns / 1e9,
            gc_pause_max_ns=gc_max_ns,
            rss_bytes=self._process.memory_info().rss,
            open_fds=self._open_fds(),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            cpu_steal_s_total=_steal_s(),
            cpu_throttled_s_total=_throttled_s(),
            tcp_retransmits_total=_retransmits(),
            cpu_wait_s_total=cpu_wait_s(),
        )


def cpu_s() -> float:
    """CPU time of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_wait_s() -> float | None:
    """Linux: how long this process, its main thread, has waited for a core so far."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns what is now allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS reports an infinite hard limit and refuses it.
        return soft
    return hard


def _spread(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[int, int, int] | None:
    if not len(values):
        return None
    p50, p99 = np.percentile(values, (50, 99))
    return int(p50), int(p99), int(values.max())


def _steal_s() -> float | None:
    """Linux: CPU time the hypervisor gave to others, all cores."""
    return getattr(psutil.cpu_times(), "steal", None)


def _throttled_s() -> float | None:
    """Linux: time this container's CPU quota held it back."""
    with suppress(OSError):
        return read_cpu_quota().throttled_s
    return None


def _retransmits() -> int | None:
    """Linux: TCP segments sent again, this network namespace."""
    try:
        lines = Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    table = [line.split() for line in lines if line.startswith("Tcp:")]
    if len(table) != 2 or "RetransSegs" not in table[0]:
        return None
    return int(table[1][table[0].index("RetransSegs")])


def cpu_quota_cores() -> float | None:
    """Linux: how many cores this container may use; None without a quota."""
    with suppress(OSError):
        return read_cpu_quota().cores or None
    return None


def cpu_model() -> str | None:
    """The CPU's name; None where the system does not tell."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, None)
    except OSError:
        return os.uname().machine
