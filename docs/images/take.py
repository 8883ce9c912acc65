"""The pictures of reports in README and docs: ``python -m docs.images.take RUN SEARCH COMPARISON``, three HTML files.

They are the reports of a load run, of a capacity search and of two runs; the Chromium that the tests drive takes them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

from tests.web.browser import open_chromium

FOLDER: Final = Path(__file__).parent
WIDTH: Final = 1020
MARGIN: Final = 14

Part = tuple[str, str | None, str]
"""A picture, the element it begins with (None: the top of the page), and the one it ends before."""

RUN: Final[Sequence[Part]] = (
    ("report.png", None, "#What-held-it-back"),
    ("report-findings.png", "#What-held-it-back", "#Ledger"),
    ("report-latency.png", "#Latency", "#Members"),
    ("report-members.png", "#Members", "div:has(> #Members) ~ table"),
    ("report-generator.png", "#Load-generator", "#What-happened"),
)
SEARCH: Final[Sequence[Part]] = (("capacity.png", None, "#What-more-load-yields"),)
COMPARISON: Final[Sequence[Part]] = (("comparison.png", None, "h2 >> nth=1"),)


def main(run: Path, search: Path, comparison: Path) -> None:
    """Take them all."""
    with open_chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        for report, parts in ((run, RUN), (search, SEARCH), (comparison, COMPARISON)):
            page.goto(report.resolve().as_uri())
            for name, first, end in parts:
                take(page, FOLDER / name, first, end)


def take(page: Page, picture: Path, first: str | None, end: str) -> None:
    """Everything from `first` to above `end`, as wide as the page."""
    top = 0.0 if first is None else _top(page, first) - MARGIN
    height = _top(page, end) - top - 2 * MARGIN
    page.screenshot(path=picture, clip={"x": 0, "y": top, "width": WIDTH, "height": height}, full_page=True)


def _top(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    if box is None:
        raise LookupError(f"nothing is {selector}")
    return box["y"]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
