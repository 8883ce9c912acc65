"""The Kubernetes Job and the compose file start instances that find each other: every variable is a setting of ours."""

from __future__ import annotations

import pytest

from scalechat.cli import main
from tests.stack.files import ROOT, At, compose, read_yaml
from tests.stack.test_compose import environment, settings_of


@pytest.fixture(scope="module")
def job() -> At:
    return read_yaml(ROOT / "configs" / "kubernetes" / "load-job.yaml")["spec"]


def variables(container: At, *, index: str) -> dict[str, str]:
    """What a pod with this index gets: of an Indexed Job, Kubernetes sets the last one itself."""
    return {e["name"].text: e["value"].text for e in container["env"]} | {"JOB_COMPLETION_INDEX": index}


def test_the_pods_of_the_job_are_the_instances_that_meet(job: At) -> None:
    """As many as are expected, all at once, numbered by Kubernetes, and none of them twice."""
    (container,) = job["template"]["spec"]["containers"]
    given = {entry["name"].text: entry for entry in container["env"]}
    expected = int(given["SCALECHAT_EXPECTED_INSTANCES"]["value"].text)
    assert job["completionMode"].text == "Indexed"
    assert (job["completions"].number, job["parallelism"].number, job["backoffLimit"].number) == (expected, expected, 0)
    assert "SCALECHAT_INSTANCE" not in given


def test_every_variable_of_the_job_is_a_setting(job: At, capsys: pytest.CaptureFixture[str]) -> None:
    """With the index that Kubernetes fills in, the load client takes all of them."""
    (container,) = job["template"]["spec"]["containers"]
    environ = variables(container, index="3")
    (command,) = container["args"].texts
    understood = settings_of(command, environ, capsys)
    assert understood["SCALECHAT_INSTANCE"] == "environment JOB_COMPLETION_INDEX"
    assert {understood[name] for name in environ if name.startswith("SCALECHAT_")} == {"environment"}, understood


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
    understood = settings_of("load", given, capsys)
    assert understood["SCALECHAT_RENDEZVOUS"].startswith("environment")
    assert understood["SCALECHAT_INSTANCE"] == "default"
    assert "rendezvous" in services
