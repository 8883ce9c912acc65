"""WHAT HELD A RUN BACK, in words: which resource was at its limit, how that is known, what to do about it.

Rules read the measured phases of both sides on one time axis. Each rule is a function from what was seen to findings,
with its bounds and their reasons beside it; a finding names its evidence, where it was read and when it was so, so that
a person can check it against the pictures. A healthy run has none.

    finding    what a rule says
    seen       what rules look at: the run's series and histograms, and when something was so
    usage      how much of each limit was in use
    generator  the load client itself
    compute    the server's core, who else has it, its CPU quota, its collections, its event loop
    queues     members that read too slowly, what is dropped for them, what waits in the kernel
    arrivals   connections that do not get in
    absence    clients that were away for a while
    outside    Redis, memory, restarts and ends
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from scalechat.analysis.frames import RunFrames

from . import absence, arrivals, compute, generator, outside, queues
from .finding import STRENGTHS, Evidence, Finding, Side, Strength
from .seen import Seen
from .usage import GENERATOR_CORE_RATIO, Usage, usages

__all__ = ["GENERATOR_CORE_RATIO", "Evidence", "Finding", "Side", "Strength", "Usage", "diagnose", "usages"]

Rule = Callable[[Seen], Iterable[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    generator.rule,
    generator.quota,
    outside.restart,
    outside.end,
    outside.redis,
    arrivals.files,
    arrivals.places,
    arrivals.accept_queue,
    compute.quota,
    compute.core,
    compute.shared,
    compute.collections,
    compute.loop,
    queues.drops,
    queues.slow_consumers,
    queues.hidden,
    absence.away,
    compute.crowd,
    compute.sizes,
)
"""In the order in which findings of the same strength are told."""


def diagnose(frames: RunFrames) -> list[Finding]:
    """What held this run back, the surest first.

    A doubtful generator comes before everything, since it makes the rest doubtful; what another finding explains is
    left out.
    """
    seen = Seen(frames)
    found = [finding for rule in RULES for finding in rule(seen)]
    explained = {cause for finding in found for cause in finding.explains}
    kept = [finding for finding in found if finding.cause not in explained]
    return sorted(kept, key=lambda finding: (finding.side != "generator", STRENGTHS.index(finding.strength)))
