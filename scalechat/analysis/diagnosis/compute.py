"""The server's one core, and what takes it: fan-out, large messages, garbage collections, work that blocks the loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scalechat.analysis.facts import clients, server_core, server_cpu
from scalechat.analysis.units import bytes_text, count_text, duration_text, percent_text, rate_text, significant

from .finding import CORE, HIDDEN, LOOP, SHARED, Evidence, Finding, Strength
from .seen import Seen, when
from .usage import QUOTA, SERVER_CORE_RATIO, usages

__all__ = ["collections", "core", "crowd", "loop", "quota", "shared", "sizes"]

LOOP_LAG_S: Final = 0.1
STALL_S: Final = 0.25
"""A stall that every client has felt, even when nine seconds in ten stay below `LOOP_LAG_S`."""
GC_RATIO: Final = 0.05
GC_LONG_S: Final = 0.05
"""A pause that a p99 objective of 200 ms feels. Collections of a server with 10,000 connections stay below 20 ms."""
CROWD: Final = 100
TALKERS_RATIO: Final = 0.3
LARGE_BYTES: Final = 8 * 1024
"""From here on copying costs more than the system call (docs/scale-problems/message-size.md)."""
WAITING_RATIO: Final = 0.1
THROTTLED_RATIO: Final = 0.05
"""As for the load client's own quota."""
_LAG: Final = "scalechat_loop_lag_seconds"
_GC: Final = "scalechat_gc_pause_seconds"


def core(seen: Seen) -> Iterator[Finding]:
    """One event loop has one core."""
    used, waited = server_core(seen.frames), float(seen.server["waiting_ratio"].mean())
    # Waiting for the core is wanting more of it: a server that shares its core is full before it has all of it.
    waited = waited if waited >= WAITING_RATIO else 0.0
    if not used + waited >= SERVER_CORE_RATIO or used < waited:
        return
    times = when(seen.server, "busiest_core", SERVER_CORE_RATIO - waited)
    text, source = f"{percent_text(used)} of a core", "process_cpu_seconds_total"
    if waited:
        text += f", and {percent_text(waited)} of the time ready to run while other programs had it"
        source += ", scalechat_cpu_wait_seconds_total"
    said = [Evidence(text, source, times)]
    delivered = seen.delivered_per_s
    if delivered > 0:
        text = f"{rate_text(delivered, 'deliveries')}, {significant(1e6 * used / delivered)} µs of it each"
        said.append(Evidence(text, "scalechat_deliveries_total"))
    if seen.most("loop_lag_p99_s") >= LOOP_LAG_S:
        said.append(_lag(seen, seen.most("loop_lag_p99_s"), LOOP_LAG_S))
    step = "fewer deliveries per second on this node, more --workers, or more nodes"
    yield Finding(CORE, "server", "certain", tuple(said), step, "single-core.md", frozenset({LOOP, HIDDEN}))


def shared(seen: Seen) -> Iterator[Finding]:
    """A core that others have most of the time."""
    used, waited = server_core(seen.frames), float(seen.server["waiting_ratio"].mean())
    if not (used + waited >= SERVER_CORE_RATIO and waited > used):
        return
    text = f"ready to run but without a core {percent_text(waited)} of the time, with one {percent_text(used)}"
    source = "scalechat_cpu_wait_seconds_total, process_cpu_seconds_total"
    said = (Evidence(text, source, when(seen.server, "waiting_ratio", SERVER_CORE_RATIO / 2)),)
    step = "give the server a core of its own (taskset, cpuset), or move the other programs elsewhere"
    yield Finding(SHARED, "server", "likely", said, step, None, frozenset({LOOP, HIDDEN}))


def quota(seen: Seen) -> Iterator[Finding]:
    """A container's CPU limit: when it is used up everything stands still until its period is over."""
    used = next((usage for usage in usages(seen.frames) if usage.resource == QUOTA), None)
    throttled = seen.most("throttled_ratio")
    if used is None or not (used.at_limit or throttled >= THROTTLED_RATIO):
        return
    said = [Evidence(used.text, "process_cpu_seconds_total, scalechat_cpu_quota_cores")]
    if throttled >= THROTTLED_RATIO:
        text = f"throttled {percent_text(throttled)} of the time"
        times = when(seen.server, "throttled_ratio", THROTTLED_RATIO)
        said.append(Evidence(text, "scalechat_cpu_throttled_seconds_total", times))
    delivered = seen.delivered_per_s
    if delivered > 0:
        each = significant(1e6 * server_cpu(seen.frames) / delivered)
        text = f"{rate_text(delivered, 'deliveries')}, {each} µs of CPU each"
        said.append(Evidence(text, "scalechat_deliveries_total"))
    step = "a higher CPU limit of the container, fewer deliveries per second on this node, or more nodes"
    strength: Strength = "certain" if used.at_limit else "likely"
    explained = frozenset({CORE, SHARED, LOOP, HIDDEN})
    yield Finding("the server's CPU quota", "server", strength, tuple(said), step, "cpu-quota.md", explained)


