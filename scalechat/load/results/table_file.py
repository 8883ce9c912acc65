"""One CSV file of a run directory: rows wait in memory and are written whole, and what is written is hashed."""

from __future__ import annotations

import csv
import hashlib
import io
import re
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
        self._text_columns = tuple(index for index, column in enumerate(table.columns) if column.type == "str")
        # Unbuffered: each flush is one write of whole lines, and nothing waits in Python.
        self._stream = (run_dir / self.name).open("xb", buffering=0)
        self._write([[column.name for column in table.columns]])

    def flush(self, limit: int) -> int:
        """Write the first `limit` rows that wait; returns how many there were."""
        rows, self.pending = self.pending[:limit], self.pending[limit:]
        if rows:
            self._write([self._cells(row) for row in rows])
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

    def _cells(self, row: Row) -> list[object]:
        cells: list[object] = list(msgspec.structs.astuple(row))
        for index in self._text_columns:
            cell = cells[index]
            if isinstance(cell, str) and not cell.isprintable():
                cells[index] = _LINE_BREAKING.sub(" ", cell)
        return cells

    def _write(self, lines: list[list[object]] | list[list[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        # A lone surrogate in an example of an error must not end the run.
        self._put(text.getvalue().encode("utf-8", errors="replace"))

    def _put(self, content: bytes) -> None:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[self._stream.write(remaining) :]
        self._sha256.update(content)
        self._size += len(content)
