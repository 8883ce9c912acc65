"""Read a run directory, finished or not, with the standard library and msgspec only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from scalechat.config import OperationalError

from .manifest import SCHEMA_VERSION, Manifest, Summary
from .rows import Row
from .tables import Table, table_of

__all__ = ["Run", "read_run"]

R = TypeVar("R", bound=Row)
D = TypeVar("D", Manifest, Summary)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory; `manifest` and `summary` are None when the run was not finished."""

    path: Path
    manifest: Manifest | None
    summary: Summary | None

    @property
    def run_id(self) -> str:
        """The run's name, from the manifest or else from the directory."""
        return self.path.name if self.manifest is None else self.manifest.run_id

    @property
    def is_search(self) -> bool:
        """Whether this is a capacity search; its probes are runs of their own."""
        return (self.path / "search.csv").is_file()

    @property
    def finished(self) -> bool:
        """Whether the run was written to its end."""
        return self.manifest is not None

    def data(self, table: Table[R]) -> bytes:
        """The table's CSV as far as it is whole: empty without a file, no torn last line.

        A row never holds a newline (the writer sees to it), so a killed writer leaves at most
        one line without its end.
        """
        try:
            content = (self.path / table.filename).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unreadable(self.path / table.filename, error.strerror) from error
        return content[: content.rfind(b"\n") + 1]

    def rows(self, row_type: type[R]) -> Iterator[R]:
        """The rows of a table, typed, one after another; columns we do not know are skipped."""
        table = table_of(row_type)
        text = io.StringIO(self.data(table).decode("utf-8", errors="replace"), newline="")
        names = set(row_type.__struct_fields__)
        for number, cells in enumerate(csv.DictReader(text), start=1):
            known = {name: cell for name, cell in cells.items() if cell and name in names}
            try:
                # Not strict: the cells are text, "12" is to become 12.
                yield msgspec.convert(known, row_type, strict=False)
            except msgspec.ValidationError as error:
                where = f"row {number} of {self.path / table.filename}"
                raise OperationalError(f"cannot read {where}: {error}") from error


def read_run(path: Path) -> Run:
    """Open a run by its directory or by its `run.json`.

    Raises:
        OperationalError: there is no run, or a newer program wrote it in another major schema.
    """
    run_dir = path.parent if path.name == "run.json" else path
    if not any((run_dir / name).is_file() for name in ("run.json", "timeseries.csv", "search.csv")):
        raise OperationalError(f"no run in {run_dir}: it has neither run.json nor timeseries.csv")
    return Run(
        path=run_dir,
        manifest=_document(run_dir / "run.json", Manifest),
        summary=_document(run_dir / "summary.json", Summary),
    )


def _document(path: Path, kind: type[D]) -> D | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    try:
        version = msgspec.json.decode(content, type=_Versioned).schema_version
        if version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
            raise OperationalError(f"cannot read {path}: schema {version}, this program reads {SCHEMA_VERSION}")
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise _unreadable(path, str(error)) from error


class _Versioned(msgspec.Struct):
    schema_version: str


def _unreadable(path: Path, reason: str | None) -> OperationalError:
    return OperationalError(f"cannot read {path}: {reason}")
