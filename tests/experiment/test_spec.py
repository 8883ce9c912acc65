"""Every experiment that comes with the program can be read, and a wrong file is named with what is wrong."""

from pathlib import Path

import pytest

from scalechat.analysis.experiment_picture import panel_of
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
