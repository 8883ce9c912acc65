"""Every metric with its type, labels and meaning, as a scrape tells them."""

from __future__ import annotations

import time
from collections.abc import Iterable

import trio
from prometheus_client.metrics_core import Metric

from docs.reference.generate.markdown import code, codes, table
from scalechat.config import LoadConfig, ServeConfig
from scalechat.load.errors import ErrorLog
from scalechat.load.exposition import LoadCollector
from scalechat.load.health import Health
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder
from scalechat.load.tally import tally_of
from scalechat.server.node import Node
from scalechat.server.supervisor.answers import own_metrics
from scalechat.server.supervisor.totals import Snapshot

_SUFFIXES = {"counter": "_total", "info": "_info"}
_NO_VALUES = ("version", "python", "trio", "worker", "le")
"""Labels whose values are the machine's."""


def server() -> str:
    """Of one server process."""
    return _table(trio.run(_scraped))


def workers() -> str:
    """What `--workers` adds."""
    return _table(own_metrics({0: 0}, {0: Snapshot([], [])}, 0))


def load() -> str:
    """Of the load client, `--metrics-port`."""
    recorder = Recorder(Plan.of(LoadConfig(), 0), acknowledged=True)
    tally = tally_of(recorder, ErrorLog(), Health(time.monotonic_ns))
    return _table(LoadCollector(lambda: tally, lambda: {0: True}).collect())


async def _scraped() -> list[Metric]:
    return list(await Node(ServeConfig(), 4096).here.families())


def _table(metrics: Iterable[Metric]) -> str:
    return table(("metric", "type", "labels", "meaning"), map(_row, metrics))


def _row(metric: Metric) -> tuple[str, ...]:
    labels: dict[str, list[str]] = {}
    for sample in metric.samples:
        for name, value in sample.labels.items():
            labels.setdefault(name, []).append(value)
    told = [
        code(name) if name in _NO_VALUES else f"{code(name)}: {codes(dict.fromkeys(values))}"
        for name, values in labels.items()
        if name != "le"
    ]
    kind = {"gaugehistogram": "gauge histogram"}.get(metric.type, metric.type)
    return code(metric.name + _SUFFIXES.get(metric.type, "")), kind, "; ".join(told), metric.documentation
