"""Tables of several workers become those of the run: nothing twice, nothing lost, nothing half."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.fleet.merging import INTERVALS, Merge, Tail
from scalechat.load.histogram import Histogram
from scalechat.load.hlog import IntervalLog
from scalechat.load.results import EventRow, Run, RunWriter


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=10))
def test_a_growing_table_is_read_in_whole_lines(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    """Without its header, never half a row, and nothing twice."""
    path = tmp_path_factory.mktemp("tail") / "rows.csv"
    tail, read, written = Tail(path, skip_lines=1), b"", b"header\n"
    assert tail.read() == b""
    path.write_bytes(written)
    for piece in pieces:
        with path.open("ab") as stream:
            stream.write(piece)
        written += piece
        read += tail.read()
        assert not read or read.endswith(b"\n")
    read += tail.read()
    body = written.removeprefix(b"header\n")
    assert read == body[: body.rfind(b"\n") + 1]


def event(worker: int, number: int) -> EventRow:
    return EventRow(t_s=number, ts_unix_ns=number, worker_id=str(worker), phase="steady", kind="x", detail="a, b")


def details_of(run_dir: Path) -> list[tuple[str, float]]:
    return [(row.worker_id, row.t_s) for row in Run(run_dir, None, None).rows(EventRow)]


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.booleans()), max_size=12))
def test_the_runs_table_is_whole_whenever_it_is_looked_at(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool, bool]]
) -> None:
    """A run that is killed leaves every row that its workers had written by the last look, in their order."""
    with RunWriter.create(tmp_path_factory.mktemp("runs")) as writer:
        merge = Merge(writer, 2)
        workers = [RunWriter.create(merge.part_dir(0).parent, run_id=str(index)) for index in range(2)]
        written: list[list[tuple[str, float]]] = [[], []]
        for number, (worker, flushes, looks) in enumerate(steps):
            workers[worker].append(event(worker, number))
            written[worker].append((str(worker), number))
            if flushes:
                workers[worker].flush()
            if looks:
                merge.pump()
                writer.flush()
        for one in workers:
            one.close()
        while merge.pump():
            pass
        found = details_of(writer.run_dir)
        assert [[row for row in found if row[0] == str(worker)] for worker in range(2)] == written
        merge.clear()
        assert not [path for path in writer.run_dir.iterdir() if path.is_dir()]


def test_a_table_from_elsewhere_is_put_together_of_its_pieces(tmp_path: Path) -> None:
    """Wherever it was cut; and a name that leads out of the worker's directory leads nowhere."""
    with RunWriter.create(tmp_path / "run") as writer, RunWriter.create(tmp_path / "far", run_id="1") as far:
        far.append(event(1, 1), event(1, 2))
        far.flush()
        data = (far.run_dir / "events.csv").read_bytes()
        merge = Merge(writer, 2)
        for piece in (data[:50], data[50:]):
            merge.receive(1, "../../events.csv", piece)
        merge.pump()
        assert details_of(writer.run_dir) == [("1", 1), ("1", 2)]
        assert (merge.part_dir(1) / "events.csv").read_bytes() == data


def test_the_interval_log_has_one_beginning_and_every_workers_intervals_by_its_tag(tmp_path: Path) -> None:
    one = Histogram()
    one.add_many(1000, 5)
    with RunWriter.create(tmp_path / "run") as writer:
        merge = Merge(writer, 2)
        for index in range(2):
            part = RunWriter.create(merge.part_dir(index).parent, run_id=str(index))
            with part, IntervalLog(part, start_unix_ns=0) as log:
                log.interval(one, start_s=1, end_s=2)
        merge.copy_intervals([0, 1])
        lines = (writer.run_dir / INTERVALS).read_text().splitlines()
    assert [line.split(",")[0] for line in lines if line.startswith("Tag=")] == ["Tag=0", "Tag=1"]
    assert sum("StartTimestamp" in line for line in lines) == 1
