"""Runs, searches and experiments recorded from real servers and made small: ``recorded/README.md`` says how.

    python -m tests.analysis.recorded RUN NAME

keeps as ``recorded/NAME`` what the diagnosis reads of a run, as ``comparison/NAME`` what the whole report reads. A
search keeps the runs of the load that failed, an experiment both of its own.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd

from scalechat.analysis.frames import RunFrames, load_run
from scalechat.analysis.search import load_search
from scalechat.experiment.outcome import FILENAME, read_outcome, write_outcome
from scalechat.load.results import TABLES, read_run

HERE: Final = Path(__file__).parent / "recorded"

_SAMPLES: Final = (
    "process_",
    "scalechat_connections",
    "scalechat_deliveries_total",
    "scalechat_publications_total",
    "scalechat_bytes_out_total",
    "scalechat_queue_frames",
    "scalechat_queue_bytes",
    "scalechat_queue_age_seconds",
    "scalechat_bus_up",
    "scalechat_bus_waiting",
    "scalechat_bus_lag_seconds",
    "scalechat_cpu_wait_seconds_total",
    "scalechat_cpu_quota_cores",
    "scalechat_cpu_throttled_seconds_total",
    "scalechat_accept_drops_total",
    "scalechat_drops_total",
    "scalechat_evictions_total",
    "scalechat_gc_pause_seconds_sum",
    "scalechat_worker_cpu_seconds_total",
)
_LABELLED: Final = {
    "scalechat_limit": ('name="max_connections"',),
    "scalechat_refusals_total": ('reason="max_connections"', 'reason="no_descriptor"'),
    "scalechat_gc_pause_seconds_bucket": ('generation="2",le="0.05"', 'generation="2",le="+Inf"'),
    "scalechat_loop_lag_seconds_bucket": tuple(f'le="{edge}"' for edge in (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, "+Inf")),
    "scalechat_bus_publish_seconds_bucket": tuple(f'le="{edge}"' for edge in (0.005, 0.1, 0.5, 1.0, 2.5, "+Inf")),
}
_OPTIONS: Final = ("clients", "rooms", "publishers", "msg_frequency_ms", "msg_size", "duration_s", "slo")
_MOST_CONNECTIONS: Final = 100
_MOST_BROADCASTS: Final = 300
_BUCKETS: Final = 4
"""Put together: 6 % is exact enough here."""


def recorded(name: str) -> RunFrames:
    """A run that lies in this directory."""
    return load_run(HERE / name)


def names() -> list[str]:
    """All of them."""
    return sorted(path.parent.name for path in HERE.glob("*/run.json"))


def keep(source: Path, name: str) -> Path:
    """Write the small copy of a run, a search or an experiment; its directory."""
    target = HERE / name
    if (source / FILENAME).is_file():
        outcome = read_outcome(source)
        for side, path in outcome.runs.items():
            keep_run(source / path, target / side)
        write_outcome(target, msgspec.structs.replace(outcome, runs={side: side for side in outcome.runs}))
    elif read_run(source).is_search:
        search = load_search(source)
        for run in search.beyond:
            keep_run(run.run.path, target / "probes" / run.run.run_id)
        keep_documents(search, target)
        shutil.copy(source / "search.csv", target)
    else:
        keep_run(source, target, whole=name.startswith("comparison/"))
    return target


def keep_run(run_dir: Path, target: Path, *, whole: bool = False) -> None:
    """No machine's name, no paths, only what rules look at, or a whole report."""
    frames = load_run(run_dir)
    target.mkdir(parents=True, exist_ok=True)
    for table, rows in (
        ("timeseries", frames.timeseries),
        ("health", frames.health),
        ("server", _samples(frames.server)),
        ("histograms", _by_second(frames) if whole else _merged(frames)),
        ("connections", _some(frames.connections, 1_000 if whole else _MOST_CONNECTIONS)),
        *([("broadcasts", frames.broadcasts[:: -(-len(frames.broadcasts) // _MOST_BROADCASTS)])] if whole else []),
    ):
        columns = [column.name for column in next(known for known in TABLES if known.name == table).columns]
        moments = {"ts_unix_ns": 0} if "ts_unix_ns" in columns else {}
        rows.assign(**moments)[columns].round({"t_s": 2}).to_csv(target / f"{table}.csv", index=False)
    keep_documents(frames, target)


def keep_documents(frames: RunFrames, target: Path) -> None:
    """run.json and summary.json."""
    manifest = frames.run.manifest
    assert manifest is not None
    small = msgspec.structs.replace(
        manifest,
        config={key: manifest.config[key] for key in _OPTIONS if key in manifest.config},
        target=msgspec.structs.replace(manifest.target, url="ws://127.0.0.1:8080/ws"),
        workers=[msgspec.structs.replace(worker, host="box", kernel="Linux") for worker in manifest.workers],
        files={},
    )
    for filename, document in (("run.json", small), ("summary.json", frames.run.summary)):
        (target / filename).write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))


def _samples(rows: pd.DataFrame) -> pd.DataFrame:
    labels = rows["labels"].fillna("").astype("str")
    chosen = rows["metric"].astype("str").str.startswith(_SAMPLES) & ~rows["metric"].astype("str").str.contains(
        "per_connection"
    )
    for metric, wanted in _LABELLED.items():
        chosen |= (rows["metric"] == metric) & labels.isin(wanted)
    return rows[chosen]


def _merged(frames: RunFrames) -> pd.DataFrame:
    """One row a bucket for the whole of the measured phases; of connects, for each phase."""
    rows = frames.in_measured(frames.histograms)
    rows = rows[rows["metric"].isin(["delivery", "delivery_slow"])]
    rows = pd.concat([rows, frames.histograms[frames.histograms["metric"] == "connect"]])
    seconds = sum(phase.end_s - phase.start_s for phase in frames.measured)
    return _wider(rows, ["phase"]).assign(t_s=frames.measured[-1].end_s, dt_s=round(seconds, 2))


def _by_second(frames: RunFrames) -> pd.DataFrame:
    """As it was, second by second."""
    return _wider(frames.histograms, ["phase", "t_s"]).assign(dt_s=1.0)


def _wider(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Buckets put together, of all workers."""
    keys = [*by, "metric", "bucket_low_ns", "bucket_high_ns"]
    sums = rows.groupby(keys)["count"].sum().reset_index()
    groups = [*(sums[name] for name in [*by, "metric"]), sums.groupby([*by, "metric"]).cumcount() // _BUCKETS]
    kept = {name: (name, "first") for name in [*by, "metric"]}
    return (
        sums.groupby(groups)
        .agg(
            **kept,
            bucket_low_ns=("bucket_low_ns", "min"),
            bucket_high_ns=("bucket_high_ns", "max"),
            count=("count", "sum"),
        )
        .reset_index(drop=True)
        .assign(worker_id="0")
    )


def _some(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    return rows.iloc[:: max(1, -(-len(rows) // most))].assign(close_reason=None, client_id="somebody")


if __name__ == "__main__":
    sys.stdout.write(f"{keep(Path(sys.argv[1]), sys.argv[2])}\n")
