"""A run's tables as pandas frames, typed by the schema of the run directory.

An unfinished run and a run without server metrics are runs too: every table is there, perhaps
without rows, and the phases are found in the rows when there is no manifest.
"""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path

import pandas as pd

from scalechat.config import OperationalError
from scalechat.load.results import (
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    EventRow,
    HealthRow,
    HistogramRow,
    Phase,
    PhaseKind,
    Row,
    Run,
    ServerRow,
    Table,
    TimeseriesRow,
    read_run,
    table_of,
)

from . import saturation

__all__ = ["RunFrames", "load_run", "parse"]

# How a phase is understood by its name when the run has no manifest to say so.
_KINDS: dict[str, PhaseKind] = {"ramp": "ramp", "warmup": "warmup", "drain": "drain"}


class RunFrames:
    """One run, its frames read when first asked for.

    Frames have the columns of their table in its order, and more when a newer program wrote the
    run; missing cells are NaN (numbers) or missing strings.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def timeseries(self) -> pd.DataFrame:
        """One row per second and worker: cumulative counters and gauges."""
        return self._frame(TimeseriesRow)

    @cached_property
    def histograms(self) -> pd.DataFrame:
        """One row per second, worker, metric and bucket."""
        return self._frame(HistogramRow)

    @cached_property
    def broadcasts(self) -> pd.DataFrame:
        """One row per published message and receiving worker."""
        return self._frame(BroadcastRow)

    @cached_property
    def connections(self) -> pd.DataFrame:
        """One row per connection."""
        return self._frame(ConnectionRow)

    @cached_property
    def health(self) -> pd.DataFrame:
        """One row per second and worker: the generator itself."""
        return self._frame(HealthRow)

    @cached_property
    def server(self) -> pd.DataFrame:
        """One row per scrape and sample of the server's metrics."""
        return self._frame(ServerRow)

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row per event."""
        return self._frame(EventRow)

    @cached_property
    def errors(self) -> pd.DataFrame:
        """One row per kind of error and worker."""
        return self._frame(ErrorRow)

    @cached_property
    def server_series(self) -> pd.DataFrame:
        """The server's resources per scrape, see `saturation.server`."""
        return saturation.server(self.server)

    @cached_property
    def generator_series(self) -> pd.DataFrame:
        """The load processes' resources per second, see `saturation.generator`."""
        return saturation.generator(self.health)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order of time, from the manifest or else from the rows."""
        if self.run.manifest is not None:
            return tuple(self.run.manifest.phases)
        ends = self.timeseries.groupby("phase")["t_s"].max().sort_values()
        starts = [0.0, *ends.to_list()][: len(ends)]
        return tuple(
            Phase(
                name=str(name),
                kind=_KINDS.get(str(name), "steady"),
                start_s=start,
                end_s=float(end),
                measured=str(name) not in _KINDS,
            )
            for start, (name, end) in zip(starts, ends.items(), strict=True)
        )

    @cached_property
    def measured(self) -> tuple[Phase, ...]:
        """The phases whose latencies count."""
        return tuple(phase for phase in self.phases if phase.measured)

    @cached_property
    def end_s(self) -> float:
        """When the last row of the time series was written, or the last phase ended."""
        last_row = float(self.timeseries["t_s"].max()) if len(self.timeseries) else 0.0
        return max([last_row, *(phase.end_s for phase in self.phases)])

    def in_measured(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the frame that belong to a measured phase."""
        return frame[frame["phase"].isin([phase.name for phase in self.measured])]

    def option(self, name: str) -> str | None:
        """A configuration value as text, None where the run does not say."""
        manifest = self.run.manifest
        if manifest is None or name not in manifest.config:
            return None
        value = manifest.config[name].value
        return None if value is None else str(value)

    def figure(self, name: str) -> float:
        """A figure of the summary; NaN where the run does not give it."""
        summary = self.run.summary
        figure = summary.figures.get(name) if summary is not None else None
        return float("nan") if figure is None or figure.value is None else figure.value

    def _frame(self, row: type[Row]) -> pd.DataFrame:
        table = table_of(row)
        return parse(self.run.data(table), table, self.run.path)


def parse(content: bytes, table: Table[Row], path: Path) -> pd.DataFrame:
    """A table's CSV as a frame with the types of its schema; nothing at all becomes a frame without rows.

    Raises OperationalError, which names the table in the directory `path`, where a cell is not what it should be.
    """
    names = [column.name for column in table.columns]
    # Optional whole numbers become floats, for NaN: nanoseconds stay exact up to 104 days.
    types = {
        column.name: ("float64" if column.type == "int" and column.optional else _DTYPES[column.type])
        for column in table.columns
    }
    try:
        frame = pd.read_csv(
            io.BytesIO(content or (",".join(names) + "\n").encode()),
            dtype=types,
            # Somebody may be called "NA" or "null": only an empty cell is missing.
            keep_default_na=False,
            na_values=[""],
            encoding_errors="replace",
        )
    except ValueError as error:
        raise OperationalError(f"cannot read {path / table.filename}: {error}") from error
    for name in names:
        if name not in frame:
            frame[name] = float("nan")
    return frame


_DTYPES = {"int": "int64", "float": "float64", "str": "str"}


def load_run(path: Path | str) -> RunFrames:
    """Open the run in a directory; raises OperationalError where there is none."""
    return RunFrames(read_run(Path(path)))
