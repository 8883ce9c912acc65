"""What our own load client has to reach, and the scenarios that show it.

Throughput and CPU are of one core of the client beside one core of the server, in the same run. Who of the two is
cheaper is asked in closed loops, those of the first two rows of the servers' comparison, and against what a delivery
costs the server *there*, where the meter in C drives it, played anew in each round. In the run itself both cores are
full, whatever either costs: the one that is ahead does its work in smaller pieces.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec

from benchmarks import machine, servers
from benchmarks import scenarios as comparison
from benchmarks.load_clients.figures import Figures, Row
from benchmarks.load_clients.ours import Load, rss_of_one_kb, scalechat
from benchmarks.load_clients.serving import OURS, served
from benchmarks.run import Bench
from benchmarks.run import measure as play

THOUSAND: Final = 1_000
DESCRIPTORS_BESIDES: Final = 150
"""Open files of server and load client that are not connections."""
PART_BUSY: Final = 0.7
TRIES: Final = 4

Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    clients: int = THOUSAND
    messages_per_s: float
    compared: str | None = None
    """The scenario of the servers' comparison with as many messages under way."""
    options: Mapping[str, object] = field(default_factory=dict)
    """For the load client, besides."""
    module: str = "scalechat"
    """The server: what to run with `python -m`."""
    seconds: float = 5.0
    once: bool = False
    """One run is enough."""
    busy: float | None = None
    """Look for the rate at which the load client is so busy."""
    without_clients: bool = False
    """Take the memory that does not come with clients off."""


SCENARIOS: Final = (
    Scenario(
        name="fan-out",
        title="1 room × 1,000, 16 publishers × 1 in flight",
        messages_per_s=16_000,
        compared="fan-out",
        options={"--publishers": 16, "--loop": "closed"},
    ),
    Scenario(
        name="many-publishers",
        title="1 room × 1,000, 200 publishers × 1 in flight",
        messages_per_s=100_000,
        compared="many-publishers",
        options={"--publishers": 200, "--loop": "closed"},
    ),
    Scenario(
        name="part-load",
        title="1 room × 1,000, 4 publishers, 100 messages/s, each a chunk of its own",
        messages_per_s=100,
        options={"--publishers": 4},
    ),
    Scenario(name="equal", title="1 room × 1,000, members receive equal bytes", messages_per_s=3_000),
    Scenario(
        name="parsing",
        title="1 room × 1,000, every member receives bytes of its own, so every delivery is parsed",
        messages_per_s=550,
        options={"--target": "plain"},
        module="benchmarks.load_clients.own_bytes",
    ),
    Scenario(
        name="part-busy",
        title=f"1 room × 1,000, load client {PART_BUSY:.0%} busy",
        messages_per_s=250,
        options={"--arrivals": "poisson"},
        busy=PART_BUSY,
        once=True,
    ),
    Scenario(
        name="many-clients",
        title="1 room × 20,000 in one process, 1 message/s",
        clients=20_000,
        messages_per_s=1,
        options={"--publishers": 1},
        once=True,
        without_clients=True,
    ),
)

BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that a scenario has to reach."""

    scenario: str
    what: str
    unit: str
    better: Better
    needed: float
    figure: Callable[[Figures], float]


def _against_comparison(run: Figures) -> float:
    """The client's CPU per delivery over the server's in the servers' comparison."""
    return run.cpu_us / run.compared_cpu_us if run.compared_cpu_us else float("inf")


def _against_server(run: Figures) -> float:
    """The same over the server's for the same deliveries."""
    return run.cpu_s / run.server_cpu_s if run.server_cpu_s else float("inf")


IN_COMPARISON: Final = "CPU per verified delivery, against the server's own in the servers' comparison"
IN_RUN: Final = "the same, against the server's own in the same run"
BARS: Final = (
    Bar("fan-out", IN_COMPARISON, "×", "less", 1.0, _against_comparison),
    Bar("fan-out", IN_RUN, "×", "less", 1.0, _against_server),
    Bar("many-publishers", IN_COMPARISON, "×", "less", 1.0, _against_comparison),
    Bar("many-publishers", IN_RUN, "×", "less", 1.0, _against_server),
    Bar("equal", "verified deliveries/s", "k", "more", 1_000, lambda run: run.per_s / THOUSAND),
    Bar("parsing", "verified deliveries/s", "k", "more", 500, lambda run: run.per_s / THOUSAND),
    Bar("part-busy", "loop lag p99", "ms", "less", 10, lambda run: run.loop_lag_p99_ms or float("inf")),
    Bar("many-clients", "memory per client", "kB", "less", 20, lambda run: run.rss_kb),
    Bar("many-clients", "clients that were not connected to the end", "", "less", 0, lambda run: run.lost),
)


def middle(row: Row, figure: Callable[[Figures], float]) -> float:
    """Of all runs of the row."""
    return median(map(figure, row.runs))


def measure(scenario: Scenario, bench: Bench, log: Path, *, rounds: int, file_limit: int) -> Row:
    """Run it `rounds` times, each with a server of its own."""
    cores = bench.cores
    clients = min(scenario.clients, file_limit - DESCRIPTORS_BESIDES)
    title = scenario.title if clients == scenario.clients else f"{scenario.title} (here {clients:,})"
    row = Row(name=scenario.name, title=title, commit=machine.commit(), runs=[])
    for _ in range(1 if scenario.once else rounds):
        with served(scenario.module, cores, log) as (port, pid):
            load = Load(port, pid, clients, scenario.messages_per_s, cores.meter)
            run = _run(scenario, load)
        if scenario.compared is not None:
            run = _beside(run, scenario.compared, bench)
        row.runs.append(run)
        told = f"{run.per_s:,.0f}/s, {run.cpu_us:.3f} µs, server {run.server_cpu_us:.3f} µs, busy {run.busy:.0%}"
        if run.compared_cpu_us is not None and run.compared_per_s is not None:
            told += f" (in the comparison {run.compared_per_s:,.0f}/s, {run.compared_cpu_us:.3f} µs)"
        print(f"{scenario.name}: {told}, lag {run.loop_lag_p99_ms} ms, wrong {run.wrong}", file=sys.stderr, flush=True)
    return row


def _beside(run: Figures, compared: str, bench: Bench) -> Figures:
    """The run, and what the server does in the servers' comparison right after it."""
    reading = play(comparison.BY_NAME[compared], servers.BY_NAME[OURS], 1, bench).reading
    if reading is None:
        return run
    cpu_us = comparison.cpu_us_per_delivery(reading)
    return msgspec.structs.replace(run, compared_cpu_us=cpu_us, compared_per_s=reading.deliveries_per_s)


def _run(scenario: Scenario, load: Load) -> Figures:
    if scenario.busy is not None:
        return _part_busy(scenario, load, scenario.busy)
    run = scalechat(load, scenario.options, seconds=scenario.seconds)
    if not scenario.without_clients:
        return run
    return msgspec.structs.replace(run, rss_before_kb=rss_of_one_kb(load))


def _part_busy(scenario: Scenario, load: Load, busy: float) -> Figures:
    """Offer more or less until the load client is as busy as asked, within a twentieth; else the nearest that was
    found."""
    best: Figures | None = None
    rate = scenario.messages_per_s
    for _ in range(TRIES):
        run = scalechat(
            Load(load.port, load.server_pid, load.clients, rate, load.core), scenario.options, seconds=scenario.seconds
        )
        if best is None or abs(run.busy - busy) < abs(best.busy - busy):
            best = run
        if abs(run.busy - busy) <= busy / 20:
            break
        rate *= min(2.0, busy / run.busy)
    assert best is not None
    return best
