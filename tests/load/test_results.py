"""The run directory: what the writer writes is what the reader reads, and what the schemas say."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import OperationalError
from scalechat.load.results import (
    SCHEMA_VERSION,
    TABLES,
    BroadcastRow,
    ConfigValue,
    ConnectionRow,
    ErrorRow,
    EventRow,
    Figure,
    HistogramRow,
    Ledger,
    Manifest,
    Objective,
    Phase,
    Row,
    RunWriter,
    SearchRow,
    Summary,
    Target,
    Tool,
    Validity,
    Worker,
    new_run_id,
    read_run,
)
from scalechat.load.results.schema import SCHEMA_DIR, schemas

EVENT = EventRow(t_s=1.5, ts_unix_ns=1_700_000_000_000_000_000, worker_id="0", phase="ramp", kind="phase")
OBJECTIVE = Objective(expression="missing == 0", observed=0.0, bound=0.0, unit="deliveries", ok=True)


def manifest(run_id: str) -> Manifest:
    return Manifest(
        run_id=run_id,
        started_unix_ns=1,
        ended_unix_ns=2,
        tool=Tool(name="scalechat", version="0.1.0", git_commit=None),
        seed=7,
        config={"clients": ConfigValue(value=200, source="flag")},
        phases=[Phase(name="ramp", kind="ramp", start_s=0.0, end_s=1.0, measured=False)],
        target=Target(url="ws://127.0.0.1:8080/ws", dialect="v1"),
        workers=[
            Worker(
                worker_id="0",
                host="box",
                pid=1,
                cpu_model=None,
                cpu_count=2,
                cpu_quota_cores=None,
                kernel="6.1",
                python="3.11.2",
                trio="0.31",
            )
        ],
        ledger=Ledger(
            published=1,
            acked=None,
            rejected=None,
            unacked=None,
            expected=2,
            delivered=2,
            missing=0,
            duplicated=0,
            reordered=0,
            corrupted=0,
            phantom=0,
        ),
        validity=Validity(valid=True),
        verdict="pass",
        objectives=[OBJECTIVE],
        exit_code=0,
    )


def summary(run_id: str) -> Summary:
    return Summary(
        run_id=run_id,
        figures={"delivery_p99": Figure(value=None, unit="ms")},
        objectives=[OBJECTIVE],
        validity=Validity(valid=True),
        verdict="pass",
        exit_code=0,
    )


def finished_run(out: Path, *rows: Row) -> Path:
    with RunWriter.create(out) as writer:
        writer.append(*rows)
        writer.finish(manifest(writer.run_id), summary(writer.run_id))
        return writer.run_dir


def test_run_ids_sort_by_time() -> None:
    """A later run has the greater name, whatever its random part."""
    earlier = new_run_id(datetime(2025, 1, 31, 9, 45, 12, tzinfo=UTC))
    later = new_run_id(datetime(2025, 1, 31, 9, 45, 13, tzinfo=UTC))
    assert earlier.startswith("20250131T094512Z-")
    assert earlier < later


def test_every_table_has_time_worker_and_phase() -> None:
    """`t_s`, `worker_id` and `phase` are columns of every table and never empty."""
    for table in TABLES:
        columns = {column.name: column for column in table.columns}
        for name in ("t_s", "worker_id", "phase"):
            assert not columns[name].optional, table.name


def test_every_column_says_its_unit_in_its_name() -> None:
    """A column measured in time or bytes ends in that unit (before `_total`)."""
    for table in TABLES:
        for column in table.columns:
            assert column.doc, column
            if column.unit in {"s", "ns", "bytes"}:
                stem = column.name.removesuffix("_total")
                assert stem.endswith(f"_{column.unit}"), (table.name, column.name)


def test_optional_columns_come_last() -> None:
    """Columns that may be added later are at the end, so old readers by position keep working."""
    for table in TABLES:
        flags = [column.optional for column in table.columns]
        assert flags == sorted(flags), table.name


# Text as the writer keeps it: one line, not empty (an empty cell means "not known").
_LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
_FLOATS = st.floats(allow_nan=False)
_CELLS: dict[str, st.SearchStrategy[Any]] = {"int": st.integers(), "float": _FLOATS, "str": _LINES}


@st.composite
def rows(draw: st.DrawFn) -> Row:
    table = draw(st.sampled_from(TABLES))
    cells: dict[str, object] = {}
    for column in table.columns:
        cell = _CELLS[column.type]
        cells[column.name] = draw(st.none() | cell if column.optional else cell)
    row: Row = table.row(**cells)
    return row


@given(st.lists(rows(), max_size=8))
def test_rows_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, written: list[Row]) -> None:
    """For any rows of any tables: reading gives equal rows in the order of writing."""
    run = read_run(finished_run(tmp_path_factory.mktemp("runs"), *written))
    for table in TABLES:
        assert list(run.rows(table.row)) == [row for row in written if type(row) is table.row]


def test_a_row_is_one_line_whatever_a_server_says(tmp_path: Path) -> None:
    """Line breaks and control characters in foreign text become a space."""
    row = ErrorRow(
        t_s=0.0,
        ts_unix_ns=0,
        worker_id="0",
        phase="ramp",
        kind="closed",
        count=1,
        last_s=0.0,
        example='two\r\nlines, a "quote"\x00\u2028and \ud800',
    )
    run_dir = finished_run(tmp_path, row)
    assert (run_dir / "errors.csv").read_bytes().count(b"\n") == 2
    (back,) = read_run(run_dir).rows(ErrorRow)
    assert back.example == 'two lines, a "quote" and ?'


def test_documents_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Manifest and summary are read back equal; only `files` was filled in."""
    run = read_run(finished_run(tmp_path))
    assert run.finished
    assert run.manifest is not None
    assert msgspec.structs.replace(run.manifest, files={}) == manifest(run.run_id)
    assert run.summary == summary(run.run_id)
    assert run.manifest.schema_version == SCHEMA_VERSION


