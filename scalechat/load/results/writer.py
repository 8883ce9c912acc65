"""Write a run directory as the run goes, so that a killed run leaves readable files.

Rows are collected in memory and written whole at each `flush()`; `finish()` writes `summary.json`
and then, last and atomically, `run.json`.  All calls are synchronous and meant for one thread.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from scalechat.config import OperationalError

from .manifest import FileEntry, Manifest, Summary
from .rows import Row
from .table_file import TableFile
from .tables import TABLES

__all__ = ["RunWriter", "new_run_id"]


def new_run_id(now: datetime | None = None) -> str:
    """UTC compact time and a short random part (20250131T094512Z-3fa9): names sort by time."""
    moment = now if now is not None else datetime.now(UTC)
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


class RunWriter:
    """One run directory, open for writing.

    Error handling:
        Every failure of the file system (not writable, disk full) raises `OperationalError`
        with one line that names the directory.
    """

    def __init__(self, run_dir: Path) -> None:
        """Use `RunWriter.create`, which makes the directory."""
        self.run_dir = run_dir
        self.run_id = run_dir.name
        self._open: dict[type[Row], TableFile] = {}
        self._later: deque[Iterator[Row]] = deque()
        self._extras: list[str] = []

    @classmethod
    def create(cls, out: Path, *, run_id: str | None = None, only: Iterable[type[Row]] | None = None) -> RunWriter:
        """Make `out/<run_id>/` with the header of every table that all runs have, or of those given."""
        run_dir = out / (run_id if run_id is not None else new_run_id())
        writer = cls(run_dir)
        with writer.one_line_errors():
            out.mkdir(parents=True, exist_ok=True)
            run_dir.mkdir()
            for row_type in only if only is not None else (table.row for table in TABLES if table.always):
                writer._file(row_type)
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, *rows: Row) -> None:
        """Take rows; their type says which table they belong to.  Touches no file."""
        self.extend(rows)

    def extend(self, rows: Iterable[Row]) -> None:
        """Take many rows, of one or of several tables."""
        for row in rows:
            file = self._open.get(type(row))
            if file is None:
                with self.one_line_errors():
                    file = self._file(type(row))
            file.pending.append(row)

    def copy_lines(self, row_type: type[Row], lines: bytes) -> None:
        """Write whole lines of a table as another writer wrote them, without its header."""
        file = self._open[row_type]
        with self.one_line_errors():
            file.copy(lines)

    def extend_later(self, rows: Iterable[Row]) -> None:
        """Take rows that are made when they are written; they must come out the same then."""
        self._later.append(iter(rows))

    def flush(self) -> None:
        """Hand everything taken so far to the operating system; call it once a second."""
        while self.flush_some(1_000_000):
            pass

    def flush_some(self, rows: int) -> bool:
        """The same for at most so many rows (some 10 µs each), for writers that must not pause; True when some are
        left."""
        waiting = rows - sum(len(file.pending) for file in self._open.values())
        while self._later and waiting > 0:
            made = list(itertools.islice(self._later[0], waiting))
            waiting -= len(made)
            self.extend(made)
            if waiting > 0:
                self._later.popleft()
        with self.one_line_errors():
            for file in self._open.values():
                rows -= file.flush(rows)
                if rows <= 0:
                    break
        return bool(self._later) or any(file.pending for file in self._open.values())

    def extra_file(self, name: str) -> Path:
        """Path for a file the caller writes and closes itself, before `finish()` (latency.hlog)."""
        if name not in self._extras:
            self._extras.append(name)
        return self.run_dir / name

    def finish(self, manifest: Manifest, summary: Summary) -> Manifest:
        """Write what is left, then `summary.json`, then `run.json`; the run is finished.

        Returns:
            The manifest as written: with the row count, size and sha256 of each other file.
        """
        self.flush()
        with self.one_line_errors():
            files = {file.name: file.entry() for file in self._open.values()}
            self._replace("summary.json", _pretty(summary))
            for name in ("summary.json", *self._extras):
                path = self.run_dir / name
                if path.exists():
                    files[name] = _entry_of(path)
            whole = msgspec.structs.replace(manifest, files=files)
            self._replace("run.json", _pretty(whole))
        self.close()
        return whole

    def close(self) -> None:
        """Close the files; without `finish()` the run stays marked as unfinished. Idempotent.

        On a full disk each table keeps what there is room for, and the first failure is raised at the end.
        """
        while self._later:
            self.extend(self._later.popleft())
        files, self._open = self._open, {}
        with self.one_line_errors(), ExitStack() as stack:
            for file in files.values():
                stack.callback(file.close)
                stack.callback(file.flush, len(file.pending))

    def _file(self, row_type: type[Row]) -> TableFile:
        file = TableFile(self.run_dir, row_type)
        self._open[row_type] = file
        return file

    def _replace(self, name: str, content: bytes) -> None:
        """Write a document so that a reader sees all of it or none."""
        temporary = self.run_dir / f".{name}.tmp"
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.run_dir / name)

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """The body writes to this run: what fails there is one line that names the directory."""
        try:
            yield
        except OSError as error:
            reason = (
                f"{error.filename} is a file" if isinstance(error, FileExistsError) else error.strerror or str(error)
            )
            raise OperationalError(
                f"cannot write the run to {self.run_dir}: {reason}; "
                "choose a writable directory with free space by --out"
            ) from error


def _pretty(document: Manifest | Summary) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _entry_of(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(rows=None, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
