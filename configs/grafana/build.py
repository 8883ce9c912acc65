"""``python -m configs.grafana.build``, from the top of the repository: writes the dashboards that Grafana loads.

A panel is a few lines in `overview` or `containers`; the JSON beside them is made from these and not edited. A test
holds the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from configs.grafana.containers import CONTAINERS
from configs.grafana.overview import OVERVIEW
from configs.grafana.render import render

DASHBOARDS: Final = Path(__file__).parent / "dashboards"
PAGES: Final = {"overview.json": OVERVIEW, "containers.json": CONTAINERS}


def main() -> None:
    """Write every file."""
    for name, page in PAGES.items():
        (DASHBOARDS / name).write_text(render(page), encoding="utf-8")


if __name__ == "__main__":
    main()
