"""The run format, from the structs that write and read it."""

from __future__ import annotations

import inspect

from docs.reference.generate.markdown import code, codes, table
from scalechat.load.results import FIGURES, METRICS, TABLES, Ledger


def ledger() -> str:
    """The keys of `ledger` in `run.json`."""
    return f"{codes(Ledger.__struct_fields__)}.\n"


def figures() -> str:
    """The figures of `summary.json`, by unit."""
    by_unit: dict[str, list[str]] = {}
    for name, unit in FIGURES.items():
        by_unit.setdefault(unit, []).append(name)
    return table(("unit", "figures"), ((unit, codes(names)) for unit, names in by_unit.items()))


def metrics() -> str:
    """What `histograms.csv` may count."""
    return f"{codes(METRICS)}.\n"


def tables() -> str:
    """Every column of every table."""
    parts = []
    for each in TABLES:
        parts.append(f"### {each.filename}\n\n{inspect.getdoc(each.row)}\n")
        rows = (
            (code(column.name), column.type + (" or empty" if column.optional else ""), column.unit, column.doc)
            for column in each.columns
        )
        parts.append(table(("column", "type", "unit", "meaning"), rows))
    return "\n".join(parts)
