"""The limited environment of one process, held by the kernel: cores, open files, and a cgroup of its own.

Everything is put in front of the command; each word of it replaces its process, so the command keeps its pid. What it
starts has its cores and files too, and shares its cgroup unless it is given one of its own (`Held.apart`). Where no
cgroup can be made (that needs root, or a delegated tree) the memory limit is one of the process and the CPU limit does
not hold; what could not be held is said.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from scalechat.experiment.cgroup import PERIOD_MS, ROOT, cgroups

_ENTER: Final = 'for group in $0; do echo $$ > "$group/cgroup.procs" || exit 1; done; exec "$@"'


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None is as it is."""

    cores: list[int] | None = None
    """By their place among those this process may use."""
    cpu: float | None = None
    """Of one core."""
    cpu_period_ms: int | None = None
    """What that part is counted by: `PERIOD_MS` where nothing is said."""
    memory_mib: int | None = None
    open_files: int | None = None
    """The soft limit."""
    open_files_hard: int | None = None
    """How far the process may raise it; without it, not at all."""

    def over(self, base: Limits) -> Limits:
        """These, and those of `base` where there is none."""
        return msgspec.structs.replace(base, **{k: v for k, v in msgspec.structs.asdict(self).items() if v is not None})

    def __str__(self) -> str:
        parts = {
            "core": self.cores and ", ".join(map(str, self.cores)),
            "CPU": self.cpu and f"{100 * self.cpu:.0f} % of a core" + self._period,
            "memory": self.memory_mib and f"{self.memory_mib} MiB",
            "open files": self.open_files and f"{self.open_files}:{self.open_files_hard or self.open_files}",
        }
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value)

    @property
    def _period(self) -> str:
        return f" in periods of {self.cpu_period_ms} ms" if self.cpu_period_ms else ""


@dataclass(frozen=True, slots=True)
class Held:
    """How limits are held here."""

    enter: list[str]
    """What to put in front of the command."""
    unheld: list[str]
    """What could not be held as it was meant, in words."""
    apart: list[list[Path]]
    """For each worker the groups to move it into: the same limits once more. Who starts and watches them serves nobody
    and has a whole core, with their Redis."""


@contextlib.contextmanager
def held(limits: Limits, name: str, *, workers: int = 0, root: Path = ROOT) -> Iterator[Held]:
    """Hold them for commands started while entered; those must have ended before it is left.

    `root` is where the kernel's control groups are.
    """
    with contextlib.ExitStack() as made:
        groups: list[Path] = []
        apart: list[list[Path]] = []
        unheld = []
        try:
            own = Limits(cpu=1).over(limits) if workers and limits.cpu is not None else limits
            groups = made.enter_context(_groups(own, name, root))
            apart = [made.enter_context(_groups(limits, f"{name}-{worker}", root)) for worker in range(workers)]
        except OSError as error:
            memory = ["memory is limited by RLIMIT_DATA"] if limits.memory_mib is not None else []
            loose = ["the CPU limit does not hold"] if limits.cpu is not None else []
            unheld.append(f"no cgroup can be made here ({error.strerror}): {'; '.join(memory + loose)}")
        words = ["sh", "-c", _ENTER, " ".join(map(str, groups))] if groups else []
        pinned, short = _pinned(limits)
        yield Held([*words, *pinned, *_prlimit(limits, in_group=bool(groups))], unheld + short, apart)


def _groups(limits: Limits, name: str, root: Path) -> contextlib.AbstractContextManager[list[Path]]:
    return cgroups(
        f"scalechat-{name}-{os.getpid()}",
        memory_bytes=None if limits.memory_mib is None else limits.memory_mib * 2**20,
        cpu_cores=limits.cpu,
        period_ms=limits.cpu_period_ms or PERIOD_MS,
        root=root,
    )


def _pinned(limits: Limits) -> tuple[list[str], list[str]]:
    if limits.cores is None:
        return [], []
    ours = sorted(os.sched_getaffinity(0))
    if max(limits.cores) >= len(ours):
        return [], [f"only {len(ours)} core here: not pinned"]
    return ["taskset", "--cpu-list", ",".join(str(ours[place]) for place in limits.cores)], []


def _prlimit(limits: Limits, *, in_group: bool) -> list[str]:
    words = []
    if limits.open_files is not None:
        words.append(f"--nofile={limits.open_files}:{limits.open_files_hard or limits.open_files}")
    if limits.memory_mib is not None and not in_group:
        words.append(f"--data={limits.memory_mib * 2**20}")
    return ["prlimit", *words, "--"] if words else []
