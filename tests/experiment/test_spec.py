"""Every experiment that comes with the program can be read, and a wrong file is named with what is wrong."""

import re
from pathlib import Path

import pytest

from scalechat.analysis.experiment_picture import panel_of
from scalechat.cli import main
from scalechat.config import UsageError
from scalechat.experiment.catalogue import catalogue
from scalechat.experiment.checks import names_in
from scalechat.experiment.spec import Settings, flags, read_experiment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", catalogue().values(), ids=lambda path: path.stem)
def test_an_experiment_is_complete(path: Path) -> None:
    """It has a page, a finding with figures in it, and a picture that can be drawn."""
    experiment = read_experiment(path)
    assert experiment.story.strip()
    assert experiment.before.about != experiment.after.about
    assert (ROOT / "docs" / "scale-problems" / experiment.page).is_file()
    assert names_in(experiment.finding)
    assert len(experiment.draws) <= 2
    for word in experiment.draws:
        panel_of(word)


def test_no_two_experiments_are_about_the_same_problem() -> None:
    numbers = [read_experiment(path).number for path in catalogue().values()]
    assert len(set(numbers)) == len(numbers)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("colour = 'red'")
    with pytest.raises(UsageError, match="colour"):
        read_experiment(path)


def test_an_experiment_without_a_check_of_its_cure_is_refused(tmp_path: Path) -> None:
    """A symptom alone shows no fix."""
    given = next(iter(catalogue().values())).read_text()
    path = tmp_path / "x.toml"
    path.write_text(given.replace('kind = "cure"', 'kind = "symptom"'))
    with pytest.raises(UsageError, match="one of its cure"):
        read_experiment(path)


def test_settings_become_flags() -> None:
    settings: Settings = {"msg_frequency": 500, "slo": ["a", "b"], "quiet": True, "reconnect": False}
    assert flags(settings) == ["--msg-frequency", "500", "--slo", "a", "--slo", "b", "--quiet", "--no-reconnect"]


@pytest.mark.parametrize("path", catalogue().values(), ids=lambda path: path.stem)
def test_its_page_shows_it(path: Path) -> None:
    """The picture and the table of a run in which symptom and cure were seen, made by the command."""
    page = ROOT / "docs" / "scale-problems" / read_experiment(path).page
    text = page.read_text()
    image = f"images/{page.stem}.svg"
    assert f"]({image})" in text
    assert "<svg" in (page.parent / image).read_text()
    assert f"`python -m scalechat experiment {path.stem}` on" in text
    assert ": NO" not in text


@pytest.mark.parametrize("path", catalogue().values(), ids=lambda path: path.stem)
def test_it_runs_in_a_limited_environment(path: Path) -> None:
    """The server has a core and so much memory, the load client another core; containers can have the same."""
    experiment = read_experiment(path)
    for _, side in experiment.sides:
        server, client = experiment.limits(side)
        assert server.cores
        assert client.cores
        assert not set(server.cores) & set(client.cores)
        assert server.memory_mib
    assert experiment.compose.startswith(("docker compose ", "SERVER_", "SCALECHAT_"))


def settings_text(capsys: pytest.CaptureFixture[str]) -> str:
    """Of the three commands that the pages speak of, a line for each setting."""
    for command in (["serve"], ["load"], ["experiment", "list"]):
        assert main([*command, "--print-config"], {}) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "scale-problems").glob("*.md")), ids=lambda page: page.stem)
def test_what_a_page_tells_people_to_type_and_to_look_at_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Experiments by their name, settings and metrics as the reference has them."""
    text = page.read_text()
    reference = ROOT / "docs" / "reference"
    settings = settings_text(capsys)
    metrics = (reference / "metrics.md").read_text()
    assert set(re.findall(r"scalechat experiment ([a-z-]+)", text)) <= {"list", "all", *catalogue()}
    ours = re.findall(r"`(--[a-z][a-z-]+)(?:[ =][^`]*)?`", text)
    assert [flag for flag in ours if f"{flag[2:].replace('-', '_')} " not in settings] == []
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bscalechat_[a-z_]+", text)}
    assert [name for name in sorted(named) if name not in metrics] == []


@pytest.mark.parametrize("path", catalogue().values(), ids=lambda path: path.stem)
def test_the_containers_equivalent_sets_what_exists(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every variable of ours is a setting, every other is one of the compose file's, and so is the service."""
    compose = read_experiment(path).compose
    settings = settings_text(capsys)
    file = (ROOT / "docker-compose.yaml").read_text()
    ours = re.findall(r"SCALECHAT_[A-Z_]+", compose)
    assert [name for name in ours if f"{name[10:].lower()} " not in settings] == []
    assert [name for name in re.findall(r"(?:SERVER|LOAD)_[A-Z]+(?==)", compose) if name not in file] == []
    assert re.search(r"\b(server|load|redis)\b", compose)
