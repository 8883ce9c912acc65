"""The JSON Schema of scenario files says what the command line accepts, and the scenarios we ship are valid by both."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from scalechat.cli import main
from scalechat.scenario import Step
from scalechat.scenario_schema import scenario_schema_text

SHIPPED = Path(__file__).parents[1] / "scalechat" / "schemas" / "scenario.schema.json"
CONFIGS = Path(__file__).parents[1] / "configs"
SCENARIOS = sorted((*CONFIGS.glob("scenarios/*.toml"), *CONFIGS.glob("targets/*.toml")))


def test_the_shipped_schema_is_that_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """`load --scenario-schema` prints the very file that the scenarios refer to."""
    assert main(["load", "--scenario-schema"], {}) == 0
    assert capsys.readouterr().out == scenario_schema_text() == SHIPPED.read_text(encoding="utf-8")
    Draft202012Validator.check_schema(json.loads(scenario_schema_text()))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_we_ship_is_valid(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the schema an editor sees, which it names, and by the command line."""
    text = path.read_text(encoding="utf-8")
    directive = text.splitlines()[0].removeprefix("#:schema ")
    assert (path.parent / directive).resolve() == SHIPPED.resolve()
    Draft202012Validator(json.loads(scenario_schema_text())).validate(tomllib.loads(text))
    assert main(["load", "--scenario", str(path), "--print-config"], {}) == 0


@pytest.mark.parametrize(
    "path", [path for path in SCENARIOS if path.parent.name == "scenarios"], ids=lambda path: path.stem
)
def test_each_scenario_says_what_it_is_for_how_to_run_it_and_what_one_learns(path: Path) -> None:
    """At its head, where whoever opens it reads; and the settings' page lists it."""
    head = path.read_text(encoding="utf-8").partition("\nclients = ")[0]
    command = f"# python -m scalechat load --scenario configs/scenarios/{path.name}\n"
    assert head.index("\n# For: ") < head.index(command) < head.index("\n# Learn: ")
    assert f"`{path.name}`" in (path.parents[2] / "docs/reference/settings.md").read_text(encoding="utf-8")


def test_a_step_at_the_usual_rate_says_so() -> None:
    assert Step(name="day", duration_s=60.0).told == "day: the usual rate for 60 s"
    assert Step(name="night", duration_s=60.0, rate=0.3).told == "night: 0.3 times the usual rate for 60 s"


@pytest.mark.parametrize(
    "text, complaint",
    [
        ('[[kinds]]\nkind = "slo"\nshare = 0.1', "did you mean slow?"),
        ('[[kinds]]\nkind = "probe"\nshar = 0.1', "did you mean share?"),
        ('[[kinds]]\nkind = "probe"\nshare = 1.5', "<= 1.0"),
        ('[[kinds]]\nkind = "probe"', "needs either share or count"),
        ('[[kinds]]\nkind = "probe"\ncount = 3', "3 clients are claimed by [[kinds]] and there are 2"),
        ('publishers = 2\n[[kinds]]\nkind = "reader-only"\ncount = 1', "2 publishers"),
        ('[[events]]\nkind = "pause"\nat_s = 1', "for_s"),
        ('[[phases]]\nname = "drain"\nduration_s = 1', "names of their own"),
        ('duration = 3\n[[phases]]\nname = "a"\nduration_s = 1', "leave --duration out, or give --shorten-to"),
        ("shorten_to = 3", "--shorten-to is for scenarios with [[phases]]"),
        ('shorten_to = 2\n[[phases]]\nname = "a"\nduration_s = 1', "take 1 s: --shorten-to must be less than that"),
        ('[[phase]]\nname = "a"', "did you mean phases?"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the nearest known word where there is one; nothing was connected."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(("clients = 2\n" + text) if "clients" not in text else text, encoding="utf-8")
    assert main(["load", "--scenario", str(scenario), "--server-url", "ws://127.0.0.1:9/ws"], {}) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
