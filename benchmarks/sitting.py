"""One sitting: which cells are measured, in which order, until when.

Rounds are interleaved: each goes through all scenarios, and within a scenario from server to server, starting with
another one each time, so that a machine that slows down slows everybody down. Servers that no bar compares with, and
scenarios that are measured once, come last: where the time is short, they are what is left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.results import Cell
from benchmarks.run import Bench, measure
from benchmarks.scenarios import Scenario
from benchmarks.servers import Server

HOPELESS_MS = 500.0
"""An open loop with a p99 above this was more than the server can take; asking again would show nothing new."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to be measured."""

    scenario: Scenario
    server: Server
    round: int


def jobs(scenarios: Sequence[Scenario], servers: Sequence[Server], rounds: int) -> list[Job]:
    """All cells in the order in which they are measured."""
    several: list[Job] = []
    once: list[Job] = []
    for number in range(1, rounds + 1):
        first = (number - 1) % max(1, len(servers))
        for scenario in scenarios:
            for server in (*servers[first:], *servers[:first]):
                if _belongs(scenario, server, number):
                    (once if server.context or scenario.max_rounds == 1 else several).append(
                        Job(scenario, server, number)
                    )
    # Of those measured once, ours first.
    return [*several, *sorted(once, key=lambda job: job.server.context)]


def _belongs(scenario: Scenario, server: Server, number: int) -> bool:
    if scenario.ours_only and server.name != "scalechat":
        return False
    return number <= min(scenario.max_rounds or number, 1 if server.context else number)


def measure_all(planned: Sequence[Job], bench: Bench, *, budget_s: float) -> list[Cell]:
    """Measure until all is done or the time is up; tells on stderr what it does."""
    began = time.monotonic()
    cells: list[Cell] = []
    for at, job in enumerate(planned, start=1):
        spent_s = time.monotonic() - began
        if spent_s > budget_s:
            _tell(f"time is up: {len(planned) - at + 1} of {len(planned)} runs were not made")
            break
        if _is_hopeless(job, cells):
            continue
        cell = measure(job.scenario, job.server, job.round, bench)
        cells.append(cell)
        _tell(f"[{at}/{len(planned)} {spent_s:4.0f} s] {job.scenario.name} · {job.server.name}: {_outcome(cell, job)}")
    return cells


def _is_hopeless(job: Job, cells: Sequence[Cell]) -> bool:
    return job.scenario.open_loop and any(
        cell.failed or (cell.reading and cell.reading.p99_ms > HOPELESS_MS)
        for cell in cells
        if (cell.scenario, cell.server) == (job.scenario.name, job.server.name)
    )


def _outcome(cell: Cell, job: Job) -> str:
    if cell.value is None or cell.reading is None:
        return f"failed, {(cell.failed or '').strip().rpartition(chr(10))[2]}"
    notes = [f"meter {cell.reading.meter_cpu_ratio or cell.reading.open_meter_cpu_ratio:.0%}"]
    notes += [f"{cell.reading.lost} clients lost"] if cell.reading.lost else []
    notes += [f"{cell.reading.undelivered:,} undelivered"] if cell.reading.undelivered else []
    return f"{cell.value:.4g} {job.scenario.unit} ({', '.join(notes)})"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
