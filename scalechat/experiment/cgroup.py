"""Control groups of our own, of either version: what is in them has so much memory and so much of a core."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 10_000
"""Of the CPU limit. In the kernel's usual 100 ms a process that has used up its part stands still for most of them, and
a p99 would show just that."""


@contextlib.contextmanager
def cgroups(
    name: str, *, memory_bytes: int | None = None, cpu_cores: float | None = None, root: Path = ROOT
) -> Iterator[list[Path]]:
    """The groups that hold these limits: none without limits, two where each controller has a tree of its own.

    A process joins by writing its pid into `cgroup.procs` of each, and must have left or ended before the groups are
    left: one that is not empty stays behind, as after a crash, and costs nothing.

    Raises:
        OSError: none can be made here (that needs root, or a delegated tree).
    """
    groups: list[Path] = []
    try:
        _make(groups, root, name, memory_bytes, None if cpu_cores is None else round(PERIOD_US * cpu_cores))
        yield groups
    finally:
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()


def _make(groups: list[Path], root: Path, name: str, memory_bytes: int | None, quota_us: int | None) -> None:
    """`groups` are those that are there, also when it fails half way."""
    wanted = {"memory": memory_bytes, "cpu": quota_us}
    needed = {controller: limit for controller, limit in wanted.items() if limit is not None}
    second = (root / "cgroup.controllers").exists()
    if second and needed:
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in needed))
    for controller, limit in needed.items():
        group = root / name if second else root / controller / name
        group.mkdir(exist_ok=True)
        if group not in groups:
            groups.append(group)
        for file, text in _files(controller, limit, second=second).items():
            (group / file).write_text(text)


def _files(controller: str, limit: int, *, second: bool) -> dict[str, str]:
    if controller == "memory":
        return {"memory.max" if second else "memory.limit_in_bytes": str(limit)}
    if second:
        return {"cpu.max": f"{limit} {PERIOD_US}"}
    return {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(limit)}
