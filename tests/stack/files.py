"""The stack's own files, read as the programs read them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import yaml

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "configs" / "prometheus"
DOCS: Final = ROOT / "docs"
GRAFANA: Final = ROOT / "configs" / "grafana"
RULES: Final = sorted((PROMETHEUS / "rules").glob("*.yml"))
DASHBOARDS: Final = sorted((GRAFANA / "dashboards").glob("*.json"))

Node: TypeAlias = "dict[str, Node] | list[Node] | str | int | float | bool | None"


class At:
    """A step into a parsed file that fails where the file is not what it should be."""

    def __init__(self, node: Node, path: str = "$") -> None:
        self.node, self.path = node, path

    def __repr__(self) -> str:
        return f"At({self.path})"

    def __getitem__(self, key: str) -> At:
        assert isinstance(self.node, dict), f"{self.path} is no mapping"
        assert key in self.node, f"{self.path} has no {key}"
        return At(self.node[key], f"{self.path}.{key}")

    def __contains__(self, key: str) -> bool:
        return isinstance(self.node, dict) and key in self.node

    def __iter__(self) -> Iterator[At]:
        assert isinstance(self.node, list), f"{self.path} is no list"
        return (At(node, f"{self.path}[{index}]") for index, node in enumerate(self.node))

    def items(self) -> Iterator[tuple[str, At]]:
        assert isinstance(self.node, dict), f"{self.path} is no mapping"
        return ((key, self[key]) for key in self.node)

    def each(self, key: str) -> Iterator[At]:
        """The items of a list that may be missing."""
        return iter(self[key]) if key in self else iter(())

    @property
    def text(self) -> str:
        assert isinstance(self.node, str), f"{self.path} is no text: {self.node!r}"
        return self.node

    @property
    def number(self) -> float:
        assert isinstance(self.node, int | float), f"{self.path} is no number: {self.node!r}"
        return float(self.node)

    @property
    def texts(self) -> list[str]:
        return [item.text for item in self]


def read_yaml(path: Path) -> At:
    return At(yaml.safe_load(path.read_text(encoding="utf-8")), path.name)


def read_json(path: Path) -> At:
    return At(json.loads(path.read_text(encoding="utf-8")), path.name)


def anchors(page: Path) -> set[str]:
    """What a link into a Markdown page may name: its headings as forges make addresses of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def compose(environ: Mapping[str, str] | None = None) -> At:
    """docker-compose.yaml as Compose itself resolves it, all profiles included, under just these variables."""
    done = subprocess.run(
        [
            Path(sysconfig.get_path("scripts")) / "docker-compose",
            *("--project-directory", ROOT, "--env-file", os.devnull, "--profile", "*", "config", "--format", "json"),
        ],
        env={"PATH": os.environ["PATH"], "DOCKER_CONFIG": "/nonexistent", **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return At(json.loads(done.stdout), "compose")
