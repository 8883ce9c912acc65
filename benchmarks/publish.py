"""Puts what was measured into the docs: between a block's markers stands what its command wrote last.

<!-- benchmark:NAME -->
…
<!-- /benchmark:NAME -->
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks import tables
from benchmarks.machine import ROOT
from benchmarks.plot import write_plot
from benchmarks.results import Comparison

DOCUMENT = ROOT / "docs/performance.md"
PLOT = ROOT / "docs/images/performance.svg"


def publish_comparison(record: Comparison) -> None:
    """Write the record's tables into the document and draw the plot. Raises `UnknownBlock`."""
    write_blocks(DOCUMENT, blocks_of(record))
    write_plot(record, PLOT)


def blocks_of(record: Comparison) -> dict[str, str]:
    """Each block that the document has of a comparison, by name."""
    whole = {
        "machine": tables.machine_block(record),
        "overview": tables.overview_block(record),
        "bars": tables.bars_block(record),
        "growth": tables.growth_block(record),
        "stalled": tables.stalled_block(record),
        "strategies": tables.strategies_block(record),
    }
    return whole | {name: tables.scenario_block(record, name) for name in tables.OVERVIEW}


class UnknownBlock(LookupError):
    """The document has no place for a block that was made for it."""


def write_blocks(document: Path, blocks: Mapping[str, str]) -> None:
    """Replace what stands between the markers of each block. Raises `UnknownBlock` and then changes nothing."""
    text = document.read_text()
    for name, block in blocks.items():
        begin, end = f"<!-- benchmark:{name} -->\n", f"<!-- /benchmark:{name} -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise UnknownBlock(f"{document} has no place for {name!r}")
        text = before + begin + block + "\n" + end + after
    document.write_text(text)
