"""The image and the compose file say what they should, checked by Compose itself; no engine needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scalechat.cli import main
from scalechat.config import ServeConfig
from tests.stack.files import PROMETHEUS, ROOT, At, compose, read_yaml

MIB = 1024 * 1024
ORIGINAL_NAMES = {
    "SCALECHAT_SERVER_URL": "ws://other:9000/ws",
    "SCALECHAT_CLIENTS": "7",
    "SCALECHAT_MSG_FREQUENCY": "250",
    "SCALECHAT_MSG_SIZE": "uniform:64-1024",
    "SCALECHAT_DURATION": "12",
}


@pytest.fixture(scope="module")
def services() -> At:
    return compose()["services"]


def environment(service: At) -> dict[str, str | None]:
    return {name: None if value.node is None else value.text for name, value in service["environment"].items()}


def settings_of(command: str, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What `command` understands, by variable, and where each value came from."""
    assert main([command, "--print-config"], environ) == 0
    lines = re.findall(r"^(?:# )?(\w+) = .*# (.+)$", capsys.readouterr().out, flags=re.MULTILINE)
    return {f"SCALECHAT_{key.upper()}": source for key, source in lines}


def dockerfile(instruction: str) -> list[str]:
    """The arguments of every such instruction of the final stage, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    final = text[text.rindex("\nFROM ") :]
    return re.findall(rf"^{instruction} +(.+)$", final, flags=re.MULTILINE)


def test_the_server_runs_in_a_box_with_walls(services: At) -> None:
    """The server's CPU, memory, swap, processes and descriptors are bounded."""
    server = services["server"]
    assert server["cpus"].number == 1
    assert server["mem_limit"].text == str(512 * MIB)
    assert server["memswap_limit"].text == server["mem_limit"].text
    assert server["pids_limit"].number > 0
    nofile = server["ulimits"]["nofile"]
    assert nofile.node == {"soft": 65536, "hard": 65536}


def test_the_box_can_be_made_smaller() -> None:
    """The limits come from the environment of whoever starts it."""
    server = compose({"SERVER_CPUS": "0.5", "SERVER_MEMORY": "64m", "SERVER_NOFILE": "256"})["services"]["server"]
    assert server["cpus"].number == 0.5
    assert server["mem_limit"].text == server["memswap_limit"].text == str(64 * MIB)
    assert server["ulimits"]["nofile"].node == {"soft": 256, "hard": 256}


