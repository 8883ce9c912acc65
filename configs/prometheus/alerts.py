"""``python -m configs.prometheus.alerts``: writes the table of docs/reference/alerts.md from the rules themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "reference" / "alerts.md"
DOCS_URL: Final = "{{ $externalURL }}/user/"
"""What a rule's runbook_url begins with: the Prometheus of docker-compose.yaml serves docs/ there."""
_TABLE: Final = re.compile(r"(?<=<!-- alerts -->\n).*?(?=<!-- /alerts -->)", re.DOTALL)


class _Rule(msgspec.Struct, frozen=True):
    expr: str
    alert: str = ""
    wait: str = msgspec.field(default="at once", name="for")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Group(msgspec.Struct, frozen=True):
    rules: list[_Rule]


class _File(msgspec.Struct, frozen=True):
    groups: list[_Group]


def _alerts() -> Iterator[_Rule]:
    for path in sorted((HERE / "rules").glob("*.yml"), reverse=True):
        for group in msgspec.yaml.decode(path.read_bytes(), type=_File).groups:
            yield from (rule for rule in group.rules if rule.alert)


def table() -> str:
    """A line for each alert: when it fires, how bad that is, and the page that helps."""
    lines = ["| alert | fires when | for | severity | what to do |", "|---|---|---|---|---|"]
    for rule in _alerts():
        target = rule.annotations["runbook_url"].removeprefix(DOCS_URL)
        name = target.rpartition("/")[2].partition("#")[0].removesuffix(".md")
        condition = rule.expr.replace("|", r"\|")
        link = f"[{name}](../{target})"
        lines.append(f"| `{rule.alert}` | `{condition}` | {rule.wait} | {rule.labels['severity']} | {link} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with a fresh table."""
    return _TABLE.sub(lambda _: table(), text)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
