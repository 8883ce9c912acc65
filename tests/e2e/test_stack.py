"""A real Prometheus scrapes a real server under a real load: panels, rules and the report have their figures."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scalechat.analysis.report import write_prometheus
from tests.conftest import ServeProcess, clean_environ, eventually
from tests.stack.cadvisor import serving_cadvisor
from tests.stack.files import DASHBOARDS, RULES, read_json, read_yaml
from tests.stack.prometheus import Prometheus, running_prometheus

CLIENTS = 20
# What Grafana would put in: at least four scrapes, the time range shown, everything chosen.
VARIABLES = {"$__rate_interval": "5s", "$__range": "1m", "$instance": ".+", "$service": ".+"}


def filled_in(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def panel_expressions() -> dict[str, str]:
    """Expression by dashboard and panel; also what each variable offers to choose from."""
    found: dict[str, str] = {}
    for path in DASHBOARDS:
        dashboard = read_json(path)
        for panel in dashboard["panels"]:
            for target in panel.each("targets"):
                found[f"{path.name}: {panel['title'].text}: {target['legendFormat'].text}"] = filled_in(
                    target["expr"].text
                )
        for variable in dashboard["templating"]["list"]:
            if "definition" in variable:
                query = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"].text)
                assert query, variable
                found[f"{path.name}: ${variable['name'].text}"] = f'{query[1]}{{{query[2]}!=""}}'
    return found


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


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_load(ws_url: str, metrics_port: int, out: Path) -> Iterator[None]:
    """A load run that goes on until the block ends."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "scalechat", "load", "--quiet"),
            *("--server-url", ws_url, "--clients", str(CLIENTS), "--rooms", "2", "--msg-frequency", "100"),
            *("--warmup", "0.5", "--duration", "300", "--drain-timeout", "1"),
            *("--metrics-port", str(metrics_port), "--out", str(out)),
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


def test_every_panel_every_rule_and_the_report_have_data(
    serve_process: ServeProcess, require_binary: Callable[[str, str], str], tmp_path: Path
) -> None:
    """On a healthy server every expression yields a number, every rule is healthy, no alert fires."""
    binary = require_binary("prometheus", "apt install prometheus")
    server = serve_process()
    load_port, own_port = unused_port(), unused_port()
    with (
        serving_cadvisor() as cadvisor,
        running_load(server.ws_url, load_port, tmp_path / "runs"),
        running_prometheus(
            binary,
            tmp_path,
            own_port,
            {
                "scalechat": f"127.0.0.1:{server.port}",
                "load": f"127.0.0.1:{load_port}",
                "cadvisor": cadvisor,
                "prometheus": f"127.0.0.1:{own_port}",
            },
        ) as prometheus,
    ):
        empty = panel_expressions() | rule_expressions()

        def all_have_shown_data() -> bool:
            for name in [name for name, expr in empty.items() if prometheus.values(expr)]:
                del empty[name]
            return not empty

        try:
            eventually(all_have_shown_data, "every expression has data", within_s=60)
        except pytest.fail.Exception:
            pytest.fail("without data: " + "; ".join(f"{name} = {expr}" for name, expr in empty.items()))

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


def the_report_says_the_same(prometheus: Prometheus, page: Path) -> None:
    """The notebook is really executed: both sides are in it. What was at its limit is a busy machine's business."""
    text = write_prometheus(prometheus.url, 2, "", page).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"1 server with {CLIENTS} clients" in text
    assert text.count("<figure>") == 3
    assert "nothing was measured" not in text
    assert "Load clients got" in text
    assert "Nothing was at its limit" in text or 'class="findings"' in text
