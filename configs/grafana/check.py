"""``python -m configs.grafana.check --prometheus URL``: does every panel have something to show there?

Asks Prometheus everything that the dashboards ask it. Ends with 0 when each panel has data or says itself why it has
none (no Redis, no workers), with 1 when one would stay empty, with 2 when Prometheus does not answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from configs.grafana.asking import NoAnswer, Prometheus
from configs.grafana.build import BY_NAME
from configs.grafana.model import Page


@dataclass(frozen=True, slots=True)
class Finding:
    """One expression of a page without data now. `said` is what the panel tells instead; "" for nothing."""

    where: str
    expr: str
    said: str


def questions(page: Page) -> Iterator[Finding]:
    """All that a page asks, as what would be found if nothing had data."""
    for choice in page.choices:
        yield Finding(f"{page.title}: ${choice.variable}", f"count by ({choice.label}) ({choice.metric})", "")
    for row in page.rows:
        for panel in row.panels:
            for series in panel.series:
                yield Finding(f"{page.title}: {panel.title}: {series.legend}", series.expr, panel.without)


def without_data(pages: Sequence[Page], prometheus: Prometheus) -> list[Finding]:
    """Every expression that yields no number."""
    return [asked for page in pages for asked in questions(page) if not prometheus.now(asked.expr)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, print what is empty, and say how it ended."""
    parser = argparse.ArgumentParser(prog="python -m configs.grafana.check", description=__doc__.partition("\n")[0])
    parser.add_argument("--prometheus", metavar="URL", default="http://localhost:9090", help="default %(default)s")
    parser.add_argument("--page", action="append", choices=sorted(BY_NAME), help="only this one; may be given again")
    parser.add_argument("--instance", metavar="REGEX", default=".+", help="only these servers; default all")
    asked = parser.parse_args(arguments)
    pages = [BY_NAME[name] for name in asked.page or BY_NAME]
    try:
        found = without_data(pages, Prometheus(asked.prometheus, {"instance": asked.instance}))
    except NoAnswer as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for finding in found:
        print(f"{'says why' if finding.said else 'EMPTY   '}  {finding.where}  {finding.said or finding.expr}")
    empty = sum(not finding.said for finding in found)
    total = sum(1 for page in pages for _ in questions(page))
    print(f"{total} expressions: {total - len(found)} with data, {len(found) - empty} say why not, {empty} empty")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
