"""A real Prometheus scrapes real servers under a real load: every panel, every rule and the report have
something to show."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.image import imread

from configs.grafana import check, picture
from configs.grafana.build import PAGES
from configs.grafana.check import Finding, without_data
from configs.grafana.model import Page
from configs.grafana.nodes import NODES_AND_REDIS
from scalechat.analysis.report import write_prometheus
from tests.bus.redis_server import HINT, redis_server
from tests.conftest import ServeProcess, clean_environ, eventually
from tests.ports import unused_port
from tests.stack.cadvisor import serving_cadvisor
from tests.stack.files import RULES, read_yaml
from tests.stack.prometheus import Prometheus, running_prometheus

CLIENTS = 20
TROUBLE = """
clients = 40
rooms = 1
msg_frequency = 200
msg_size = "4096"
warmup = 1
duration = 300

[[kinds]]
kind = "slow"
share = 0.1
read_bytes_per_s = 1000

[[events]]
kind = "reconnect_storm"
at_s = 3
share = 0.5
within_s = 1
"""
"""Half of the clients are lost at once, and a tenth of them hardly read."""


def rule_expressions() -> dict[str, str]:
    """What each rule records, and of each alert the figure it compares: the alert itself is empty when all is well."""
    found: dict[str, str] = {}
    for path in RULES:
        for group in read_yaml(path)["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    found[f"{path.name}: {rule['record'].text}"] = rule["record"].text
                else:
                    figure, _, _ = rule["expr"].text.rsplit(" ", 2)
                    found[f"{path.name}: {rule['alert'].text}"] = figure
    return found


@contextmanager
def running_load(*flags: str, metrics_port: int, out: Path) -> Iterator[None]:
    """A load run that goes on until the block ends."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "scalechat", "load", "--quiet", "--drain-timeout", "1"),
            *("--metrics-port", str(metrics_port), "--out", str(out), *flags),
        ],
        env=clean_environ(),
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
        assert process.poll() is None, f"the load client ended with {process.returncode}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


@contextmanager
def scraping(binary: str, folder: Path, *, servers: list[int], load: int) -> Iterator[Prometheus]:
    """A Prometheus over servers and a load client on these ports, and over containers that are not there."""
    own_port = unused_port()
    with serving_cadvisor() as cadvisor:
        targets = {
            "scalechat": [f"127.0.0.1:{port}" for port in servers],
            "load": [f"127.0.0.1:{load}"],
            "cadvisor": [cadvisor],
            "prometheus": [f"127.0.0.1:{own_port}"],
        }
        with running_prometheus(binary, folder, own_port, targets) as prometheus:
            yield prometheus


def eventually_shown(prometheus: Prometheus, pages: list[Page], accepted: Callable[[Finding], bool]) -> None:
    """Wait until every expression of the pages has data, but for those that are `accepted`."""
    asked = prometheus.asked_as()
    missing: list[Finding] = []

    def all_shown() -> bool:
        missing[:] = [finding for finding in without_data(pages, asked) if not accepted(finding)]
        return not missing

    try:
        eventually(all_shown, "every expression has data", within_s=60)
    except pytest.fail.Exception:
        pytest.fail("without data: " + "; ".join(f"{one.where} = {one.expr}" for one in missing))


