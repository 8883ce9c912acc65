"""What the server depends on: Redis, memory, and that it lives at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from scalechat.analysis.units import bytes_text, count_text, counted, duration_text

from .finding import AWAY, HIDDEN, Evidence, Finding, Strength
from .seen import Seen, when

__all__ = ["end", "redis", "restart"]

SLOW_BUS_S: Final = 0.1
"""A publish takes Redis 31 µs and a node 3 ms (docs/discussion/delivery.md)."""
STALLED_BUS_S: Final = 0.5
OWN_LAG: Final = 4.0
GROWN: Final = 1.5
"""Memory that has grown by half before the end is a sign of what ended it."""
SILENT_S: Final = 3.0
"""Longer than a busy server keeps a scrape waiting; and a busy one refuses no connection."""


def redis(seen: Seen) -> Iterator[Finding]:
    """A bus that is away, or slow."""
    rows = seen.server
    down, slow, worst = rows["bus_up"].min(), seen.typical("bus_publish_p99_s"), seen.highest("bus_publish_p99_s")
    away = down < 1
    # A loop that is late itself hears Redis' answer late.
    slow = slow if slow >= OWN_LAG * seen.typical("loop_lag_p99_s") else 0.0
    if not (away or slow >= SLOW_BUS_S or worst >= max(STALLED_BUS_S, OWN_LAG * seen.highest("loop_lag_p99_s"))):
        return
    said = []
    if away:
        times = when(rows.assign(bus_down=1 - rows["bus_up"]), "bus_down", 1)
        said.append(Evidence("the server could not reach Redis", "scalechat_bus_up", times))
    if worst >= SLOW_BUS_S:
        most = f"{'more than ' if worst >= 2.5 else ''}{duration_text(1e9 * worst)}"  # 2.5 s is the last bucket
        text = f"publishing took up to {most} (p99 of a second)"
        said.append(Evidence(text, "scalechat_bus_publish_seconds", when(rows, "bus_publish_p99_s", SLOW_BUS_S)))
    waiting = seen.highest("bus_waiting")
    if waiting > 0:
        said.append(
            Evidence(
                f"up to {count_text(waiting)} messages waited for it",
                "scalechat_bus_waiting",
                when(rows, "bus_waiting", 1),
            )
        )
    step = (
        "look at Redis' own log and machine; clients stay, and what waits is kept for 5 s"
        if away or slow < SLOW_BUS_S
        else "look at Redis' CPU; spread rooms over more shards (a Redis Cluster)"
    )
    yield Finding(
        "Redis",
        "server",
        "certain" if away else "likely",
        tuple(said),
        step,
        "broker-outage.md" if away else None,
        frozenset({HIDDEN}),
    )


def restart(seen: Seen) -> Iterator[Finding]:
    """A process that began anew while the run went on."""
    rows = seen.frames.server_series
    starts = rows.dropna(subset=["started_unix_s"]).groupby("node")["started_unix_s"].nunique()
    if not (starts > 1).any():
        return
    node = rows[rows["node"] == starts.idxmax()].sort_values("t_s")
    changed = node["started_unix_s"].diff().abs() > 0
    at = float(node["t_s"][changed].iloc[0])
    said = [Evidence(f"the server's process began anew before {at:.0f} s", "process_start_time_seconds")]
    lost = seen.counted("disconnects_total")
    if lost:
        said.append(
            Evidence(
                f"{counted(lost, 'connection')} lost, {count_text(seen.counted('reconnects_total'))} came back",
                "timeseries.csv",
            )
        )
    yield _ended("a restart of the server", said, node[node["t_s"] < at])


def end(seen: Seen) -> Iterator[Finding]:
    """A process that was gone before the run was over: it answered no more, and its port refused."""
    rows = seen.frames.server_series.sort_values("t_s")
    refused, lost = seen.counted("connect_failures_refused_total"), seen.counted("disconnects_total")
    if rows.empty or not (refused > 0 and lost > 0):
        return
    last = float(rows["t_s"].iloc[-1])
    if max((phase.end_s for phase in seen.frames.measured), default=last) - last < SILENT_S:
        return
    said = [
        Evidence(f"it answered no scrape after {last:.0f} s", "server.csv"),
        Evidence(
            f"{counted(lost, 'connection')} lost, {counted(refused, 'attempt')} to connect refused", "timeseries.csv"
        ),
    ]
    yield _ended("the end of the server", said, rows)


def _ended(cause: str, said: list[Evidence], before: pd.DataFrame) -> Finding:
    """What ended it: memory, if that had grown until then."""
    memory = before["rss_bytes"].to_numpy(np.float64)
    strength: Strength = "certain"
    if len(memory) and memory[-1] >= GROWN * memory[0] and memory[-1] >= memory.max():
        text = f"its memory had grown from {bytes_text(memory[0])} to {bytes_text(memory[-1])} by then"
        said.append(Evidence(text, "process_resident_memory_bytes"))
        step = "bounds that add up to less than the memory there is: connections times --queue-bytes"
        cause, strength, page = "the server's memory", "likely", "memory-limit.md"
    else:
        step = "find out what ended it; a drain (SIGTERM) tells clients when to come back, and they resume"
        page = "unclean-restart.md"
    return Finding(cause, "server", strength, tuple(said), step, page, frozenset({AWAY, HIDDEN}))
