"""THE RUN DIRECTORY: one schema for who writes it and who reads it.

`runs/<run_id>/` holds plain CSV tables and two JSON documents.  Imports only `scalechat.config`,
msgspec and the standard library, so that an analysis can read a run without Trio; it does no
networking and computes no statistics.

    with RunWriter.create(Path("runs")) as writer:
        writer.append(EventRow(t_s=0.0, ...))     # any row type of `rows`
        writer.flush()                            # once a second
        writer.finish(manifest, summary)          # run.json last, atomically

    run = read_run(Path("runs/20250131T094512Z-3fa9"))
    for row in run.rows(TimeseriesRow): ...
"""

from .manifest import (
    CLOSED_LOOP,
    FIGURES,
    SCHEMA_VERSION,
    ConfigValue,
    Figure,
    FileEntry,
    Ledger,
    Manifest,
    Objective,
    Phase,
    PhaseKind,
    Reason,
    Scalar,
    SearchAnswer,
    Summary,
    Target,
    Tool,
    Validity,
    Verdict,
    Worker,
)
from .reader import Run, read_run
from .rows import (
    METRICS,
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    EventRow,
    HealthRow,
    HistogramRow,
    Row,
    SearchRow,
    ServerRow,
    TimeseriesRow,
)
from .tables import TABLES, Column, Table, table_of
from .writer import RunWriter, new_run_id

__all__ = [
    "CLOSED_LOOP",
    "FIGURES",
    "METRICS",
    "SCHEMA_VERSION",
    "TABLES",
    "BroadcastRow",
    "Column",
    "ConfigValue",
    "ConnectionRow",
    "ErrorRow",
    "EventRow",
    "Figure",
    "FileEntry",
    "HealthRow",
    "HistogramRow",
    "Ledger",
    "Manifest",
    "Objective",
    "Phase",
    "PhaseKind",
    "Reason",
    "Row",
    "Run",
    "RunWriter",
    "Scalar",
    "SearchAnswer",
    "SearchRow",
    "ServerRow",
    "Summary",
    "Table",
    "Target",
    "TimeseriesRow",
    "Tool",
    "Validity",
    "Verdict",
    "Worker",
    "new_run_id",
    "read_run",
    "table_of",
]
