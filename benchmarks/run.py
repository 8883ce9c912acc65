"""One cell: a fresh server, a fresh meter, one scenario."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.meter import Meter, MeterFailed, Options, Reading, metering
from benchmarks.process import CannotStart, Cores, free_port, running
from benchmarks.results import Cell
from benchmarks.scenarios import Scenario
from benchmarks.servers import Server

OPEN_S = 40.0
"""In which all clients must have been let in; the slowest server here takes 10 s for 20,000."""
SOURCE_PORTS = 20_000
"""Connections from one loopback address to one port; Linux has some 28,000 ephemeral ports."""
SCRAPE_S = 10.0


@dataclass(frozen=True, slots=True)
class Bench:
    """Where measurements are made."""

    meter: Path
    directory: Path
    cores: Cores


def measure(scenario: Scenario, server: Server, number: int, bench: Bench) -> Cell:
    """Run `scenario` against `server` once. A failure of either is in the cell, not raised."""
    port = free_port()
    cell = Cell(scenario=scenario.name, server=server.name, round=number)
    log = bench.directory / f"{server.name}.log"
    try:
        with running(
            server.command(port, bench.directory), core=bench.cores.server, port=port, log=log, environ=server.environ
        ) as pid:
            return _meter(cell, scenario, server, bench, port, pid)
    except (CannotStart, MeterFailed) as failure:
        return _failed(cell, str(failure))


def meter_options(scenario: Scenario, server: Server, port: int, pid: int) -> Options:
    """What the meter is told."""
    ours: Options = {
        "port": port,
        "pid": pid,
        "clients": scenario.clients,
        "sources": -(-scenario.clients // SOURCE_PORTS),
        "open-seconds": OPEN_S,
        "hold": 1,
    }
    return {**ours, **scenario.options, **server.meter}


def _meter(cell: Cell, scenario: Scenario, server: Server, bench: Bench, port: int, pid: int) -> Cell:
    options = meter_options(scenario, server, port, pid)
    within_s = OPEN_S + 20 + 3 * scenario.expected_s()
    with (
        _extra_member(scenario, server, bench, port) as extra,
        metering(bench.meter, options, core=bench.cores.meter, within_s=within_s) as meter,
    ):
        meter.wait_for("start")
        meter.pass_to("open")
        if extra is not None:
            os.kill(extra.pid, signal.SIGSTOP)
        before = _scrape(port) if server.ours else {}
        meter.pass_to("measured")
        after = _scrape(port) if server.ours else {}
        meter.go_on()
        reading = meter.reading()
    if reading.opened < reading.clients:
        return _failed(cell, f"only {reading.opened:,} of {reading.clients:,} clients came in", reading)
    return Cell(
        scenario=cell.scenario,
        server=cell.server,
        round=cell.round,
        value=scenario.value(reading),
        reading=reading,
        loop_lag=_growth(before, after, "scalechat_loop_lag_seconds_bucket") if scenario.loop_lag and after else None,
        evictions=sum(_growth(before, after, "scalechat_evictions_total").values()) if after else None,
    )


@contextlib.contextmanager
def _extra_member(scenario: Scenario, server: Server, bench: Bench, port: int) -> Iterator[Meter | None]:
    """One more client, a process of its own; given only when the scenario wants it stopped."""
    if scenario.extra_member is None:
        yield None
        return
    options: Options = {"port": port, "clients": 1, "publishers": 0, "hold": 1, **server.meter}
    with metering(bench.meter, options, core=bench.cores.meter, within_s=OPEN_S) as extra:
        extra.wait_for("start")
        extra.pass_to("open")
        yield extra if scenario.extra_member == "stopped" else None


def _failed(cell: Cell, why: str, reading: Reading | None = None) -> Cell:
    return Cell(scenario=cell.scenario, server=cell.server, round=cell.round, reading=reading, failed=why)


Samples = dict[str, dict[str, float]]
"""Metric name → its label (all that we read have one at most) → value."""


def _scrape(port: int) -> Samples:
    """Scale-Chat's own metrics; nothing when it does not answer, for a measurement stands without them."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SCRAPE_S) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[next(iter(sample.labels.values()), "")] = sample.value
    return samples


def _growth(before: Samples, after: Samples, name: str) -> dict[str, float]:
    old = before.get(name, {})
    return {label: value - old.get(label, 0.0) for label, value in after.get(name, {}).items()}
