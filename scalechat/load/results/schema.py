"""JSON Schemas of everything in a run directory, for readers in other languages.

They ship with the package in `scalechat/load/schemas/`.  After a change of the structs write them
anew with `python -m scalechat.load.results.schema`; a test fails while they differ.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from .manifest import SCHEMA_VERSION, Manifest, Summary
from .tables import TABLES

__all__ = ["SCHEMA_DIR", "schemas", "write_schemas"]

SCHEMA_DIR = Path(__file__).resolve().parent.parent / "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, bytes]:
    """File name → content; a table's schema is that of one row, properties in column order."""
    documents: dict[str, type[msgspec.Struct]] = {"run": Manifest, "summary": Summary}
    documents.update((table.name, table.row) for table in TABLES)
    return {f"{name}.schema.json": _schema(name, kind) for name, kind in documents.items()}


def write_schemas(directory: Path = SCHEMA_DIR) -> None:
    """Write each schema into the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in schemas().items():
        (directory / name).write_bytes(content)


def _schema(name: str, kind: type[msgspec.Struct]) -> bytes:
    body = msgspec.json.schema(kind)
    head = {
        "$schema": _DIALECT,
        "$id": f"urn:scalechat:run-format:{SCHEMA_VERSION}:{name}",
    }
    return msgspec.json.format(msgspec.json.encode({**head, **body}), indent=2) + b"\n"


if __name__ == "__main__":
    write_schemas()
