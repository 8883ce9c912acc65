"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table with its cells escaped."""
    columns = list(heading)
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines) + "\n"


def code(text: str) -> str:
    """`text` as code; nothing for nothing."""
    return f"`{text}`" if text else ""


def codes(texts: Iterable[str]) -> str:
    """Several, with commas."""
    return ", ".join(map(code, texts))
