"""A real Prometheus for a test: our configuration with other addresses and a faster clock."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from configs.grafana.asking import Prometheus as Asked
from tests.conftest import eventually
from tests.stack.files import DOCS, PROMETHEUS, At, Node, read_yaml

CONFIG: Final = PROMETHEUS / "prometheus.yml"
STOP_S: Final = 20.0


def faster_and_elsewhere(targets: Mapping[str, list[str]]) -> Node:
    """Our configuration scraped every second, each job pointed at ``targets[job]`` instead of containers."""
    config = read_yaml(CONFIG).node
    assert isinstance(config, dict)
    jobs: list[Node] = []
    for job in At(config)["scrape_configs"]:
        assert isinstance(job.node, dict)
        kept = {key: value for key, value in job.node.items() if not key.endswith("_sd_configs")}
        addresses: list[Node] = [*targets[job["job_name"].text]]
        jobs.append({**kept, "static_configs": [{"targets": addresses}]})
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / pattern.text) for pattern in At(config)["rule_files"]],
        "scrape_configs": jobs,
    }


class Prometheus:
    """What can be asked of a running one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> At:
        """The ``data`` of an answer of the HTTP API."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
                return At(json.load(answer), path)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def asked_as(self, **chosen: str) -> Asked:
        """The same one, asked as a page asks with these choices and a scrape every second."""
        return Asked(self.url, chosen, rate_s=5, shown_s=60)

    def values(self, expr: str) -> list[float]:
        """The value of each series that `expr` yields now."""
        return self.asked_as().now(expr)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def running_prometheus(binary: str, folder: Path, port: int, targets: Mapping[str, list[str]]) -> Iterator[Prometheus]:
    """A Prometheus that keeps everything in `folder`; it ends with the block."""
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(yaml.safe_dump(faster_and_elsewhere(targets)), encoding="utf-8")
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--web.user-assets={DOCS}",
            ],
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            return prometheus.is_ready()

        eventually(answers, "Prometheus is ready", within_s=30)
        yield prometheus
    finally:
        process.terminate()
        process.wait(STOP_S)
