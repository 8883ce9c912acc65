"""A page of the documentation as the tests need it: its fenced blocks with their marks, its links, its anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_PARSER: Final = MarkdownIt("commonmark").enable("table")
_COMMENT: Final = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `marks` are the comments directly above it, without their arrows."""

    page: str
    line: int
    language: str
    text: str
    marks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """A Markdown text; `name` is its path from the top of the repository."""

    name: str
    text: str

    @cached_property
    def _tokens(self) -> list[Token]:
        return _PARSER.parse(self.text)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Its fenced blocks, from top to bottom."""
        found: list[Block] = []
        marks: list[str] = []
        for token in self._tokens:
            if token.type == "html_block":
                marks += _COMMENT.findall(token.content)
            else:
                if token.type == "fence":
                    assert token.map is not None
                    language = token.info.strip()
                    found.append(Block(self.name, token.map[0] + 1, language, token.content, tuple(marks)))
                marks = []
        return tuple(found)

    @cached_property
    def links(self) -> tuple[str, ...]:
        """Where its links and pictures point."""
        found = [child.attrs.get("href", child.attrs.get("src")) for child in self._inside()]
        return tuple(str(target) for target in found if target is not None)

    @cached_property
    def inline_code(self) -> tuple[str, ...]:
        """What stands between single backticks."""
        return tuple(child.content for child in self._inside() if child.type == "code_inline")

    @cached_property
    def anchors(self) -> frozenset[str]:
        """What ``#…`` may name: its headings, as GitHub calls them."""
        return frozenset(self._anchors())

    def _inside(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()

    def _anchors(self) -> Iterator[str]:
        seen: dict[str, int] = {}
        for opening, inline in zip(self._tokens, self._tokens[1:], strict=False):
            if opening.type != "heading_open":
                continue
            words = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            again = seen.get(name, 0)
            seen[name] = again + 1
            yield f"{name}-{again}" if again else name


def read_page(path: Path) -> Page:
    """The page in this file."""
    return Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
