"""From one machine's measurements to a million users: what would be needed, and how little of it is certain.

Every input is a range, drawn anew in each of many trials (Monte Carlo, seeded); every answer is the middle of what came
out and where nine in ten trials lie. That is no confidence interval: it says what follows from the ranges, and a wrong
range makes it wrong. Inputs that were measured name their file; the others are assumptions and say so. What lies beyond
one machine (a network between nodes, Redis with a hundred readers) was measured by nobody here.

What work costs depends on how much there is: a busy server does many messages at once, ten to fifty times cheaper each.
A million users are spread over nodes that have a member or two of each room, so a delivery costs what it costs a server
that is not full. A node on Redis reads and writes at ticks, 333 a second, and a tick costs the same for one message as
for twenty: it is a part of each node's core, and a message comes on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

__all__ = ["INPUTS", "OUTPUTS", "Input", "Interval", "drivers", "project"]

Floats = npt.NDArray[np.float64]

_REDIS: Final = "benchmarks/results/redis-bus.json, python -m benchmarks.redis_bus"
_ENGINE: Final = "benchmarks/results/comparison.json, python -m benchmarks.compare"
_FURTHER: Final = "benchmarks/results/further-node.json, python -m benchmarks.further_node"
_ASSUMED: Final = "assumption"
_SEED: Final = 20_260_101
_TRIALS: Final = 4_000
"""The ends of a 90 % interval are then the 200th value from either side."""
_ROUNDS: Final = 60
"""Nodes cause work for other nodes; the number settles within so many rounds, each of which halves what is left."""


@dataclass(frozen=True, slots=True)
class Input:
    """A range with its unit, and where it comes from."""

    low: float
    high: float
    unit: str
    source: str

    @property
    def measured(self) -> bool:
        """Whether a file of measurements stands behind it."""
        return self.source != _ASSUMED


@dataclass(frozen=True, slots=True)
class Interval:
    """The median of the trials and where nine in ten of them lie."""

    middle: float
    low: float
    high: float


INPUTS: Final[Mapping[str, Input]] = MappingProxyType(
    {
        "message_rate": Input(0.5, 2.0, "messages a user and minute, mean of the month", _ASSUMED),
        "peak": Input(2, 5, "times that in the busiest minute", _ASSUMED),
        "room_members": Input(20, 100, "members a room", _ASSUMED),
        "tick_cores": Input(0.11, 0.2, "of a core, for the ticks of a node on a busy Redis", _FURTHER),
        "publish_cpu_us": Input(84, 150, "µs CPU of a node for a message, without its deliveries", _REDIS),
        "receive_cpu_us": Input(2, 20, "µs CPU of each further node with members, beyond its ticks", _FURTHER),
        "delivery_cpu_us": Input(3.3, 11.7, "µs CPU of a node for a delivery, below full load", f"{_ENGINE}; {_REDIS}"),
        "connection_kb": Input(9.5, 58, "kB of memory a connection, the most under full load", f"{_ENGINE}; {_REDIS}"),
        "connections": Input(10_000, 19_880, "connections a node", f"{_ENGINE}, the most that were tried"),
        "node_base_mb": Input(65, 90, "MB of memory of a node without clients", f"{_ENGINE}; {_REDIS}"),
        "redis_cpu_us": Input(22, 73, "µs CPU of Redis for a message from 1,000/s on, one node reading", _REDIS),
        "redis_reader_us": Input(2, 20, "µs CPU of Redis for each further node reading", _ASSUMED),
        "headroom": Input(0.4, 0.6, "of a core used, by nodes and by Redis", _ASSUMED),
        "delivery_bytes": Input(171, 176, "bytes a delivery, WebSocket", _REDIS),
        "network_overhead": Input(1.05, 1.4, "bytes on the wire for each of those", _ASSUMED),
        "core_price": Input(15, 40, "$ a core and month", _ASSUMED),
        "memory_price": Input(2, 5, "$ a GB and month", _ASSUMED),
        "egress_price": Input(0.005, 0.09, "$ a GB sent out", _ASSUMED),
    }
)

OUTPUTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nodes": "node processes, a core each, for the busiest minute",
        "redis_shards": "Redis shards, a core each, for the busiest minute",
        "memory_gb": "GB of memory, nodes",
        "network_gbit_s": "Gbit/s sent to clients in the busiest minute",
        "machines_per_month": "$ a month, machines",
        "egress_per_month": "$ a month, traffic",
    }
)


def project(users: float, inputs: Mapping[str, Input] = INPUTS) -> Mapping[str, Interval]:
    """What so many users connected at once need; the keys are those of OUTPUTS.

    Rooms are of one size and spread over nodes without plan, so a room of R members is on K(1 - (1 - 1/K)^R) of K
    nodes, and each of these reads each of its messages. Shards share the rooms evenly.
    """
    return {name: _interval(values) for name, values in _needed(users, _drawn(inputs)).items()}


def drivers(users: float, inputs: Mapping[str, Input] = INPUTS, output: str = "nodes") -> Mapping[str, float]:
    """Which inputs the width of an answer comes from: each one's squared rank correlation with it, over the trials.

    The inputs are drawn independently of each other, so these are about its parts of the spread.
    """
    drawn = _drawn(inputs)
    answer = _needed(users, drawn)[output]
    return {name: _correlation(values, answer) ** 2 for name, values in drawn.items()}


def _drawn(inputs: Mapping[str, Input]) -> Mapping[str, Floats]:
    """A value of each input for each trial; logarithmic, as a range of 2 to 20 leaves the magnitude open."""
    random = np.random.default_rng(_SEED)
    return {name: np.exp(random.uniform(np.log(one.low), np.log(one.high), _TRIALS)) for name, one in inputs.items()}


def _needed(users: float, drawn: Mapping[str, Floats]) -> Mapping[str, Floats]:
    mean_messages = users * drawn["message_rate"] / 60
    messages = mean_messages * drawn["peak"]
    deliveries = messages * (drawn["room_members"] - 1)
    own = messages * drawn["publish_cpu_us"] + deliveries * drawn["delivery_cpu_us"]
    fewest = users / drawn["connections"]
    nodes = np.ones(_TRIALS)
    for _ in range(_ROUNDS):
        further = _reached(nodes, drawn["room_members"]) - 1
        cores = (own + messages * further * drawn["receive_cpu_us"]) / 1e6
        busy = cores / (drawn["headroom"] - drawn["tick_cores"])
        nodes = np.ceil(np.maximum.reduce([busy, fewest, np.ones(_TRIALS)]))
    further = _reached(nodes, drawn["room_members"]) - 1
    redis_cores = messages * (drawn["redis_cpu_us"] + further * drawn["redis_reader_us"]) / 1e6
    shards = np.ceil(np.maximum(redis_cores / drawn["headroom"], 1))
    memory_gb = (users * drawn["connection_kb"] * 1e3 + nodes * drawn["node_base_mb"] * 1e6) / 1e9
    bytes_per_s = deliveries * drawn["delivery_bytes"] * drawn["network_overhead"]
    month_s = 30 * 24 * 3_600
    return {
        "nodes": nodes,
        "redis_shards": shards,
        "memory_gb": memory_gb,
        "network_gbit_s": bytes_per_s * 8 / 1e9,
        "machines_per_month": (nodes + shards) * drawn["core_price"] + memory_gb * drawn["memory_price"],
        "egress_per_month": bytes_per_s / drawn["peak"] * month_s / 1e9 * drawn["egress_price"],
    }


def _reached(nodes: Floats, members: Floats) -> Floats:
    found: Floats = nodes * (1 - (1 - 1 / nodes) ** members)
    return found


def _interval(values: Floats) -> Interval:
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return Interval(float(middle), float(low), float(high))


def _correlation(one: Floats, other: Floats) -> float:
    """Spearman's; 0 where one of them does not vary."""
    if one.min() == one.max() or other.min() == other.max():
        return 0.0
    return float(spearmanr(one, other).statistic)