def test_the_manifest_vouches_for_every_file(tmp_path: Path) -> None:
    """`files` names each other file with its rows, size and sha256, and nothing else is there."""
    with RunWriter.create(tmp_path) as writer:
        writer.append(EVENT, EVENT)
        writer.extra_file("latency.hlog").write_text("# log\n")
        writer.flush()
        writer.append(EVENT)
        whole = writer.finish(manifest(writer.run_id), summary(writer.run_id))
    assert set(os.listdir(writer.run_dir)) == {"run.json", *whole.files}
    assert {"summary.json", "latency.hlog", "timeseries.csv"} <= set(whole.files)
    assert whole.files["events.csv"].rows == 3
    assert whole.files["latency.hlog"].rows is None
    for name, entry in whole.files.items():
        content = (writer.run_dir / name).read_bytes()
        assert entry.sha256 == hashlib.sha256(content).hexdigest()
        assert entry.size_bytes == len(content)


def test_an_unfinished_run_is_readable(tmp_path: Path) -> None:
    """Without `finish()` there is no manifest, and every flushed row is there."""
    writer = RunWriter.create(tmp_path)
    writer.append(EVENT)
    writer.flush()
    writer.append(msgspec.structs.replace(EVENT, t_s=2.0))
    run = read_run(writer.run_dir)
    assert not run.finished
    assert run.summary is None
    assert run.run_id == writer.run_id
    assert list(run.rows(EventRow)) == [EVENT]
    writer.close()
    assert len(list(run.rows(EventRow))) == 2


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """A writer killed in the middle of a line costs that line only."""
    run_dir = finished_run(tmp_path, EVENT, EVENT)
    path = run_dir / "events.csv"
    path.write_bytes(path.read_bytes()[:-4])
    assert list(read_run(run_dir).rows(EventRow)) == [EVENT]


def test_a_table_without_rows_has_its_header_and_search_is_only_there_when_used(
    tmp_path: Path,
) -> None:
    """Readers find each table in each run; `search.csv` belongs to capacity searches."""
    run_dir = finished_run(tmp_path)
    for table in TABLES:
        assert (run_dir / table.filename).exists() == table.always
        assert list(read_run(run_dir).rows(table.row)) == []
    assert not (run_dir / "search.csv").exists()
    probe = SearchRow(
        t_s=0.0,
        ts_unix_ns=0,
        worker_id="0",
        phase="steady",
        probe=1,
        quantity="clients",
        value=100.0,
        verdict="pass",
    )
    assert list(read_run(finished_run(tmp_path, probe)).rows(SearchRow)) == [probe]


def test_columns_of_a_newer_writer_are_skipped(tmp_path: Path) -> None:
    """An added column disturbs no reader; an unknown key in the manifest neither."""
    run_dir = finished_run(tmp_path, EVENT)
    header, line = (run_dir / "events.csv").read_text().splitlines()
    (run_dir / "events.csv").write_text(f"{header},mood\n{line},calm\n")
    text = (run_dir / "run.json").read_text()
    (run_dir / "run.json").write_text(text.replace("{", '{"mood": "calm",', 1))
    run = read_run(run_dir)
    assert list(run.rows(EventRow)) == [EVENT]
    assert run.finished


