"""The CPU limit of the control group that this process is in: how much it allows, and how long it has held us back.

A container's `--cpus` is such a limit. A server that has used it up stands still until the period is over, and its own
CPU figure shows no more than a core that is not full.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scalechat.control_groups import OWN, ROOT, groups_around

__all__ = ["CpuQuota", "read_cpu_quota"]


@dataclass(frozen=True, slots=True)
class CpuQuota:
    """What the tightest limit allows, and what it has cost all processes under it."""

    cores: float
    """0 where there is no limit."""
    throttled_s: float


def read_cpu_quota(root: Path = ROOT, own: Path = OWN) -> CpuQuota:
    """The limit as it is now: it may be changed while we run. Control groups of either version.

    Raises:
        OSError: there are none (not Linux), or no descriptor is left.
    """
    limits = [found for group in groups_around("cpu", root, own) if (found := _limit(group)) is not None]
    return min(limits, key=lambda limit: limit.cores, default=CpuQuota(0.0, 0.0))


def _limit(group: Path) -> CpuQuota | None:
    with suppress(FileNotFoundError, ValueError):
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else CpuQuota(int(quota) / int(period), _stat(group, "throttled_usec") / 1e6)
    with suppress(FileNotFoundError, ValueError):  # version 1
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return None if int(quota) < 0 else CpuQuota(int(quota) / int(period), _stat(group, "throttled_time") / 1e9)
    return None


def _stat(group: Path, name: str) -> int:
    pairs = (line.split() for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines())
    return next((int(value) for key, value in pairs if key == name), 0)
