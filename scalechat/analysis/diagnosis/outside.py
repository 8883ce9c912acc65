"""What the server depends on: Redis, memory, and that it lives at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scalechat.analysis.units import bytes_text, count_text, counted, duration_text

from .finding import AWAY, HIDDEN, Evidence, Finding
from .seen import Seen, when

__all__ = ["redis", "restart"]

SLOW_BUS_S: Final = 0.1
"""A publish takes Redis 31 µs and a node 3 ms (docs/discussion/delivery.md)."""
STALLED_BUS_S: Final = 0.5
OWN_LAG: Final = 4.0
GROWN: Final = 1.5
"""Memory that has grown by half before the end is a sign of what ended it."""


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
    yield Finding("Redis", "server", "certain" if away else "likely", tuple(said), step, None, frozenset({HIDDEN}))


def restart(seen: Seen) -> Iterator[Finding]:
    """A process that began anew while the run went on."""
    rows = seen.frames.server_series
    starts = rows.dropna(subset=["started_unix_s"]).groupby("node")["started_unix_s"].nunique()
    if not (starts > 1).any():
        return
    node = rows[rows["node"] == starts.idxmax()].sort_values("t_s")
    changed = node["started_unix_s"].diff().abs() > 0
    at = float(node["t_s"][changed].iloc[0])
    before = node[node["t_s"] < at]["rss_bytes"].to_numpy(np.float64)
    said = [Evidence(f"the server's process began anew before {at:.0f} s", "process_start_time_seconds")]
    lost = seen.counted("disconnects_total")
    if lost:
        said.append(
            Evidence(
                f"{counted(lost, 'connection')} lost, {count_text(seen.counted('reconnects_total'))} came back",
                "timeseries.csv",
            )
        )
    if len(before) and before[-1] >= GROWN * before[0] and before[-1] >= before.max():
        text = f"its memory had grown from {bytes_text(before[0])} to {bytes_text(before[-1])} by then"
        said.append(Evidence(text, "process_resident_memory_bytes"))
        step = "bounds that add up to less than the memory there is: connections times --queue-bytes"
        yield Finding("the server's memory", "server", "likely", tuple(said), step, None, frozenset({AWAY, HIDDEN}))
        return
    step = "find out what ended it; a drain (SIGTERM) tells clients when to come back, and they resume"
    yield Finding("a restart of the server", "server", "certain", tuple(said), step, None, frozenset({AWAY, HIDDEN}))
