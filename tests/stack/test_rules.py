"""Prometheus' own tool accepts the configuration, and every alert has been seen to fire and to stay quiet."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.prometheus.alerts import DOCS_URL, PAGE, page
from tests.stack.files import DOCS, PROMETHEUS, RULES, At, anchors, read_yaml

STORIES = Path(__file__).with_name("alerts.yml")


@pytest.fixture
def promtool(require_binary: Callable[[str, str], str]) -> Callable[..., None]:
    path = require_binary("promtool", "apt install prometheus")

    def run(*arguments: str | Path) -> None:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def rules(kind: str) -> list[At]:
    return [rule for path in RULES for group in read_yaml(path)["groups"] for rule in group["rules"] if kind in rule]


def test_prometheus_accepts_configuration_and_rules(promtool: Callable[..., None]) -> None:
    """promtool finds no fault, not even one of style."""
    promtool("check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")


def test_every_story_ends_in_its_alert(promtool: Callable[..., None]) -> None:
    """The stories of alerts.yml raise exactly the alerts they say, labels and words included."""
    promtool("test", "rules", STORIES)


def test_every_alert_has_a_story_and_its_opposite() -> None:
    """Each alert fires in one story and is looked for in vain on the healthy system."""
    fires, quiet = set(), set()
    for number, story in enumerate(read_yaml(STORIES)["tests"]):
        for check in story["alert_rule_test"]:
            name = check["alertname"].text
            if "exp_alerts" in check:
                fires.add(name)
            elif number == 0:
                quiet.add(name)
    alerts = {rule["alert"].text for rule in rules("alert")}
    assert fires == alerts
    assert quiet == alerts


def test_every_alert_compares_a_figure_with_a_bound() -> None:
    """`figure > bound`: then the figure can be asked for on a healthy system, where the alert itself is empty."""
    for rule in rules("alert"):
        assert re.fullmatch(r".+ [<>] [\d.]+", rule["expr"].text), rule


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    """A person reads a severity, what happened and what it means."""
    for rule in rules("alert"):
        assert rule["labels"]["severity"].text in {"warning", "critical"}
        assert rule["annotations"]["summary"].text
        assert rule["annotations"]["description"].text


def test_every_alert_leads_to_a_problem_of_the_catalogue_and_a_heading_that_exists() -> None:
    """Whoever is woken at night finds behind the link what it looks like, why it is so and what to do."""
    for rule in rules("alert"):
        url = rule["annotations"]["runbook_url"].text
        assert url.startswith(f"{DOCS_URL}scale-problems/"), rule
        assert not url.endswith("README.md"), rule
        path, _, anchor = url.removeprefix(DOCS_URL).partition("#")
        assert (DOCS / path).is_file(), url
        assert not anchor or anchor in anchors(DOCS / path), url


def test_the_reference_lists_the_rules_as_they_are() -> None:
    """`python -m configs.prometheus.alerts` writes the table."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text
    assert all(f"`{rule['alert'].text}`" in text for rule in rules("alert"))
