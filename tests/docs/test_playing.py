"""The player itself: what is unmarked, wrong or left running is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import Page
from tests.docs.marks import BadMark, NotRun, Run, mark_of
from tests.docs.playing import Wrong, pattern_of, play


def page_of(mark: str, command: str) -> Page:
    return Page("x.md", f"{mark}\n```sh\n{command}\n```\n")


@pytest.mark.parametrize(
    "mark", ["", "<!-- a remark -->", "<!-- run --><!-- not run: x -->", "<!-- not run: -->", "<!-- run; twice -->"]
)
def test_a_block_without_a_clear_mark_is_refused(mark: str) -> None:
    """Neither run nor a reason, both at once, or words that mean nothing."""
    (block,) = page_of(mark, "true").blocks
    with pytest.raises(BadMark):
        mark_of(block)


def test_a_mark_says_how_to_run() -> None:
    """All clauses together."""
    mark = "<!-- run; with A=1 B=x,y; serves 80 81; or exit code 97; installed already -->"
    assert mark_of(page_of(mark, "true").blocks[0]) == Run({"A": "1", "B": "x,y"}, (80, 81), frozenset({0, 97}), True)
    assert mark_of(page_of("<!-- not run: it needs: a lot -->", "true").blocks[0]) == NotRun("it needs: a lot")


@pytest.mark.parametrize("command", ["false", "false | true", "false\ntrue", "echo $UNSET"])
def test_a_command_that_fails_fails_the_page(command: str, tmp_path: Path) -> None:
    """Anywhere in a block."""
    with pytest.raises(Wrong):
        play(page_of("<!-- run -->", command), tmp_path)


def test_output_that_is_not_as_shown_fails_the_page(tmp_path: Path) -> None:
    """Words count, numbers do not."""
    shown = "<!-- run -->\n```sh\necho got 12 of 13\n```\n\n<!-- printed -->\n```text\n{}\n```\n"
    assert play(Page("x.md", shown.format("got 1,234 of 5")), tmp_path / "right") == 1
    with pytest.raises(Wrong):
        play(Page("x.md", shown.format("lost 12 of 13")), tmp_path / "wrong")


def test_numbers_and_dots_stand_for_others() -> None:
    """`…` is anything, a number any number, white space any white space; the words stay in their order."""
    pattern = pattern_of("p99  3.4 ms … done")
    assert pattern.search("p99 12,000.1 ms\nand much more\n  done")
    assert not pattern.search("done p99 1 ms")


def test_what_is_served_gets_a_free_port_and_ends_with_the_page(tmp_path: Path) -> None:
    """The page's own number is replaced in every block, and nothing is left running."""
    serve = "python -m http.server --bind 127.0.0.1 8080"
    ask = "python -c 'import urllib.request as u; print(u.urlopen(\"http://localhost:8080/README.md\").status)'"
    blocks = [page_of("<!-- run; serves 8080 -->", serve), page_of("<!-- run -->", f"{ask}\necho 8080 > port")]
    page = Page("x.md", "\n".join(block.text for block in blocks) + "\n<!-- printed -->\n```text\n200\n```\n")
    assert play(page, tmp_path) == 2
    port = (tmp_path / "scalechat/port").read_text().strip()
    assert port != "8080"
    again = page_of("<!-- run -->", f"python -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'")
    with pytest.raises(Wrong, match="ConnectionRefusedError"):
        play(again, tmp_path / "again")


def test_an_installation_is_left_out_where_it_says_so(tmp_path: Path) -> None:
    """And what follows it on the same line is run in the environment that is there."""
    command = "python3 -m venv .venv && .venv/bin/pip install -q '.[dev]' && .venv/bin/python -c 'print(6 * 7)'"
    page = Page(
        "x.md", page_of("<!-- run; installed already -->", command).text + "<!-- printed -->\n```text\n42\n```\n"
    )
    assert play(page, tmp_path) == 1
