"""The tables of a run directory: which rows are in which file, and what their columns are, read off the structs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args, get_type_hints

import msgspec

from .rows import (
    BroadcastRow,
    ConnectionRow,
    ErrorRow,
    EventRow,
    HealthRow,
    HistogramRow,
    Row,
    SearchRow,
    ServerRow,
    TimeseriesRow,
)

__all__ = ["TABLES", "Column", "Table", "table_of"]

R = TypeVar("R", bound=Row)
ColumnType = Literal["int", "float", "str"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `optional` says that a cell may be empty."""

    name: str
    type: ColumnType
    optional: bool
    unit: str
    doc: str


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """One CSV file; `always` tables exist, with a header, from the start of each run."""

    name: str
    row: type[R]
    columns: tuple[Column, ...]
    always: bool

    @property
    def filename(self) -> str:
        """The file's name inside the run directory."""
        return f"{self.name}.csv"


# `object` would do for the values of get_type_hints; typing itself says Any.
def _column(name: str, hint: Any) -> Column:
    inner, *metas = get_args(hint)
    meta: msgspec.Meta = metas[0]
    members = [arg for arg in get_args(inner) if arg is not type(None)] or [inner]
    names: dict[object, ColumnType] = {int: "int", float: "float", str: "str"}
    unit = (meta.extra_json_schema or {}).get("unit", "")
    return Column(
        name=name,
        type=names[members[0]],
        optional=type(None) in get_args(inner),
        unit=str(unit),
        doc=meta.description or "",
    )


def _table(name: str, row: type[R], *, always: bool = True) -> Table[R]:
    hints = get_type_hints(row, include_extras=True)
    columns = tuple(_column(field, hints[field]) for field in row.__struct_fields__)
    return Table(name=name, row=row, columns=columns, always=always)


TABLES: tuple[Table[Any], ...] = (
    _table("timeseries", TimeseriesRow),
    _table("histograms", HistogramRow),
    _table("broadcasts", BroadcastRow),
    _table("connections", ConnectionRow),
    _table("health", HealthRow),
    _table("server", ServerRow),
    _table("events", EventRow),
    _table("errors", ErrorRow),
    _table("search", SearchRow, always=False),
)
"""Every table, in the order of the documentation."""

_BY_ROW: dict[type[Row], Table[Any]] = {table.row: table for table in TABLES}


def table_of(row: type[R]) -> Table[R]:
    """The table whose rows are of this type."""
    return _BY_ROW[row]
