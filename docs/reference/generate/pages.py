"""Which part of which page comes from where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.reference.generate import commands, http, metrics, protocol, run_directory
from scalechat.wire.asyncapi import document_text

REFERENCE: Final = Path(__file__).parents[1]

_PARTS: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "commands.md": {"commands": commands.commands},
    "http.md": {"paths": http.paths},
    "metrics.md": {"server": metrics.server, "workers": metrics.workers, "load": metrics.load},
    "protocol.md": {"errors": protocol.errors, "refusals": protocol.refusals, "closings": protocol.closings},
    "run-directory.md": {
        "ledger": run_directory.ledger,
        "figures": run_directory.figures,
        "metrics": run_directory.metrics,
        "tables": run_directory.tables,
    },
}


def generated() -> dict[Path, str]:
    """Every file that is generated or has generated parts → what it should hold."""
    pages = {
        REFERENCE / name: with_parts((REFERENCE / name).read_text(encoding="utf-8"), parts)
        for name, parts in _PARTS.items()
    }
    return pages | {
        REFERENCE / "asyncapi.json": document_text(),
        REFERENCE / "openapi.json": json.dumps(http.document(), indent=2, ensure_ascii=False) + "\n",
    }


def with_parts(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """`text` with each part between its markers. Raises LookupError where there are none."""
    for name, part in parts.items():
        begin, end = f"<!-- generated:{name} -->\n", f"<!-- /generated:{name} -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise LookupError(f"no place for {name!r}")
        text = f"{before}{begin}{part().rstrip()}\n{end}{after}"
    return text
