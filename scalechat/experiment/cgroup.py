"""Control groups of our own, of either version: what is in them has so much memory and so much of a core."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
Limit = int | tuple[int, int]
"""Bytes of memory; or µs of a core and the period, in µs, that has them."""
PERIOD_MS: Final = 10
"""Of the CPU limit. In the kernel's usual 100 ms a process that has used up its part stands still for most of them, and
a p99 would show just that."""


@contextlib.contextmanager
def cgroups(
    name: str,
    *,
    memory_bytes: int | None = None,
    cpu_cores: float | None = None,
    period_ms: int = PERIOD_MS,
    root: Path = ROOT,
) -> Iterator[list[Path]]:
    """The groups that hold these limits: none without limits, two where each controller has a tree of its own.

    A process joins by writing its pid into `cgroup.procs` of each, and must have left or ended before the groups are
    left: one that is not empty stays behind, as after a crash, and costs nothing.

    Raises:
        OSError: none can be made here (that needs root, or a delegated tree).
    """
    groups: list[Path] = []
    try:
        period_us = 1_000 * period_ms
        cpu = None if cpu_cores is None else (round(period_us * cpu_cores), period_us)
        _make(groups, root, name, {"memory": memory_bytes, "cpu": cpu})
        yield groups
    finally:
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()


def _make(groups: list[Path], root: Path, name: str, wanted: Mapping[str, Limit | None]) -> None:
    """`groups` are those that are there, also when it fails half way."""
    needed = {controller: limit for controller, limit in wanted.items() if limit is not None}
    second = (root / "cgroup.controllers").exists()
    if second and needed:
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in needed))
    for controller, limit in needed.items():
        group = root / name if second else root / controller / name
        group.mkdir(exist_ok=True)
        if group not in groups:
            groups.append(group)
        for file, text in _files(limit, second=second).items():
            (group / file).write_text(text)


def _files(limit: Limit, *, second: bool) -> dict[str, str]:
    if isinstance(limit, int):
        return {"memory.max" if second else "memory.limit_in_bytes": str(limit)}
    quota_us, period_us = limit
    # The most weight there is: so much is what it may have, and on a busy machine what it gets.
    if second:
        return {"cpu.max": f"{quota_us} {period_us}", "cpu.weight": "10000"}
    return {"cpu.cfs_period_us": str(period_us), "cpu.cfs_quota_us": str(quota_us), "cpu.shares": "262144"}
