"""A range of time of servers that a Prometheus watches, as the frames that diagnosis and pictures take.

    frames = load_prometheus("http://127.0.0.1:9090", minutes=15)

Samples are asked for as they were scraped and not as rates: the frames make rates and quantiles themselves, as they do
of a run, so that a figure means the same in both. Each sample has the moment of its scrape, not that of the question.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from scalechat.config import OperationalError
from scalechat.load.results import Phase, Row, Run, ServerRow, table_of

from . import saturation
from .frames import RunFrames, parse
from .prometheus_api import query_range

__all__ = ["PrometheusFrames", "load_prometheus"]

SERVERS: Final = (
    '{{__name__=~"(scalechat|process)_.+",__name__!~".*_per_connection.*",instance=~"{instance}"}} '
    "and on (job, instance) scalechat_build_info"
)
"""`process_` is everybody's prefix, the build is ours alone. How queues are spread over connections no rule reads."""
LOAD_CLIENTS: Final = '{{__name__=~"scalechat_load_.+",instance=~"{instance}"}}'
_SCRAPED: Final = {SERVERS: "scalechat_build_info", LOAD_CLIENTS: "scalechat_load_connections"}
"""A metric whose every scrape has a sample: its timestamps are those of all."""
_POINTS: Final = 300
"""A picture is not wider; Prometheus itself answers with 11,000 at most."""
_IDENTITY: Final = ("__name__", "job", "instance")


class PrometheusFrames(RunFrames):
    """What a Prometheus knows of some minutes, as a run without a load client's tables; all of it is measured time."""

    def __init__(
        self, url: str, start_unix_s: float, end_unix_s: float, server: pd.DataFrame, load: pd.DataFrame
    ) -> None:
        super().__init__(Run(path=Path("prometheus"), manifest=None, summary=None))
        self.url = url
        self.start_unix_s = start_unix_s
        self.length_s = end_unix_s - start_unix_s
        self._server = server
        self.load = load
        """The samples of load clients (`--metrics-port`), with the columns of `server`."""

    @property
    def start(self) -> datetime:
        """When t_s is 0."""
        return datetime.fromtimestamp(self.start_unix_s, UTC)

    @cached_property
    def server(self) -> pd.DataFrame:
        return self._server

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name="shown", kind="steady", start_s=0.0, end_s=self.length_s, measured=True),)

    def figure(self, name: str) -> float:
        """Two that a summary would give, by the servers' own counting; NaN for the others."""
        if name == "clients":
            return float(self.clients.groupby("node")["value"].max().sum(min_count=1))
        if name == "delivered_per_s":
            return float(self.server_series.groupby("node")["deliveries_per_s"].mean().sum(min_count=1))
        return math.nan

    @cached_property
    def clients(self) -> pd.DataFrame:
        """`node, t_s, value`: open WebSockets; the one that scrapes is none."""
        rows = self.server[self.server["metric"] == "scalechat_connections"]
        rows = rows[~rows["labels"].str.contains('"http"', regex=False)]
        return rows.groupby(["node", "t_s"])["value"].sum().reset_index()

    def quantiles(self, histogram: str, rank: float, *, of_load: bool = False) -> pd.DataFrame:
        """`node, t_s, value`: a quantile between consecutive scrapes, in the histogram's unit."""
        return saturation.histogram_quantile(self.load if of_load else self.server, f"{histogram}_bucket", rank)

    def _frame(self, row: type[Row]) -> pd.DataFrame:
        return parse(b"", table_of(row), Path("prometheus"))


def load_prometheus(url: str, *, minutes: float = 15.0, until: str = "", instance: str = ".+") -> PrometheusFrames:
    """Ask a Prometheus for some minutes of Scale-Chat's servers, and of load clients if it has them.

    Args:
        url: where its web page is, such as ``http://127.0.0.1:9090``.
        minutes: how far back.
        until: the end, as ISO 8601 (UTC where it does not say); empty means now.
        instance: a regular expression for the `instance` label, where not all servers are meant.

    Raises:
        OperationalError: it cannot be reached, it refuses the question, or it knows no server in this time; one line.
    """
    end = _moment(until) if until else time.time()
    start = end - 60 * minutes
    found = {query: _samples(url, query, instance, start, end) for query in _SCRAPED}
    if found[SERVERS].empty:
        raise OperationalError(
            f"the Prometheus at {url} has no sample of a Scale-Chat server between {_clock(start)} and {_clock(end)}: "
            "does it scrape the server's /metrics, and were these the minutes?"
        )
    return PrometheusFrames(url, start, end, found[SERVERS], found[LOAD_CLIENTS])


# ---- parts ----------------------------------------------------------------------------------


def _samples(url: str, query: str, instance: str, start: float, end: float) -> pd.DataFrame:
    """Rows of the server's table, each at the moment of its scrape, none twice."""
    narrowed = instance.replace("\\", "\\\\").replace('"', '\\"')
    step_s = max(1.0, math.ceil((end - start) / _POINTS))
    scraped = f'timestamp({_SCRAPED[query]}{{instance=~"{narrowed}"}})'
    moments = {
        (one.metric.get("job"), one.metric.get("instance"), asked_s): float(scraped_s)
        for one in query_range(url, scraped, start, end, step_s)
        for asked_s, scraped_s in one.values
    }
    parts: dict[str, list[object]] = {name: [] for name in ("t_s", "metric", "labels", "node", "value")}
    for one in query_range(url, query.format(instance=narrowed), start, end, step_s):
        identity = one.metric.get("job"), one.metric.get("instance")
        seen = {moments.get((*identity, asked_s), asked_s): float(value) for asked_s, value in one.values}
        parts["t_s"] += [moment - start for moment in seen]
        parts["value"] += seen.values()
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.metric.items()) if name not in _IDENTITY)
        for name, text in (
            ("metric", one.metric["__name__"]),
            ("labels", labels),
            ("node", one.metric.get("instance", "")),
        ):
            parts[name] += [text] * len(seen)
    empty = parse(b"", table_of(ServerRow), Path("prometheus"))
    if not parts["t_s"]:
        return empty
    rows = pd.DataFrame(parts).assign(worker_id="0", phase="shown", ts_unix_ns=0)
    return rows[rows["t_s"].astype(np.float64) >= 0].reindex(columns=empty.columns).astype(empty.dtypes.to_dict())


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise OperationalError(f"{text} is no moment: it looks like 2026-01-31T14:05") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _clock(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
