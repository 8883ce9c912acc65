"""One CSV file of a run directory: rows wait in memory and are written whole, and what is written is hashed."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from .manifest import FileEntry
from .rows import Row
from .tables import table_of

__all__ = ["TableFile"]

# A row is one line, whatever a foreign server put into its close reason: tools that read by line
# then agree with those that parse CSV, and a torn last line is recognised by its missing newline.
_LINE_BREAKING = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


class TableFile:
    """The file of one type of rows, with those that are pending, their count and the running hash."""

    def __init__(self, run_dir: Path, row_type: type[Row]) -> None:
        table = table_of(row_type)
        self.name = table.filename
        self.pending: list[Row] = []
        self._rows = 0
        self._size = 0
        self._sha256 = hashlib.sha256()
        # Unbuffered: each flush is one write of whole lines, and nothing waits in Python.
        self._stream = (run_dir / self.name).open("xb", buffering=0)
        self._write(_csv([[column.name for column in table.columns]]))

    def flush(self, limit: int) -> int:
        """Write the first `limit` rows that wait; returns how many there were."""
        rows, self.pending = self.pending[:limit], self.pending[limit:]
        if rows:
            self._write_rows(rows)
            self._rows += len(rows)
        return len(rows)

    def copy(self, lines: bytes) -> None:
        """Write lines that are rows already."""
        self._rows += lines.count(b"\n")
        self._put(lines)

    def entry(self) -> FileEntry:
        """What the manifest says of it."""
        return FileEntry(rows=self._rows, sha256=self._sha256.hexdigest(), size_bytes=self._size)

    def close(self) -> None:
        """Nothing more is written."""
        self._stream.close()

    def _write_rows(self, rows: Sequence[Row]) -> None:
        lines = [msgspec.structs.astuple(row) for row in rows]
        text = _csv(lines)
        if not text.replace("\n", "").isprintable() or text.count("\n") > len(lines):
            text = _csv([_on_one_line(line) for line in lines])
        self._write(text)

    def _write(self, text: str) -> None:
        # A lone surrogate in an example of an error must not end the run.
        self._put(text.encode("utf-8", errors="replace"))

    def _put(self, content: bytes) -> None:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[self._stream.write(remaining) :]
        self._sha256.update(content)
        self._size += len(content)


def _csv(lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _on_one_line(line: Sequence[object]) -> list[object]:
    return [_LINE_BREAKING.sub(" ", cell) if isinstance(cell, str) else cell for cell in line]
