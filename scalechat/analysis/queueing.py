"""What queueing theory says the latency of a probe must be, to hold it against what was measured.

Two servers that know nothing of each other. **M/D/1**: messages come at random, each is worked off alone and takes the
same time S. Its mean stay is S + ρS / 2(1 - ρ) (Pollaczek 1930, Khinchine 1932; Harchol-Balter, *Performance Modeling
and Design of Computer Systems*, 2013, chapter 23). S is no free number: it is the CPU one message cost at that probe.

**Batch service**: one sweep hands everything that came since the last one to all members, one after another. A message
waits for the rest of the running sweep, U₁T, and then for its member's turn in its own, U₂T, both uniform. Their sum
has its median at T and its p99 at 2T - T√(2 / 100), so p99 / p50 = 1.86 whatever T is. T is the one free number; it
is read off the measured median, and the p99 is the prediction.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["batch_p99", "md1_mean", "utilisation"]

_TAIL: Final = 2 - math.sqrt(0.02)
"""p99 / p50 of the sum of two equal uniform times: 1 - (2 - x)² / 2 = 0.99."""


def utilisation(cpu_cores: float, limit_cores: float) -> float:
    """ρ: how much of the time the server works, of what it may use."""
    return cpu_cores / limit_cores if limit_cores > 0 else math.nan


def md1_mean(service_ms: float, busy: float) -> float:
    """The mean stay in an M/D/1 queue in ms; infinite where the server is given more than it can do.

    Args:
        service_ms: work for one message.
        busy: ρ, the part of time the server works.
    """
    if math.isnan(service_ms) or math.isnan(busy):
        return math.nan
    return math.inf if busy >= 1 else service_ms * (1 + busy / (2 * (1 - busy)))


def batch_p99(p50_ms: float) -> float:
    """The p99 of batch service with this median, in ms."""
    return _TAIL * p50_ms
