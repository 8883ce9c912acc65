"""What one run measured, as numbers by name: what checks compare and tables show.

- every headline figure of the summary (`delivery_p99` in ms, `server_cpu` in cores, …) and the ledger's counts;
- of each latency that has a histogram its `_p50` and `_p99` in the measured phases, in ms (`delivery_slow_p99`);
- `connect_failures`, `disconnects`, `reconnects`, `evicted`, `errors`;
- of each metric of the server, over all its labels: `server.NAME` the last value, `server.NAME.max` the largest,
  `server.NAME.growth` from first to last scrape, without the prefix ``scalechat_`` (`server.queue_bytes.max`);
- `exit_code`: the load client's own verdict on the run (97: it was the load client itself that was late);
- of the generator's health: `generator.loop_lag_p99_ms.max`, `generator.rss_bytes.max`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from scalechat.analysis import latency
from scalechat.analysis.frames import RunFrames, load_run

_COUNTED: Final = {
    "connect_failures": "connect_failures_",
    "disconnects": "disconnects_total",
    "reconnects": "reconnects_total",
    "evicted": "evicted_total",
    "errors": "errors_total",
}


def figures_of(run_dir: Path) -> dict[str, float]:
    """Every figure of the run; what it does not have is not there."""
    frames = load_run(run_dir)
    found = (
        _latencies(frames)
        | _summary(frames)
        | _manifest(frames)
        | _counted(frames)
        | _server(frames)
        | _generator(frames)
    )
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _latencies(frames: RunFrames) -> dict[str, float]:
    names = [phase.name for phase in frames.measured]
    found = {}
    for metric in frames.histograms["metric"].unique():
        buckets = latency.merge(frames.histograms, str(metric), names)
        for rank, suffix in ((0.5, "p50"), (0.99, "p99")):
            if latency.enough(latency.total(buckets), rank):
                found[f"{metric}_{suffix}"] = latency.quantile(buckets, rank) / 1e6
    return found


def _summary(frames: RunFrames) -> dict[str, float]:
    summary = frames.run.summary
    if summary is None:
        return {}
    return {name: figure.value for name, figure in summary.figures.items() if figure.value is not None}


def _manifest(frames: RunFrames) -> dict[str, float]:
    manifest = frames.run.manifest
    if manifest is None:
        return {}
    ledger = manifest.ledger
    counted = {
        name: float(value)
        for name in ledger.__struct_fields__
        if isinstance(value := getattr(ledger, name), int | float)
    }
    return counted | {"exit_code": float(manifest.exit_code)}


def _counted(frames: RunFrames) -> dict[str, float]:
    rows = frames.timeseries
    found = {}
    for name, prefix in _COUNTED.items():
        columns = [column for column in rows.columns if column.startswith(prefix)]
        if columns and len(rows):
            found[name] = float(rows.groupby("worker_id")[columns].max().sum().sum())
    return found


def _server(frames: RunFrames) -> dict[str, float]:
    rows = frames.server
    found: dict[str, float] = {}
    summed = rows.groupby(["metric", "t_s"], sort=True)["value"].sum()
    for metric in summed.index.get_level_values("metric").unique():
        name = f"server.{str(metric).removeprefix('scalechat_')}"
        values = summed[metric].to_numpy(float)
        found[name] = float(values[-1])
        found[f"{name}.max"] = float(values.max())
        found[f"{name}.growth"] = float(values[-1] - values[0])
    return found


def _generator(frames: RunFrames) -> dict[str, float]:
    rows = frames.health
    if rows.empty:
        return {}
    numbers = rows.select_dtypes("number").max()
    return {f"generator.{name}.max": float(value) for name, value in numbers.items()}
