"""The Kubernetes manifests say what they should: by the API's own schemas, and by our own settings."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml

from scalechat.config import ServeConfig
from tests.stack.files import ROOT, At
from tests.stack.test_compose import settings_of

MANIFESTS = sorted((ROOT / "configs" / "kubernetes").glob("*.yaml"))
RESOURCES = {
    (document["kind"], document["metadata"]["name"]): document
    for path in MANIFESTS
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
}
API = "1.31"
"""A version that is in service; newer ones keep these kinds."""


def resource(kind: str, name: str) -> At:
    return At(RESOURCES[kind, name], f"{kind} {name}")


def container(kind: str, name: str) -> At:
    (only,) = resource(kind, name)["spec"]["template"]["spec"]["containers"]
    return only


def environment() -> dict[str, str]:
    """What the server is given, secrets by what they could be."""
    given = {}
    for variable in container("Deployment", "scalechat")["env"]:
        name = variable["name"].text
        given[name] = variable["value"].text if "value" in variable else "redis://redis:6379"
    return given


@pytest.mark.parametrize("key", RESOURCES, ids="-".join)
def test_every_manifest_is_one_the_api_takes(key: tuple[str, str]) -> None:
    """No field that does not exist, none of another type."""
    kubernetes_validate.validate(RESOURCES[key], API, strict=True)


def test_there_is_what_three_nodes_and_their_load_need() -> None:
    """Nothing missing, nothing twice."""
    assert set(RESOURCES) == {
        ("Deployment", "scalechat"),
        ("Service", "scalechat"),
        ("PodDisruptionBudget", "scalechat"),
        ("HorizontalPodAutoscaler", "scalechat"),
        ("Job", "scalechat-load"),
        ("NetworkPolicy", "scalechat-redis"),
        ("StatefulSet", "redis"),
        ("Service", "redis"),
    }
    assert resource("Deployment", "scalechat")["spec"]["replicas"].number == 3


def test_every_variable_is_one_that_serve_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt one would stop the pod; here it stops the test."""
    given = environment()
    known = settings_of("serve", given, capsys)
    assert {name for name, source in known.items() if source == "environment"} == set(given)


def test_a_pod_may_take_as_long_as_its_drain() -> None:
    """preStop, drain and the end of the process are over before the kernel takes it."""
    pod = resource("Deployment", "scalechat")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    _, pause_s = server["lifecycle"]["preStop"]["exec"]["command"].texts
    needed_s = float(pause_s) + float(environment()["SCALECHAT_DRAIN"])
    assert pod["terminationGracePeriodSeconds"].number >= needed_s + 10


@pytest.mark.parametrize("kind, name", [("Deployment", "scalechat"), ("StatefulSet", "redis")])
def test_containers_hold_no_privilege(kind: str, name: str) -> None:
    """Not root, no writable image, no capability, bounded memory."""
    assert resource(kind, name)["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"].node is True
    context = container(kind, name)["securityContext"]
    assert context["readOnlyRootFilesystem"].node is True
    assert context["allowPrivilegeEscalation"].node is False
    assert context["capabilities"]["drop"].texts == ["ALL"]
    assert "memory" in container(kind, name)["resources"]["limits"]


def test_ports_and_labels_meet() -> None:
    """Each service selects the pods of its name at the port they have; probes ask for paths that exist."""
    for kind, name in (("Deployment", "scalechat"), ("StatefulSet", "redis")):
        labels = resource(kind, name)["spec"]["template"]["metadata"]["labels"].node
        assert resource("Service", name)["spec"]["selector"].node == labels
        assert resource(kind, name)["spec"]["selector"]["matchLabels"].node == labels
        (port,) = container(kind, name)["ports"]
        (offered,) = resource("Service", name)["spec"]["ports"]
        assert offered["targetPort"].text == port["name"].text
        assert offered["port"].number == port["containerPort"].number
    server = container("Deployment", "scalechat")
    (port,) = server["ports"]
    assert port["containerPort"].number == ServeConfig().port
    probes = {name: server[f"{name}Probe"]["httpGet"]["path"].text for name in ("startup", "readiness", "liveness")}
    assert probes == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}


def test_no_node_is_missed_while_it_is_replaced() -> None:
    """The new one is there first, and a drained machine takes one at a time."""
    strategy = resource("Deployment", "scalechat")["spec"]["strategy"]["rollingUpdate"]
    assert strategy.node == {"maxSurge": 1, "maxUnavailable": 0}
    assert resource("PodDisruptionBudget", "scalechat")["spec"]["maxUnavailable"].number == 1


def test_redis_keeps_what_was_acknowledged() -> None:
    """On disk before it is acknowledged, and full rather than forgetful."""
    options = container("StatefulSet", "redis")["args"].texts
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given["--appendonly"] == "yes"
    assert given["--appendfsync"] == "always"
    assert given["--maxmemory-policy"] == "noeviction"
