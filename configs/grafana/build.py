"""``python -m configs.grafana.build``, from the top of the repository: writes the dashboards that Grafana loads.

A panel is a few lines in a page's module (`overview`, `fanout`, …); the JSON beside them is made from these and not
edited. A test holds the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from configs.grafana.connections import CONNECTIONS
from configs.grafana.containers import CONTAINERS
from configs.grafana.fanout import FANOUT_AND_QUEUES
from configs.grafana.load_client import LOAD_CLIENT
from configs.grafana.nodes import NODES_AND_REDIS
from configs.grafana.overview import OVERVIEW
from configs.grafana.render import render

DASHBOARDS: Final = Path(__file__).parent / "dashboards"
PAGES: Final = {
    "overview.json": OVERVIEW,
    "fanout.json": FANOUT_AND_QUEUES,
    "connections.json": CONNECTIONS,
    "nodes.json": NODES_AND_REDIS,
    "load-client.json": LOAD_CLIENT,
    "containers.json": CONTAINERS,
}
BY_NAME: Final = {name.removesuffix(".json"): page for name, page in PAGES.items()}
"""What commands call them."""


def main() -> None:
    """Write every file."""
    for name, page in PAGES.items():
        (DASHBOARDS / name).write_text(render(page), encoding="utf-8")


if __name__ == "__main__":
    main()
