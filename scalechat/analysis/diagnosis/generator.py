"""The load client: whether what it says is to be believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scalechat.analysis.facts import generator_cpu, most_of
from scalechat.analysis.units import percent_text

from .finding import Evidence, Finding
from .seen import Seen, when
from .usage import GENERATOR_CORE_RATIO

__all__ = ["quota", "rule"]

GENERATOR: Final = "the load generator"
PAGE: Final = "load-client.md"
THROTTLED_RATIO: Final = 0.05
WAITING_RATIO: Final = 0.2
"""A process that waits for a core this much of the time shares it with somebody who is busy."""


def rule(seen: Seen) -> Iterator[Finding]:
    """The run's own verdict on its generator; of a run without one, its CPU."""
    said = _verdict(seen)
    cpu = generator_cpu(seen.frames)
    if not said and cpu >= GENERATOR_CORE_RATIO:
        times = when(seen.generator, "cpu_cores", GENERATOR_CORE_RATIO)
        said = [Evidence(f"generator's core {percent_text(cpu)} of a core", "health.csv", times)]
    if not said:
        return
    waiting = most_of(seen.generator["waiting_ratio"])
    if waiting >= WAITING_RATIO:
        text = f"ready to run but without a core {percent_text(waiting)} of the time: other programs have it"
        said.append(
            Evidence(text, "cpu_wait_s_total in health.csv", when(seen.generator, "waiting_ratio", WAITING_RATIO))
        )
    step = "spread the clients over more processes (--processes) or machines, on cores of their own, and run again"
    yield Finding(GENERATOR, "generator", "certain", tuple(said), step, PAGE)


def quota(seen: Seen) -> Iterator[Finding]:
    """A container's CPU limit that held the load client back: then the verdict on the generator is about the limit."""
    throttled = most_of(seen.generator["throttled_ratio"])
    if throttled >= THROTTLED_RATIO:
        times = when(seen.generator, "throttled_ratio", THROTTLED_RATIO)
        source = "cpu_throttled_s_total in health.csv"
        said = (Evidence(f"throttled {percent_text(throttled)} of the time", source, times), *_verdict(seen))
        step = "raise the container's CPU limit"
        yield Finding("the generator's CPU quota", "generator", "certain", said, step, PAGE, frozenset({GENERATOR}))


def _verdict(seen: Seen) -> list[Evidence]:
    manifest = seen.frames.run.manifest
    return [Evidence(reason.text, "validity in run.json") for reason in manifest.validity.reasons] if manifest else []