def test_every_panel_every_rule_and_the_report_have_data(
    serve_process: ServeProcess,
    require_binary: Callable[[str, str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a healthy server without Redis every panel has data or says that there is no Redis, no worker; rules are
    healthy and no alert fires."""
    binary = require_binary("prometheus", "apt install prometheus")
    server, load_port = serve_process(), unused_port()
    flags = ("--server-url", server.ws_url, "--clients", str(CLIENTS), "--rooms", "2", "--msg-frequency", "100")
    with (
        running_load(*flags, "--warmup", "0.5", "--duration", "300", metrics_port=load_port, out=tmp_path / "runs"),
        scraping(binary, tmp_path, servers=[server.port], load=load_port) as prometheus,
    ):
        eventually_shown(prometheus, [*PAGES.values()], lambda finding: bool(finding.said))
        for panel in (panel for page in PAGES.values() for row in page.rows for panel in row.panels if panel.without):
            assert not any(prometheus.asked_as().now(series.expr) for series in panel.series), panel.title

        rules = rule_expressions()
        eventually(lambda: all(prometheus.values(expr) for expr in rules.values()), f"data for all of {rules}")

        def sees_every_client() -> bool:
            return prometheus.values('sum(scalechat_connections{dialect!="http"})') == [CLIENTS]

        eventually(sees_every_client, f"the server says that it has {CLIENTS} WebSockets")
        assert prometheus.values("up") == [1, 1, 1, 1]
        for group in prometheus.ask("rules")["groups"]:
            for rule in group["rules"]:
                assert rule["health"].text == "ok", rule["lastError"].text
                if rule["type"].text == "alerting":
                    assert rule["state"].text != "firing", rule["name"].text
        the_report_says_the_same(prometheus, tmp_path / "report.html")

        assert check.main(["--prometheus", prometheus.url, "--page", "nodes"]) == 0
        assert re.search(r"says why .*Redis round trip: p99  No Redis", capsys.readouterr().out)


def test_the_pages_show_trouble_on_many_nodes(
    serve_process: ServeProcess, require_binary: Callable[[str, str], str], tmp_path: Path
) -> None:
    """Two nodes on a Redis, one of them of two workers, a reconnect storm and slow clients: no panel is empty, those
    of losses count some, and the alert's link opens its page."""
    binary = require_binary("prometheus", "apt install prometheus")
    scenario, load_port = tmp_path / "trouble.toml", unused_port()
    scenario.write_text(TROUBLE, encoding="utf-8")
    with redis_server(require_binary("redis-server", HINT)) as redis:
        node = ("--bus", redis.url, "--drain", "1", "--queue-age", "1", "--queue-bytes", "65536")
        several, single = serve_process(*node, "--workers", "2"), serve_process(*node)
        flags = ("--server-url", several.ws_url, "--scenario", str(scenario))
        with (
            running_load(*flags, metrics_port=load_port, out=tmp_path / "runs"),
            scraping(binary, tmp_path, servers=[several.port, single.port], load=load_port) as prometheus,
        ):
            eventually_shown(prometheus, [*PAGES.values()], lambda _: False)
            asked = prometheus.asked_as(job="scalechat")
            for row in NODES_AND_REDIS.rows:
                for panel in row.panels:
                    if panel.title in {"Nodes up", "Nodes over Redis", "Workers up"}:
                        assert asked.now(panel.series[0].expr) == [2], panel.title

            def has_suffered() -> bool:
                lost = 'sum(scalechat_closes_total{reason="lost"})'
                slow = 'sum(scalechat_evictions_total{reason=~"queue_.+"})'
                return all(sum(prometheus.values(expr)) > 0 for expr in (lost, slow))

            eventually(has_suffered, "clients were lost in a storm and cut off for reading too slowly")
            picture.main(
                ["--prometheus", prometheus.url, "--out", str(tmp_path), "--minutes", "0.3", "--page", "fanout"]
            )
            assert imread(tmp_path / "grafana-fanout.png").std() > 0.05
            firing = 'ALERTS{alertname="ScalechatEvictions",alertstate="firing"}'
            eventually(lambda: bool(prometheus.values(firing)), "the alert of evictions fires")
            links = [
                alert["annotations"]["runbook_url"].text
                for alert in prometheus.ask("alerts")["alerts"]
                if alert["labels"]["alertname"].text == "ScalechatEvictions"
            ]
            for link in links:
                path = "/user/" + link.partition("/user/")[2]
                with urllib.request.urlopen(prometheus.url + path, timeout=10) as page:
                    assert page.read().startswith(b"# Memory that grows with slow consumers")


def the_report_says_the_same(prometheus: Prometheus, page: Path) -> None:
    """The notebook is really executed: both sides are in it. What was at its limit is a busy machine's business."""
    text = write_prometheus(prometheus.url, 2, "", page).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"1 server with {CLIENTS} clients" in text
    assert text.count("<figure>") == 3
    assert "nothing was measured" not in text
    assert "Load clients got" in text
    assert "Nothing was at its limit" in text or 'class="findings"' in text