def crowd(seen: Seen) -> Iterator[Finding]:
    """Where everybody talks to everybody, the work is the square of the people."""
    if not (_full(seen) and seen.fan_out >= CROWD):
        return
    people, publishers = clients(seen.frames), seen.frames.option("publishers")
    talkers = float(publishers) if publishers and publishers.isdecimal() and float(publishers) else people
    if not talkers >= TALKERS_RATIO * people:
        return
    text = (
        f"each message goes to {count_text(seen.fan_out)} members and {percent_text(talkers / people)} of the members "
        f"talk: {rate_text(seen.published_per_s, 'messages')} are {rate_text(seen.delivered_per_s, 'deliveries')}"
    )
    step = "smaller rooms, or a limit on what one client may say (--message-rate)"
    yield Finding(
        "everybody talking to everybody",
        "server",
        "likely",
        (Evidence(text, "published_total and delivered_total in timeseries.csv"),),
        step,
        "everyone-in-one-room.md",
    )


def sizes(seen: Seen) -> Iterator[Finding]:
    """Large messages cost their copying."""
    size = seen.most("bytes_out_per_s") / seen.most("deliveries_per_s")
    if not (_full(seen) and np.isfinite(size) and size >= LARGE_BYTES):
        return
    text = f"{bytes_text(size)} a delivery, {bytes_text(seen.most('bytes_out_per_s'))}/s"
    step = "a limit on what one message may be (--max-message-size)"
    evidence = (Evidence(text, "scalechat_bytes_out_total and scalechat_deliveries_total"),)
    yield Finding("the size of the messages", "server", "likely", evidence, step, "message-size.md")


def _full(seen: Seen) -> bool:
    """Whether it had no more CPU to use, of its core or of its quota."""
    return any(core(seen)) or any(usage.resource == QUOTA and usage.at_limit for usage in usages(seen.frames))


def collections(seen: Seen) -> Iterator[Finding]:
    """Garbage collections stop everything while they last."""
    ratio, long = seen.most("gc_ratio"), seen.longer_than(_GC, GC_LONG_S)
    if not (ratio >= GC_RATIO or long.number >= 2):
        return
    said = []
    if ratio >= GC_RATIO:
        times = when(seen.server, "gc_ratio", GC_RATIO)
        said.append(Evidence(f"{percent_text(ratio)} of the time in collections", f"{_GC}_sum", times))
    if long.number:
        text = f"{count_text(long.number)} collections longer than {duration_text(GC_LONG_S * 1e9)}"
        said.append(Evidence(text, f"{_GC}_bucket", long.when))
    if seen.highest("loop_lag_p99_s") >= LOOP_LAG_S:
        said.append(_lag(seen, seen.highest("loop_lag_p99_s"), LOOP_LAG_S))
    step = "fewer objects that live long, gc.freeze after the start, higher thresholds for the oldest generation"
    explained = frozenset({LOOP, HIDDEN})
    yield Finding("garbage collections", "server", "certain", tuple(said), step, None, explained)


def loop(seen: Seen) -> Iterator[Finding]:
    """An event loop that is late although its core is not full: somebody else has the core, or blocks the loop."""
    lag, worst = seen.most("loop_lag_p99_s"), seen.highest("loop_lag_p99_s")
    if lag >= LOOP_LAG_S:
        evidence = _lag(seen, lag, LOOP_LAG_S)
    elif worst >= STALL_S:
        evidence = _lag(seen, worst, STALL_S)
    else:
        return
    used = Evidence(f"its core was not full ({percent_text(server_core(seen.frames))})", "process_cpu_seconds_total")
    said = [evidence, used]
    waited = seen.highest("waiting_ratio")
    if waited >= WAITING_RATIO:
        text = f"ready to run but without a core up to {percent_text(waited)} of a second: other programs have it"
        said.append(
            Evidence(text, "scalechat_cpu_wait_seconds_total", when(seen.server, "waiting_ratio", WAITING_RATIO))
        )
    step = "look for other programs on its CPU, a CPU quota, swapping, or blocking work on the loop"
    yield Finding(LOOP, "server", "likely", tuple(said), step, None, frozenset({HIDDEN}))


def _lag(seen: Seen, lag_s: float, least_s: float) -> Evidence:
    at_least = "at least " if lag_s >= 2.5 else ""  # the metric's last bucket
    return Evidence(
        f"loop lag p99 {at_least}{duration_text(lag_s * 1e9)}", _LAG, when(seen.server, "loop_lag_p99_s", least_s)
    )
