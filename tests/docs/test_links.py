"""Every page can be reached from the index, and every link of every page leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, Page, read_page

INDEX = ROOT / "docs/README.md"


def target_of(page: Path, link: str) -> tuple[Path, str] | None:
    """The file and the anchor that a link names; None for one that leaves the repository."""
    path, _, anchor = link.partition("#")
    if "://" in path or path.startswith("mailto:"):
        return None
    return ((page.parent / path).resolve() if path else page), anchor


def broken(page: Path, links: tuple[str, ...]) -> list[str]:
    wrong = []
    for link in links:
        target = target_of(page, link)
        if target is None:
            continue
        file, anchor = target
        if not file.exists() or (anchor and (file.suffix != ".md" or anchor not in read_page(file).anchors)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_an_anchor_that_exist(path: Path) -> None:
    """Files, pictures and headings of this repository; what is outside of it is not asked."""
    assert broken(path, read_page(path).links) == []


def test_a_link_to_nowhere_is_found() -> None:
    """A missing file, a missing heading and an anchor in what is no page."""
    page = Page("docs/x.md", "[a](nowhere.md) [b](tutorial.md#no-such) [c](../LICENSE#x) [d](tutorial.md) ![e](no.png)")
    assert broken(ROOT / page.name, page.links) == ["nowhere.md", "tutorial.md#no-such", "../LICENSE#x", "no.png"]


def test_headings_have_the_anchors_that_github_gives_them() -> None:
    """Lower case, no punctuation, and a number for the second of a name."""
    page = Page("x.md", "# One `two`, three!\n\n## A (b) *c*\n\n## A (b) *c*\n")
    assert page.anchors == {"one-two-three", "a-b-c", "a-b-c-1"}


def test_every_page_is_listed_in_the_index() -> None:
    """``docs/README.md``, for whoever looks for something; the problems of the catalogue have an index of their own."""
    indexes = (INDEX, ROOT / "docs/scale-problems/README.md")
    targets = [target_of(index, link) for index in indexes for link in read_page(index).links]
    listed = {target[0] for target in targets if target is not None}
    missing = [page for page in PAGES if page not in listed and page not in (INDEX, ROOT / "README.md")]
    assert missing == []
    assert INDEX in {target[0] for link in read_page(PAGES[0]).links if (target := target_of(PAGES[0], link))}
