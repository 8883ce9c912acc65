"""Which resource was at its limit, with the evidence; nothing to say about a healthy run.

Small on purpose: one rule per limit that both sides can see today.  A rule reads the measured
phases only and says what it saw, so that a person can check it against the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .facts import generator_cpu, most_of, server_cpu
from .frames import RunFrames
from .units import count_text, duration_text, percent_text

__all__ = ["Finding", "Usage", "diagnose", "usages"]

Side = Literal["server", "generator"]

# One Trio loop cannot use more than one core; at 90 % of it queueing already multiplies waiting
# tenfold, and a second's figure seldom reads exactly 100 %.
SERVER_CORE_RATIO = 0.9
# The bound above which a load client's own figures are not to be believed (its validity rule).
GENERATOR_CORE_RATIO = 0.8
FULL_RATIO = 0.98
LOOP_LAG_S = 0.1
THROTTLED_RATIO = 0.05


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


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that limited the run: what, on which side, how it is known, what to try."""

    cause: str
    side: Side
    evidence: str
    next_step: str


def usages(frames: RunFrames) -> list[Usage]:
    """The limits that can be seen in this run, and how much of each was used."""
    return [usage for usage in _usages(frames) if np.isfinite(usage.ratio)]


def diagnose(frames: RunFrames) -> list[Finding]:
    """What held this run back, generator first, since its trouble makes the rest doubtful."""
    return [*_generator_findings(frames), *_server_findings(frames)]


def _usages(frames: RunFrames) -> Iterator[Usage]:
    server = frames.in_measured(frames.server_series)
    cpu = server_cpu(frames)
    yield Usage("server's core", "server", cpu, f"{percent_text(cpu)} of a core", SERVER_CORE_RATIO)
    files = most_of(server["open_fds"])
    most = most_of(server["max_fds"])
    yield Usage("server's open files", "server", files / most, f"{count_text(files)} of {count_text(most)}", FULL_RATIO)
    connections, cap = most_of(server["connections"]), _limit(frames, "max_connections")
    yield Usage(
        "server's connections",
        "server",
        connections / cap,
        f"{count_text(connections)} of {count_text(cap)}",
        FULL_RATIO,
    )
    cpu = generator_cpu(frames)
    yield Usage("generator's core", "generator", cpu, f"{percent_text(cpu)} of a core", GENERATOR_CORE_RATIO)


def _generator_findings(frames: RunFrames) -> Iterator[Finding]:
    manifest = frames.run.manifest
    reasons = manifest.validity.reasons if manifest is not None else []
    busy = [usage for usage in usages(frames) if usage.side == "generator" and usage.at_limit]
    if reasons or busy:
        said = [reason.text for reason in reasons] or [f"{u.resource} {u.text}" for u in busy]
        yield Finding(
            "the load generator",
            "generator",
            "; ".join(said),
            "spread the clients over more processes or machines and run again",
        )
    throttled = most_of(frames.in_measured(frames.generator_series)["throttled_ratio"])
    if throttled >= THROTTLED_RATIO:
        yield Finding(
            "the generator's CPU quota",
            "generator",
            f"throttled {percent_text(throttled)} of the time",
            "raise the container's CPU limit",
        )


def _server_findings(frames: RunFrames) -> Iterator[Finding]:
    full = [usage for usage in usages(frames) if usage.side == "server" and usage.at_limit]
    steps = {
        "server's core": "fewer deliveries per second on this node, or more nodes",
        "server's open files": "raise the limit of open files (ulimit -n) of the server",
        "server's connections": "raise --max-connections, or add nodes",
    }
    for usage in full:
        yield Finding(
            f"the {usage.resource}",
            "server",
            usage.text,
            steps[usage.resource],
        )
    lag = most_of(frames.in_measured(frames.server_series)["loop_lag_p99_s"])
    if lag >= LOOP_LAG_S and not any(usage.resource == "server's core" for usage in full):
        yield Finding(
            "the server's event loop",
            "server",
            f"loop lag p99 {duration_text(lag * 1e9)} although its core was not full",
            "look for other programs on its CPU, a CPU quota, swapping, or blocking work on the loop",
        )
    evicted = frames.timeseries.groupby("worker_id")["evicted_total"].max().sum()
    if evicted:
        yield Finding(
            "slow consumers",
            "server",
            f"{count_text(float(evicted))} connections ended as too slow",
            "find out why they read slowly; larger queues only postpone it",
        )


def _limit(frames: RunFrames, name: str) -> float:
    rows = frames.server
    wanted = (rows["metric"] == "scalechat_limit") & rows["labels"].astype("str").str.contains(
        f'name="{name}"', regex=False
    )
    values = rows[wanted]["value"]
    # A limit of 0 means "as many as the file limit allows", which is looked at on its own.
    return float(values.iloc[-1]) if len(values) and values.iloc[-1] > 0 else float("nan")
