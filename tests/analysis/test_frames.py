"""Tables become frames without losing or inventing anything."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from scalechat.analysis.frames import RunFrames, load_run
from scalechat.config import OperationalError
from scalechat.load.results import TABLES, EventRow, RunWriter

from .conftest import Analyse
from .synthetic import Case


def test_frames_have_the_columns_of_the_schema(healthy: RunFrames) -> None:
    """Each table's frame starts with the schema's columns in the schema's order."""
    for table in TABLES:
        if table.always:
            frame: pd.DataFrame = getattr(healthy, table.name)
            assert frame.columns.to_list() == [column.name for column in table.columns]


def test_names_that_look_like_missing_values_stay_names(tmp_path: Path) -> None:
    """A client called NA, null or None is a client; only an empty cell is missing."""
    with RunWriter.create(tmp_path) as writer:
        for detail in ("NA", "null", "None", "nan", None):
            writer.append(EventRow(t_s=0.0, ts_unix_ns=0, worker_id="0", phase="ramp", kind="x", detail=detail))
    assert load_run(writer.run_dir).events["detail"].isna().tolist() == [False] * 4 + [True]


def test_an_unfinished_run_finds_its_phases_in_the_rows(analyse: Analyse) -> None:
    """Without a manifest the phases have the names, order and ends of the rows."""
    finished, killed = analyse(Case()), analyse(Case(finished=False))
    assert killed.phases == finished.phases
    assert [phase.name for phase in killed.measured] == ["steady"]


def test_a_run_without_any_row_is_a_run(tmp_path: Path) -> None:
    """Killed before the first second: empty frames, no phases, length 0."""
    with RunWriter.create(tmp_path) as writer:
        pass
    frames = load_run(writer.run_dir)
    assert frames.phases == ()
    assert frames.end_s == 0.0
    assert frames.server_series.empty
    assert frames.generator_series.empty


def test_columns_missing_in_an_older_run_are_unknown(healthy_run: Path) -> None:
    """A run from before a column was added has it as NaN."""
    path = healthy_run / "events.csv"
    lines = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    assert load_run(healthy_run).events["detail"].isna().all()


def test_a_broken_cell_is_said_in_one_line(healthy_run: Path) -> None:
    """A table somebody edited badly ends in one line with the file's name."""
    path = healthy_run / "timeseries.csv"
    path.write_text(path.read_text().replace("steady,200", "steady,many", 1))
    with pytest.raises(OperationalError, match=r"cannot read .*timeseries\.csv"):
        _ = load_run(healthy_run).timeseries