def test_another_major_schema_is_refused(tmp_path: Path) -> None:
    """A run of schema 2 is not half understood but refused in one line."""
    run_dir = finished_run(tmp_path)
    text = (run_dir / "run.json").read_text()
    stated = f'"schema_version": "{SCHEMA_VERSION}"'
    assert stated in text
    (run_dir / "run.json").write_text(text.replace(stated, '"schema_version": "2.0"'))
    with pytest.raises(OperationalError, match=re.escape(f"schema 2.0, this program reads {SCHEMA_VERSION}")):
        read_run(run_dir)


def test_what_is_not_a_run_is_said_in_one_line(tmp_path: Path) -> None:
    """A wrong path, a broken manifest and a broken cell each give one clear line."""
    with pytest.raises(OperationalError, match=r"neither run\.json nor timeseries\.csv"):
        read_run(tmp_path / "nowhere")
    run_dir = finished_run(tmp_path, EVENT)
    (run_dir / "events.csv").write_text((run_dir / "events.csv").read_text().replace("1.5", "soon"))
    with pytest.raises(OperationalError, match=r"row 1 of .*events\.csv"):
        list(read_run(run_dir).rows(EventRow))
    (run_dir / "run.json").write_text("{")
    with pytest.raises(OperationalError, match=r"cannot read .*run\.json"):
        read_run(run_dir)


def test_a_run_opens_by_its_manifest_too(tmp_path: Path) -> None:
    """`report runs/x/run.json` means the run in `runs/x`."""
    run_dir = finished_run(tmp_path)
    assert read_run(run_dir / "run.json").path == run_dir


def test_an_unusable_out_directory_is_said_in_one_line(tmp_path: Path) -> None:
    """`--out` that names a file ends in one line with the directory and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OperationalError, match=r"cannot write the run to .*: .*--out"):
        RunWriter.create(tmp_path / "file")


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    """When no more can be written the flush ends in an operational error; what was there stays."""
    writer = RunWriter.create(tmp_path)
    writer.append(EVENT)
    writer.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer.append(*[EVENT] * 100)
    # A file size limit refuses the write like a full disk does, without needing one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OperationalError, match="cannot write the run to") as caught:
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    writer.close()
    assert next(read_run(writer.run_dir).rows(EventRow)) == EVENT


def test_names_in_the_format_note_are_columns() -> None:
    """The columns that the documentation of the format promises by name exist, in its order."""
    by_name = {table.name: [column.name for column in table.columns] for table in TABLES}
    histograms = "t_s dt_s worker_id phase metric bucket_low_ns bucket_high_ns count"
    assert by_name["histograms"] == histograms.split()
    assert " ".join(Ledger.__struct_fields__) == (
        "published acked rejected unacked expected delivered missing duplicated reordered corrupted phantom "
        "early unknown_frames refused_delivered"
    )
    assert HistogramRow.__struct_fields__ == tuple(by_name["histograms"])
    assert {"send_lag_ns", "ack_ns", "expected", "delivered"} <= set(by_name["broadcasts"])
    assert {"close_code", "close_reason", "closed_by"} <= set(by_name["connections"])
    assert BroadcastRow.__struct_fields__[0] == ConnectionRow.__struct_fields__[0] == "t_s"


def test_the_shipped_schemas_are_those_of_the_structs() -> None:
    """`scalechat/load/schemas/` holds exactly what the structs give, byte for byte."""
    shipped = {path.name: path.read_bytes() for path in SCHEMA_DIR.glob("*.json")}
    assert shipped == schemas()


def test_what_is_written_satisfies_the_shipped_schemas(tmp_path: Path) -> None:
    """An independent validator accepts the documents and the typed rows of a run."""
    jsonschema = pytest.importorskip("jsonschema")
    run_dir = finished_run(tmp_path, EVENT)

    def check(document: object, name: str) -> None:
        schema = msgspec.json.decode((SCHEMA_DIR / f"{name}.schema.json").read_bytes())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(document)

    check(msgspec.json.decode((run_dir / "run.json").read_bytes()), "run")
    check(msgspec.json.decode((run_dir / "summary.json").read_bytes()), "summary")
    check(msgspec.to_builtins(EVENT), "events")
    with (run_dir / "events.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == [column.name for column in TABLES[6].columns]
