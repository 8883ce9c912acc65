"""The Kubernetes Job and the compose file start instances that find each other: every variable is a setting of ours."""

from __future__ import annotations

import pytest

from scalechat.cli import main
from tests.stack.files import ROOT, At, compose, read_yaml
from tests.stack.test_compose import environment, settings_of

INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


@pytest.fixture(scope="module")
def job() -> At:
    return read_yaml(ROOT / "configs" / "kubernetes" / "load-job.yaml")["spec"]


def variables(container: At, *, index: str) -> dict[str, str]:
    """What a pod with this index gets."""
    return {e["name"].text: e["value"].text if "value" in e else index for e in container["env"]}


def test_the_pods_of_the_job_are_the_instances_that_meet(job: At) -> None:
    """As many as are expected, all at once, numbered by Kubernetes, and none of them twice."""
    (container,) = job["template"]["spec"]["containers"]
    given = {entry["name"].text: entry for entry in container["env"]}
    expected = int(given["SCALECHAT_EXPECTED_INSTANCES"]["value"].text)
    assert job["completionMode"].text == "Indexed"
    assert (job["completions"].number, job["parallelism"].number, job["backoffLimit"].number) == (expected, expected, 0)
    assert given["SCALECHAT_INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"].text == INDEX


def test_every_variable_of_the_job_is_a_setting(job: At, capsys: pytest.CaptureFixture[str]) -> None:
    """With the index that Kubernetes fills in, the load client takes all of them."""
    (container,) = job["template"]["spec"]["containers"]
    environ = variables(container, index="3")
    (command,) = container["args"].texts
    understood = settings_of(command, environ, capsys)
    assert all(understood[name].startswith("environment") for name in environ), understood


def test_an_instance_beyond_those_expected_is_refused(job: At, capsys: pytest.CaptureFixture[str]) -> None:
    """A Job with more pods than it says ends with one line, not with a hang."""
    (container,) = job["template"]["spec"]["containers"]
    environ = variables(container, index="4")
    assert main(["load"], environ) == 2
    assert "instance 4 is none of 4" in capsys.readouterr().err


def test_scaled_load_containers_meet_when_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    """The rendezvous comes from the shell, the Redis from the profile, the number from whoever is first."""
    asked = {"SCALECHAT_RENDEZVOUS": "redis://rendezvous", "SCALECHAT_EXPECTED_INSTANCES": "3"}
    services = compose(asked)["services"]
    load = environment(services["load"])
    assert {name: load[name] for name in asked} == asked
    given = {name: value for name, value in load.items() if value is not None}
    assert settings_of("load", given, capsys)["SCALECHAT_RENDEZVOUS"].startswith("environment")
    assert "rendezvous" in services
