"""How much of each limit that can be seen was in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from scalechat.analysis.facts import generator_cpu, server_core
from scalechat.analysis.frames import RunFrames
from scalechat.analysis.units import count_text, percent_text, significant

from .finding import Side
from .seen import Seen

__all__ = ["FULL_RATIO", "GENERATOR_CORE_RATIO", "QUOTA", "SERVER_CORE_RATIO", "Usage", "usages"]

SERVER_CORE_RATIO: Final = 0.9
"""One Trio loop cannot use more than one core; at 90 % of it queueing already multiplies waiting tenfold."""
GENERATOR_CORE_RATIO: Final = 0.8
"""Above it a load client's own figures are not to be believed (its validity rule)."""
FULL_RATIO: Final = 0.98
QUOTA: Final = "server's CPU quota"


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a limit was used in the measured phases."""

    resource: str
    side: Side
    ratio: float
    text: str
    limit_ratio: float

    @property
    def at_limit(self) -> bool:
        """Whether no more was to be had of this resource."""
        return self.ratio >= self.limit_ratio


def usages(frames: RunFrames) -> list[Usage]:
    """The limits that can be seen in this run, and how much of each was used."""
    return [usage for usage in _usages(Seen(frames)) if np.isfinite(usage.ratio)]


def _usages(seen: Seen) -> Iterator[Usage]:
    cpu = server_core(seen.frames)
    yield Usage("server's core", "server", cpu, f"{percent_text(cpu)} of a core", SERVER_CORE_RATIO)
    yield _quota(seen)
    yield _share("server's open files", seen.most("open_fds"), seen.most("max_fds"))
    yield _share("server's connections", seen.most("connections"), seen.limit("max_connections"))
    cpu = generator_cpu(seen.frames)
    yield Usage("generator's core", "generator", cpu, f"{percent_text(cpu)} of a core", GENERATOR_CORE_RATIO)


def _quota(seen: Seen) -> Usage:
    """A node's CPU limit holds for all of its workers together."""
    used = seen.server[seen.server["quota_cores"] > 0]
    means = used.groupby("node")[["cpu_cores", "quota_cores"]].mean()
    ratio = means["cpu_cores"] / means["quota_cores"]
    if not ratio.notna().any():
        return Usage(QUOTA, "server", float("nan"), "", SERVER_CORE_RATIO)
    cores, allowed = means[ratio == ratio.max()].to_numpy(np.float64)[0]
    text = f"{significant(cores)} of {allowed:g} cores"
    return Usage(QUOTA, "server", float(ratio.max()), text, SERVER_CORE_RATIO)


def _share(resource: str, used: float, limit: float) -> Usage:
    return Usage(resource, "server", used / limit, f"{count_text(used)} of {count_text(limit)}", FULL_RATIO)
