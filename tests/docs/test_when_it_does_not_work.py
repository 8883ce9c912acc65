"""The page "When it does not work" shows the program's own lines: each of its words, and the cheap ones whole."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from scalechat.cli import main
from tests.docs.markdown import ROOT

PAGE = ROOT / "docs/how-to/when-it-does-not-work.md"
GAP = "…"
OF_OPENSSL = "its certificate is not valid for\n"


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    line: str
    exit_code: str

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(".*".join(re.escape(words) for words in self.line.split(GAP)))


def rows() -> Iterator[Row]:
    for text in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in text.strip("|").split(" | ")]
        if len(cells) == 4 and cells[1].startswith("`"):
            yield Row(cells[0], cells[1].strip("`"), cells[2])


ROWS = {row.what: row for row in rows()}


def literals(tree: ast.AST) -> Iterator[str]:
    """Every text of a module, with a gap where a value goes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_said(words: str, said: str) -> bool:
    """In one text, or in two that are put together."""
    cuts = [0, *(space.start() for space in re.finditer(" ", words))]
    return any(words[:cut].strip() in said and words[cut:].strip() in said for cut in cuts)


@pytest.fixture(scope="module")
def said() -> str:
    """All the program may say."""
    files = sorted((ROOT / "scalechat").rglob("*.py"))
    return OF_OPENSSL + "\n".join(
        text for file in files for text in literals(ast.parse(file.read_text(encoding="utf-8")))
    )


PLAYED = {
    "nobody listens there": "load --server-url ws://127.0.0.1:1/ws",
    "no such host": "load --server-url ws://nobody.invalid/ws",
    "the file of `--ca-file` is not there": "load --server-url wss://127.0.0.1:1/ws --ca-file none.pem",
    "an objective cannot be read": "load --slo missing=0",
    "a setting that does not exist": "load",
    "not an address of this machine": "serve --host 192.0.2.1 --port 0",
    "the settings file is not there": "serve --config none.toml",
    "the settings file is no TOML": "serve --config words.txt",
    "a Redis URL with a mistake": "serve --bus http://localhost",
    "a secret that is too short": "serve --token-secret short",
    "not a run directory": "report .",
    "no such experiment": "experiment nobody-has-this",
}
"""By what happened, the command that makes it happen, without a server."""


@pytest.mark.parametrize("what", [what for what in ROWS if what not in PLAYED])
def test_the_words_of_a_line_are_the_programs(what: str, said: str) -> None:
    """Between two gaps they stand in the program's texts."""
    for words in re.split(rf"{GAP}|: |; |\s{{2,}}| \(|\) ", ROWS[what].line):
        assert is_said(words.strip("() ;:"), said), words


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    """A server that begins configures the log of its process, which here is that of other tests."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize("what, args", PLAYED.items())
def test_a_fault_that_is_cheap_is_told_as_the_page_has_it(
    what: str, args: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line and exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("no = = TOML")
    code = main(args.split(), {"SCALECHAT_CLIENT": "1"} if what == "a setting that does not exist" else {})
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert ROWS[what].pattern.search(told.removeprefix("scalechat: error: ")), told
    assert str(code) == ROWS[what].exit_code
