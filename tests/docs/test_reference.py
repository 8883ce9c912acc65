"""The reference is today's: what the code knows is generated, and what pages name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.reference.generate.pages import generated, with_parts
from scalechat.analysis import comparing
from scalechat.cli import Commands
from scalechat.command_line import COMMANDS, make_app
from scalechat.config import OperationalError, UsageError
from scalechat.experiment import command as experiment
from scalechat.load import verdict
from scalechat.load.capacity import record
from scalechat.sources import Environment, Provenance
from scalechat.values import is_table
from tests.docs.markdown import PAGES, ROOT, Page, read_page

GENERATED = generated()
OTHERS_FLAGS = {"--build-arg", "--secret", "--network", "--data", "--user", "--scope", "--web", "--help"}
"""Those of Docker, prlimit, systemd-run and Prometheus, and one that every command has."""


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_parts_are_what_the_code_says(path: Path) -> None:
    """Otherwise: ``python -m docs.reference.generate``."""
    assert path.read_text(encoding="utf-8") == GENERATED[path]


def test_a_part_without_a_place_is_an_error() -> None:
    """A marker that somebody deleted does not silently end the generation."""
    assert with_parts("a\n<!-- generated:x -->\nold\n<!-- /generated:x -->\nb", {"x": lambda: "new"}) == (
        "a\n<!-- generated:x -->\nnew\n<!-- /generated:x -->\nb"
    )
    with pytest.raises(LookupError, match="'y'"):
        with_parts("a", {"y": lambda: "new"})


def flags() -> set[str]:
    provenance = Provenance()
    app = make_app(Commands(provenance), Environment({}), provenance, colour=False)
    return {name for c in COMMANDS for argument in app[c].assemble_argument_collection() for name in argument.names}


def test_the_reference_of_commands_has_every_flag_of_each() -> None:
    """A table that ends too early is as wrong as a missing one."""
    sections = re.split(r"^## ", (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {section.split("\n", 1)[0]: section for section in sections}
    provenance = Provenance()
    app = make_app(Commands(provenance), Environment({}), provenance, colour=False)
    for command in COMMANDS:
        for argument in app[command].assemble_argument_collection():
            if not argument.required and not is_table(argument.parameter) and not argument.children:
                assert f"| `{argument.name}` |" in told[command]


@pytest.mark.parametrize("page", [p for p in map(read_page, PAGES) if "generated:" not in p.text], ids=lambda p: p.name)
def test_every_flag_variable_and_metric_that_a_page_names_exists(page: Page) -> None:
    """Between backticks, but for the pages about benchmarks and decisions, which name flags of other programs.

    What recording rules make of metrics has a colon in its name, and is asked of a Prometheus elsewhere.
    """
    known = flags()
    code = [text for text in page.inline_code if "-m " not in text or "-m scalechat" in text]
    if page.name not in ("docs/performance.md", "docs/decisions.md", "docs/discussion/faults.md"):
        named = {flag for text in code for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
        assert named <= known | OTHERS_FLAGS
    twins = {"SCALECHAT_" + flag.lstrip("-").replace("-", "_").upper() for flag in known}
    assert {name for text in code for name in re.findall(r"SCALECHAT_[A-Z_]*[A-Z]", text)} <= twins
    metrics = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    for name in {name for text in code for name in re.findall(r"(?<![:\w])scalechat_[a-z_]+[a-z]", text)}:
        assert re.search(rf"`{re.sub('_(bucket|count|sum|gsum|gcount)$', '', name)}`", metrics), name


def exit_codes() -> dict[str, set[int]]:
    """Command → the codes in its column of the table."""
    lines = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    (heading,) = (row for row in rows if row[0] == "code")
    coded = [row for row in rows if row[0].isdigit()]
    return {
        command: {int(row[0]) for row in coded if row[column]}
        for column, commands in enumerate(heading)
        for command in re.findall(r"`(\w+)`", commands)
    }


def test_exit_codes_in_the_table_are_those_of_the_code() -> None:
    """For each command: 0, what went wrong, and its own."""
    always = {0, OperationalError("").exit_code, UsageError.exit_code}
    load = {code for name, code in vars(verdict).items() if name.startswith("EXIT_")}
    assert exit_codes() == {
        "serve": always,
        "load": always | load,
        "demo": always | load,
        "capacity": always | {code for _, code in record._VERDICTS.values()},
        "compare": always | {comparing.EXIT_WORSE},
        "experiment": always | {experiment.EXIT_NOT_SEEN, experiment.EXIT_INTERRUPTED},
    }
