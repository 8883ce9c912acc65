"""The dashboards' files hold together: made from their source, laid out without overlap, nothing left unnamed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from configs.grafana.build import PAGES
from configs.grafana.layout import COLUMNS
from configs.grafana.render import DOCS_URL, render
from tests.stack.files import DASHBOARDS, DOCS, GRAFANA, At, Node, anchors, compose, read_json, read_yaml

# What Grafana reads and its published model leaves out: fields of the Prometheus plug-in's annotations, what an editor
# shows of a variable, and the heatmap's tooltip of Grafana 10.3 and later.
BEYOND_THE_MODEL = re.compile(
    r"\.annotations\.list\[0\]\.(titleFormat|textFormat|step)|\.templating\.list\[\d\]\.definition"
    r"|\.panels\[\d+\]\.options\.tooltip\.mode"
)
BUILT_IN = {"__rate_interval", "__range"}

each_dashboard = pytest.mark.parametrize(
    "dashboard", [read_json(path) for path in DASHBOARDS], ids=lambda read: read.path
)


def pictures(dashboard: At) -> list[At]:
    return [panel for panel in dashboard["panels"] if panel["type"].text != "row"]


def test_files_are_what_their_source_makes() -> None:
    """A change goes into configs/grafana/*.py; `python -m configs.grafana.build` writes the files."""
    assert {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS} == {
        name: render(page) for name, page in PAGES.items()
    }


def test_addresses_are_fixed_and_differ() -> None:
    """People keep links to dashboards: /d/UID."""
    assert {read_json(path)["uid"].text for path in DASHBOARDS} == {
        f"scalechat-{name}" for name in ("overview", "fanout", "connections", "nodes", "load", "containers")
    }


def lost(written: Node, read: Node, path: str = "") -> Iterator[str]:
    """Where `read` has not all that `written` has."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            if key in read:
                yield from lost(value, read[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for index, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif written != read:
        yield path


@each_dashboard
def test_grafana_knows_every_field(dashboard: At) -> None:
    """Read by Grafana's own typed model and written back, nothing is gone: a misspelt option would be."""
    register_default_plugins()
    assert isinstance(dashboard.node, dict)
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard.node)))
    assert [path for path in lost(dashboard.node, read) if not BEYOND_THE_MODEL.fullmatch(path)] == []


@each_dashboard
def test_links_lead_to_pages_that_exist(dashboard: At) -> None:
    """Each panel's cure and each page's catalogue is a file below docs/, served where the variable `docs` says."""
    links = [link for panel in pictures(dashboard) for link in panel.each("links")]
    links += [link for link in dashboard["links"] if "url" in link]
    assert links
    for link in links:
        base, _, path = link["url"].text.partition("/")
        assert base == "${docs}"
        path, _, anchor = path.partition("#")
        assert (DOCS / path).is_file(), link["url"].text
        assert not anchor or anchor in anchors(DOCS / path), link["url"].text


def test_prometheus_serves_what_the_links_name() -> None:
    """docker-compose.yaml mounts docs/ where Prometheus serves its user's files, under the address that links have."""
    prometheus = compose()["services"]["prometheus"]
    (folder,) = (
        volume["target"].text
        for volume in prometheus["volumes"]
        if "source" in volume and volume["source"].text == str(DOCS)
    )
    assert f"--web.user-assets={folder}" in prometheus["command"].texts
    (external,) = (flag for flag in prometheus["command"].texts if flag.startswith("--web.external-url="))
    assert f"{external.partition('=')[2]}/user" == DOCS_URL


@each_dashboard
def test_every_panel_has_its_own_number(dashboard: At) -> None:
    """Grafana links to panels, and finds them again, by id."""
    ids = [panel["id"].number for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@each_dashboard
def test_panels_neither_overlap_nor_leave_the_page(dashboard: At) -> None:
    """Each cell of the grid belongs to one panel at most."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        x, y, w, h = (int(panel["gridPos"][key].number) for key in "xywh")
        assert 0 <= x < x + w <= COLUMNS, panel
        cells = set(itertools.product(range(x, x + w), range(y, y + h)))
        assert not cells & taken, panel
        taken |= cells


@each_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(dashboard: At) -> None:
    """Title, description, unit, source of data, and a name for each line."""
    for panel in pictures(dashboard):
        assert panel["title"].text
        assert re.search(r"[.?]$", panel["description"].text), panel
        assert panel["fieldConfig"]["defaults"]["unit"].text
        assert panel["datasource"]["uid"].text == "${datasource}"
        references = [target["refId"].text for target in panel["targets"]]
        assert references == sorted(set(references))
        for target in panel["targets"]:
            assert target["legendFormat"].text
            assert target["datasource"]["uid"].text == "${datasource}"


@each_dashboard
def test_expressions_use_only_variables_that_exist(dashboard: At) -> None:
    """A misspelt variable would match nothing and look like silence."""
    defined = {variable["name"].text for variable in dashboard["templating"]["list"]} | BUILT_IN
    for panel in pictures(dashboard):
        for target in panel["targets"]:
            assert set(re.findall(r"\$\{?(\w+)", target["expr"].text)) <= defined, panel


def test_provisioning_finds_prometheus_and_the_files() -> None:
    """Data source, dashboards' folder and home page are where the compose file puts them."""
    (source,) = read_yaml(GRAFANA / "provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = read_yaml(GRAFANA / "provisioning/dashboards/scalechat.yml")["providers"]
    grafana = compose()["services"]["grafana"]
    folder = provider["options"]["path"].text
    assert folder in {volume["target"].text for volume in grafana["volumes"]}
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].text
    assert home in {f"{folder}/{path.name}" for path in DASHBOARDS}
    assert source["url"].text == "http://prometheus:9090"
    for path in DASHBOARDS:
        (variable,) = (v for v in read_json(path)["templating"]["list"] if v["type"].text == "datasource")
        assert variable["current"]["value"].text == source["uid"].text
