"""Members that read more slowly than their room talks: who is cut off, what is dropped, what waits unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scalechat.analysis.facts import clients, generator_cpu, server_core
from scalechat.analysis.units import bytes_text, count_text, counted, duration_text, percent_text

from .finding import HIDDEN, Evidence, Finding, Strength
from .seen import Seen, when
from .usage import GENERATOR_CORE_RATIO

__all__ = ["drops", "hidden", "slow_consumers"]

OLD_S: Final = 1.0
"""A frame that waits so long waits for its reader: an overloaded server is seen by its core and its loop."""
LATE_S: Final = 0.25
"""What nobody calls real time. Below it network and scheduling may explain a delay."""
ELSEWHERE: Final = 4.0
"""A delay this many times what the server's own figures explain happened outside of it."""
IDLE_CORE_RATIO: Final = 0.7
_EVICTIONS: Final = ("queue_full", "queue_age", "resync")


def drops(seen: Seen) -> Iterator[Finding]:
    """A policy that drops: nothing is slow, and something is missing."""
    dropped = seen.grown("scalechat_drops_total")
    if not dropped > 0:
        return
    said = [
        Evidence(
            f"{counted(dropped, 'delivery').replace('deliverys', 'deliveries')} dropped for slow clients",
            "scalechat_drops_total",
            when(seen.server, "drops_per_s", 1e-9),
        )
    ]
    manifest = seen.frames.run.manifest
    if manifest is not None and manifest.ledger.missing:
        share = manifest.ledger.missing / max(manifest.ledger.expected, 1)
        text = f"{count_text(manifest.ledger.missing)} deliveries missing, {percent_text(share)} of what was owed"
        said.append(Evidence(text, "ledger in run.json"))
    step = "tell clients of the gap (seq), or let slow ones catch up later: --slow-consumer pause"
    explained = frozenset({"slow consumers"})
    yield Finding("the drop policy", "server", "certain", tuple(said), step, "silent-loss.md", explained)


def slow_consumers(seen: Seen) -> Iterator[Finding]:
    """Connections that were ended as too slow, or frames that wait for their reader."""
    by_server = sum(
        grown for reason in _EVICTIONS if (grown := seen.grown("scalechat_evictions_total", f'"{reason}"')) > 0
    )
    evicted = max(seen.counted("evicted_total"), by_server)
    age = seen.most("queue_age_s")
    said = []
    if evicted:
        times = when(seen.frames.server_series, "evictions_per_s", 1e-9)
        said.append(Evidence(f"{counted(evicted, 'connection')} ended as too slow", "scalechat_evictions_total", times))
    if age >= OLD_S:
        times = when(seen.server, "queue_age_s", OLD_S)
        size = bytes_text(seen.highest("queue_bytes"))
        text = f"frames waited {duration_text(age * 1e9)} for their reader, {size} of them"
        said.append(Evidence(text, "scalechat_queue_age_seconds", times))
    if not said:
        return
    some = clients(seen.frames)
    step = "find out why they read slowly; larger queues only postpone it"
    # Where most are too slow, it is not them.
    strength: Strength = "certain" if 0 < evicted < 0.5 * some else "likely"
    yield Finding(
        "slow consumers",
        "server",
        strength,
        tuple(said),
        step,
        "slow-consumer-memory.md",
        frozenset({HIDDEN}),
    )


def hidden(seen: Seen) -> Iterator[Finding]:
    """Late deliveries, and nothing in the server that is late: they wait in socket buffers or in the network."""
    own = [seen.highest(column) for column in ("queue_age_s", "loop_lag_p99_s", "bus_lag_s", "bus_publish_p99_s")]
    inside_s = float(np.nansum(own))
    if np.isnan(own[0]) or not server_core(seen.frames) < IDLE_CORE_RATIO:
        return
    manifest = seen.frames.run.manifest
    if (manifest is not None and not manifest.validity.valid) or not generator_cpu(seen.frames) < GENERATOR_CORE_RATIO:
        return
    for metric, who, rank in (
        ("delivery", "the deliveries", 0.99),
        ("delivery_slow", "deliveries to slow readers", 0.5),
    ):
        late_s = seen.delivery_s(metric, rank)
        if late_s >= LATE_S and late_s >= ELSEWHERE * inside_s:
            said = (
                Evidence(
                    f"{percent_text(1 - rank)} of {who} took longer than {duration_text(late_s * 1e9)}",
                    "histograms.csv",
                ),
                Evidence(
                    f"the oldest frame in a queue of the server was {duration_text(1e9 * own[0])} old, "
                    f"and the longest queue held {bytes_text(seen.highest('queue_bytes'))}",
                    "scalechat_queue_age_seconds, scalechat_queue_bytes",
                ),
            )
            step = "bound what the kernel holds for a client (--send-buffer), so that the server's own limits see it"
            yield Finding(HIDDEN, "server", "likely", said, step, "hidden-queues.md")
            return
