"""The commands of README and docs do what the pages say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalechat.cli import main
from scalechat.command_line import COMMANDS
from tests.docs.markdown import PAGES, ROOT, Page, read_page
from tests.docs.marks import SHELL, mark_of
from tests.docs.playing import play

READ = [read_page(path) for path in PAGES]


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_every_block_for_a_shell_is_run_or_says_why_not(page: Page) -> None:
    """In a comment above it, see ``marks.py``."""
    for block in page.blocks:
        mark_of(block)


@pytest.mark.timeout(300)  # a page has several blocks, each of which may start servers on a busy machine
@pytest.mark.parametrize(
    "page",
    [page for page in READ if any(mark.startswith("run") for block in page.blocks for mark in block.marks)],
    ids=lambda page: page.name,
)
def test_commands_do_what_the_page_says(page: Page, tmp_path: Path) -> None:
    """One block after the other, in a copy of the repository."""
    assert play(page, tmp_path) > 0


def commands_of(page: Page) -> Iterator[str]:
    """What follows ``python -m scalechat`` in its blocks and between backticks, as far as it is one command."""
    shell = [block.text.replace("\\\n", " ") for block in page.blocks if block.language in SHELL]
    for text in (*shell, *page.inline_code):
        for found in re.finditer(r"python -m scalechat ((?:\"[^\"]*\"|'[^']*'|[^|&;>#\n\\])*)", text):
            command = found[1].strip()
            if not re.search(r"COMMAND|\[OPTIONS\]", command) and command not in COMMANDS:  # which a page only names
                yield command


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_every_command_line_is_understood(
    page: Page, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that are not run too: each flag and each value is one that the command takes."""
    monkeypatch.chdir(ROOT)
    for command in commands_of(page):
        code = main([*shlex.split(command), "--print-config"], {})
        assert code == 0, f"{command}: {capsys.readouterr().err}"
