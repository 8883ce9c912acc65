"""A part of a core for one process: what a container with that CPU limit gets.

A server that is faster than what loads it can only be measured to its limit when it has less of the machine. The
kernel's bandwidth control does that (cgroups, either version): so many microseconds of each period, and no more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 10_000
"""Short beside the latencies that are asked for. In the kernel's usual 100 ms a server that has used up its part stands
still for most of them, and a p99 would show just that."""
_NAME: Final = "scalechat-benchmark"


class NoQuota(Exception):
    """This machine does not let us; the message says what it would need."""


@contextlib.contextmanager
def limited(pid: int, cores: float) -> Iterator[None]:
    """While entered the process has `cores` of a core. Raises `NoQuota`."""
    parent = ROOT if _is_second_version() else ROOT / "cpu"
    group = parent / _NAME
    try:
        group.mkdir(exist_ok=True)
        _limit(parent, group, round(PERIOD_US * cores))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise NoQuota(f"needs cgroups that may be written ({error})") from error
    try:
        yield
    finally:
        # A group with processes cannot be removed, and the server is to end at full speed.
        with contextlib.suppress(OSError):
            (parent / "cgroup.procs").write_text(str(pid))
        with contextlib.suppress(OSError):
            group.rmdir()


def _is_second_version() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _limit(parent: Path, group: Path, quota_us: int) -> None:
    if _is_second_version():
        (parent / "cgroup.subtree_control").write_text("+cpu")
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
