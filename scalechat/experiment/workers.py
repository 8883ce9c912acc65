"""A server's workers, each in a control group of its own: with a part of a core for each, two cores are enough to see
what several give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from scalechat.config import OperationalError

PROC: Final = Path("/proc")
_MODULE: Final = b"scalechat.server.supervisor.worker"


def settle(supervisor: int, apart: Sequence[Sequence[Path]], proc: Path = PROC) -> None:
    """Move each worker of that process into groups of its own. Raises `OperationalError` when there are others than
    groups were made for."""
    if not apart:
        return
    workers = sorted(_workers(supervisor, proc))
    if len(workers) != len(apart):
        raise OperationalError(f"the experiment's server has {len(workers)} workers, not {len(apart)}")
    for pid, groups in zip(workers, apart, strict=True):
        for group in groups:
            (group / "cgroup.procs").write_text(str(pid))


def _workers(supervisor: int, proc: Path) -> Iterator[int]:
    """Those of its children that serve: its Redis is another."""
    for children in proc.glob(f"{supervisor}/task/*/children"):
        for pid in children.read_text(encoding="ascii").split():
            if _MODULE in (proc / pid / "cmdline").read_bytes().split(b"\0"):
                yield int(pid)