@pytest.mark.parametrize("name", ["server", "node", "redis", "balancer", "load", "prometheus", "grafana"])
def test_containers_hold_no_privilege(services: At, name: str) -> None:
    """Root file system read-only, no capability, no way to gain one."""
    service = services[name]
    assert service["read_only"].node is True
    assert service["cap_drop"].texts == ["ALL"]
    assert service["security_opt"].texts == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_the_image_does_not_run_as_root() -> None:
    """The last word of the Dockerfile about the user is a number that is not 0."""
    (user,) = dockerfile("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_serves_unless_told_otherwise() -> None:
    """Entry point and command start the server; a docker stop arrives as SIGTERM."""
    assert dockerfile("ENTRYPOINT") == ['["python", "-m", "scalechat"]']
    assert dockerfile("CMD") == ['["serve"]']
    assert dockerfile("STOPSIGNAL") == ["SIGTERM"]
    (healthcheck,) = dockerfile("HEALTHCHECK")
    assert "/healthz" in healthcheck


@pytest.mark.parametrize("command", ["serve", "load", "chat", "demo"])
def test_every_command_accepts_the_variables_of_the_image(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One image for all: what it sets for the server must not stop another command."""
    pairs = dict(re.findall(r"(SCALECHAT_\w+)=(\S+)", " ".join(dockerfile("ENV"))))
    assert pairs
    settings_of(command, pairs, capsys)


def test_one_image_is_server_and_load_client(services: At) -> None:
    """Both are built from the same place under the same name."""
    server, load = services["server"], services["load"]
    assert server["image"].text == load["image"].text
    assert server["build"].node == load["build"].node
    assert server["command"].texts == ["serve"]
    assert load["command"].texts == ["load"]


@pytest.mark.parametrize("name, command", [("server", "serve"), ("node", "serve"), ("load", "load")])
def test_every_variable_passed_on_is_one_the_command_reads(
    services: At, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt variable in the compose file would stop the container; here it stops the test."""
    passed = environment(services[name])
    given = {name: value for name, value in passed.items() if value is not None}
    known = settings_of(command, given, capsys)
    assert set(passed) <= set(known)
    assert {name for name, source in known.items() if source == "environment"} == set(given)


def test_the_load_client_is_driven_by_the_original_names() -> None:
    """The five variables of the project's origin reach the load client as they are."""
    load = compose(ORIGINAL_NAMES)["services"]["load"]
    assert environment(load).items() >= ORIGINAL_NAMES.items()


def test_load_can_be_scaled(services: At) -> None:
    """Nothing of the load service can exist only once: no name, no published port; it starts only when asked for."""
    load = services["load"]
    assert "container_name" not in load
    assert "ports" not in load
    assert load["profiles"].texts == ["load"]
    assert load["depends_on"]["server"]["condition"].text == "service_healthy"


def test_ports_are_published_on_loopback_only(services: At) -> None:
    """Read-only pages are open inside the stack, so nobody else may reach it."""
    for name, service in services.items():
        for port in service.each("ports"):
            assert port["host_ip"].text == "127.0.0.1", name


def test_several_nodes_share_one_bus_behind_one_address(services: At) -> None:
    """Three by default, none with a port or a name of its own; a Redis that keeps what was acknowledged."""
    node, redis, balancer = services["node"], services["redis"], services["balancer"]
    assert node["scale"].number == 3
    assert "ports" not in node
    assert "container_name" not in node
    assert environment(node)["SCALECHAT_BUS"] == "redis://redis:6379"
    assert node["depends_on"]["redis"]["condition"].text == "service_healthy"
    command = redis["command"].texts
    assert command[command.index("--appendfsync") + 1] == "always"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert [port["target"].number for port in balancer["ports"]] == [8080]
    routes = (ROOT / "configs" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    assert f"node 3 node:{ServeConfig().port}" in routes
    assert {services[name]["profiles"].texts[0] for name in ("node", "redis", "balancer")} == {"nodes"}


@pytest.mark.parametrize("name", ["server", "node"])
def test_the_engine_waits_longer_than_a_drain(services: At, name: str) -> None:
    """docker stop kills after the grace period; the server's farewell must be over by then."""
    grace = services[name]["stop_grace_period"].text
    assert float(grace.removesuffix("s")) > ServeConfig().drain_s


def test_every_mounted_file_of_ours_exists(services: At) -> None:
    """A bind mount of a missing path becomes an empty directory of root's."""
    sources = [
        Path(volume["source"].text)
        for _, service in services.items()
        for volume in service.each("volumes")
        if volume["type"].text == "bind"
    ]
    ours = [path for path in sources if path.is_relative_to(ROOT)]
    assert ours
    assert [path for path in ours if not path.exists()] == []


def test_images_of_others_are_pinned(services: At) -> None:
    """The stack of today is the stack of next year."""
    for name, service in services.items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"].text), name


def test_prometheus_looks_for_services_that_exist(services: At) -> None:
    """Each scrape target is a service of the compose file, at the port where it has its metrics."""
    jobs = read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    targets: dict[str, int] = {}
    for job in jobs:
        for dns in job.each("dns_sd_configs"):
            targets |= dict.fromkeys(dns["names"].texts, int(dns["port"].number))
    assert targets == {
        "server": ServeConfig().port,
        "node": ServeConfig().port,
        "load": int(environment(services["load"])["SCALECHAT_METRICS_PORT"] or 0),
    }
    assert set(targets) <= {name for name, _ in services.items()}
