"""A run that the release 0.1.0 wrote, in schema 1.0, is read, reported and compared by the program of today.

`recorded_1_0` is what that program left of six clients and eight seconds; of `server.csv` and `histograms.csv` some
rows are kept.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Final

import msgspec
import pytest

from scalechat.analysis.comparison import compare
from scalechat.analysis.conditions import differences
from scalechat.analysis.frames import load_run
from scalechat.analysis.report import write_report
from scalechat.config import OperationalError
from scalechat.load.results import SCHEMA_VERSION, TABLES, ConnectionRow, HealthRow, read_run

OLD: Final = Path(__file__).parent / "recorded_1_0"
KEPT: Final = [table for table in TABLES if table.always]


def test_it_is_really_of_the_older_schema() -> None:
    """It lacks what was added since, and today's program writes a newer minor version."""
    document = msgspec.json.decode((OLD / "run.json").read_bytes())
    assert document["schema_version"] == "1.0" != SCHEMA_VERSION
    assert "unknown_frames" not in document["ledger"]
    missing = {
        column.name
        for table in KEPT
        for column in table.columns
        if column.name not in (OLD / table.filename).read_text().partition("\n")[0].split(",")
    }
    assert "cpu_wait_s_total" in missing


def test_no_column_it_has_was_renamed_or_moved() -> None:
    """Within a major version columns are added at the end."""
    for table in KEPT:
        header = (OLD / table.filename).read_text().partition("\n")[0].split(",")
        assert header == [column.name for column in table.columns][: len(header)]


def test_every_row_is_read_and_what_it_does_not_say_is_not_known() -> None:
    """None, and not 0."""
    run = read_run(OLD)
    assert run.manifest is not None
    assert run.manifest.ledger.delivered == run.manifest.ledger.expected > 1_000
    for table in KEPT:
        with (OLD / table.filename).open(newline="") as stream:
            assert len(list(run.rows(table.row))) == sum(1 for _ in csv.reader(stream)) - 1
    assert {row.cpu_wait_s_total for row in run.rows(HealthRow)} == {None}
    assert [row.received for row in run.rows(ConnectionRow)] == [215] * 6


def test_it_has_a_report(tmp_path: Path) -> None:
    """With its verdict and its figures."""
    copy = tmp_path / "old"
    shutil.copytree(OLD, copy)
    page = write_report(copy).read_text()
    assert read_run(OLD).run_id in page
    assert "Traceback" not in page


def test_it_is_compared_with_itself_without_a_difference() -> None:
    """Conditions, figures and intervals are there."""
    conditions = differences([read_run(OLD)], [read_run(OLD)])
    assert (conditions.against, conditions.besides) == ((), ())
    run = load_run(OLD)
    effects = compare([run], [run]).effects
    assert len(effects) > 2
    assert {effect.answer for effect in effects} <= {"same", "cannot tell"}


def test_a_newer_major_version_is_one_line(tmp_path: Path) -> None:
    """It may mean anything."""
    text = (OLD / "run.json").read_text().replace('"schema_version": "1.0"', '"schema_version": "2.0"')
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OperationalError, match=r"schema 2\.0, this program reads 1"):
        read_run(tmp_path)
