"""The parts of a run become one run directory.

While the run goes, whole new lines of each worker's tables are appended to the run's own, so that a run that is killed
leaves readable tables with everything written so far. Rows of all workers stand side by side under their `worker_id`:
nothing is added up and nothing is lost. When it is over, messages that a worker never saw any sign of get their rows
from the worker that published them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from scalechat.load.histogram import Histogram
from scalechat.load.part import Part, Unseen
from scalechat.load.plan import Plan
from scalechat.load.results import TABLES, BroadcastRow, HistogramRow, Run, RunWriter
from scalechat.load.windows import Key

PARTS: Final = ".parts"
"""The directory with the workers' tables, in the run's; it is gone when the run is written."""
READ_BYTES: Final = 4 * 1024 * 1024
INTERVALS: Final = "latency.hlog"


class Tail:
    """A file that grows: each `read` returns what has come, in whole lines."""

    def __init__(self, path: Path, *, skip_lines: int) -> None:
        self._path = path
        self._skip = skip_lines
        self._offset = 0

    def read(self) -> bytes:
        """Up to `READ_BYTES`; empty when nothing is there, or not yet."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read(READ_BYTES)
        except FileNotFoundError:
            return b""
        lines = data[: data.rfind(b"\n") + 1]
        self._offset += len(lines)
        while self._skip and lines:
            lines = lines[lines.index(b"\n") + 1 :]
            self._skip -= 1
        return lines


class Merge:
    """The tables of `count` workers, into those of `writer`."""

    def __init__(self, writer: RunWriter, count: int) -> None:
        self._writer = writer
        self._parts = writer.run_dir / PARTS
        with writer.one_line_errors():
            self._parts.mkdir()
        self._tails = [
            (table.row, Tail(self.part_dir(index) / table.filename, skip_lines=1))
            for index in range(count)
            for table in TABLES
            if table.always
        ]

    def part_dir(self, index: int) -> Path:
        """Where the worker's tables are, or are put."""
        return self._parts / str(index)

    def receive(self, index: int, file: str, data: bytes) -> None:
        """The next bytes of a file of a worker elsewhere."""
        with self._writer.one_line_errors():
            self.part_dir(index).mkdir(exist_ok=True)
            with (self.part_dir(index) / Path(file).name).open("ab") as stream:
                stream.write(data)

    def pump(self) -> bool:
        """Append what has come, a few MB at most; True when there may be more."""
        more = False
        with self._writer.one_line_errors():
            for row_type, tail in self._tails:
                lines = tail.read()
                self._writer.copy_lines(row_type, lines)
                more = more or len(lines) > READ_BYTES // 2
        return more

    def finish(self, parts: Sequence[Part], plan: Plan, *, never_ns: int) -> list[Part]:
        """Append the rest, and account for what no sign was seen of; returns the parts with that in them."""
        while self.pump():
            pass
        with self._writer.one_line_errors():
            self.copy_intervals([int(part.worker.worker_id) for part in parts])
        whole = _with_unseen(self._writer, parts, plan, never_ns) if any(part.unseen for part in parts) else [*parts]
        self._writer.flush()
        return whole

    def clear(self) -> None:
        """Remove the workers' own tables."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def copy_intervals(self, workers: Sequence[int]) -> None:
        """The interval logs, one after another; HdrHistogram's viewers tell the workers apart by the tag."""
        with self._writer.extra_file(INTERVALS).open("wb") as stream:
            for order, index in enumerate(workers):
                tag = f"Tag={index},".encode()
                for line in (self.part_dir(index) / INTERVALS).read_bytes().splitlines(keepends=True):
                    is_interval = line[:1].isdigit()
                    if is_interval or not order:
                        stream.write(tag + line if is_interval else line)


def _with_unseen(writer: RunWriter, parts: Sequence[Part], plan: Plan, never_ns: int) -> list[Part]:
    """One pass over the messages: whoever published one knows when, and so how long the others have waited for it."""
    writer.flush()
    wanted: dict[int, list[tuple[int, Unseen]]] = {}
    for place, part in enumerate(parts):
        for unseen in part.unseen:
            wanted.setdefault(unseen.publisher, []).append((place, unseen))
    numbers = {name: number for number, name in plan.course.names.items()}
    totals: list[dict[Key, Histogram]] = [dict(part.totals) for part in parts]
    for row in list(_published(writer.run_dir, plan, wanted)):
        publisher, _, number = row.msg_id.partition("-")
        for place, unseen in wanted[int(publisher)]:
            if unseen.first <= int(number) <= unseen.last:
                part = parts[place]
                waited_ns = max(never_ns, part.ended_unix_ns - row.ts_unix_ns)
                writer.extend(_rows(row, part, unseen, waited_ns))
                for metric, count in _missed(unseen):
                    histogram = totals[place].setdefault((numbers[row.phase], metric), Histogram())
                    histogram.add_many(waited_ns, count)
    return [replace(part, totals=whole) for part, whole in zip(parts, totals, strict=True)]


def _published(run_dir: Path, plan: Plan, wanted: dict[int, list[tuple[int, Unseen]]]) -> Iterator[BroadcastRow]:
    """The rows of wanted messages that their own publishers' processes wrote."""
    for row in Run(run_dir, None, None).rows(BroadcastRow):
        publisher = int(row.msg_id.partition("-")[0])
        if publisher in wanted and row.worker_id == str(plan.worker_of(publisher)):
            yield row


def _missed(unseen: Unseen) -> tuple[tuple[str, int], ...]:
    here = unseen.members - unseen.apart
    return (("delivery", here), ("broadcast_first", 1), ("broadcast_last", 1)) if here else ()


def _rows(row: BroadcastRow, part: Part, unseen: Unseen, waited_ns: int) -> Iterator[BroadcastRow | HistogramRow]:
    nothing = dict.fromkeys(("ack_ns", "delivery_first_ns", "delivery_last_ns", "delivery_sum_ns", "delivery_p50_ns"))
    yield msgspec.structs.replace(
        row,
        worker_id=part.worker.worker_id,
        expected=unseen.members,
        delivered=0,
        duplicated=0,
        room_seq=None,
        **nothing,
    )
    for metric, count in _missed(unseen):
        histogram = Histogram()
        histogram.add_many(waited_ns, count)
        for low, high, _count in histogram.buckets():
            yield HistogramRow(
                t_s=part.phases[-1].end_s,
                dt_s=0.0,
                worker_id=part.worker.worker_id,
                phase=row.phase,
                metric=metric,
                bucket_low_ns=low,
                bucket_high_ns=high,
                count=count,
            )
