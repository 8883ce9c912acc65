"""The knobs themselves: defaults, secrets, and combinations that make no sense."""

import re
from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import (
    SECRETS,
    CapacityConfig,
    ChatConfig,
    DemoConfig,
    LoadConfig,
    OperationalError,
    ReportConfig,
    ServeConfig,
    UsageError,
    public_values,
)
from scalechat.scenario import Step

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EVERY_CONFIG = [ServeConfig, LoadConfig, ChatConfig, ReportConfig, DemoConfig]


def test_the_load_clients_first_five_knobs_keep_their_defaults() -> None:
    """Who knew the project before finds the same figures."""
    config = LoadConfig()
    assert config.server_url == "ws://localhost:8080/ws"
    assert (config.clients, config.msg_frequency_ms, config.msg_size, config.duration_s) == (1, 1000, "256", 30)


def test_the_server_is_private_unless_told_otherwise() -> None:
    """By default it listens on loopback, its API is closed and foreign pages may not connect."""
    config = ServeConfig()
    assert config.host == "127.0.0.1"
    assert config.api_key is None
    assert config.origins == ()
    assert not config.public_pages


@pytest.mark.parametrize("cls", EVERY_CONFIG)
def test_every_duration_rate_and_size_names_its_unit(cls: "type[DataclassInstance]") -> None:
    """A float without a unit in its name is a misunderstanding to come."""
    for field in fields(cls):
        if isinstance(field.default, float):
            assert re.search(r"_(s|ms|per_s|bytes|ratio)$", field.name), field.name


@pytest.mark.parametrize("cls", EVERY_CONFIG)
def test_a_config_cannot_be_changed_after_it_was_checked(cls: "type[DataclassInstance]") -> None:
    """Parts that share a config cannot surprise each other."""
    config = ReportConfig(("run",)) if cls is ReportConfig else cls()
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(cls)[0].name, "other")


def test_secrets_are_the_three_that_open_something() -> None:
    """A new secret must be declared as one here, so that somebody thought of it."""
    assert sorted(SECRETS) == ["api_key", "token", "token_secret"]


def test_a_secret_shows_in_no_representation_of_its_config() -> None:
    """Logs, tracebacks and run files show a config by `repr` or `public_values`."""
    serve = ServeConfig(api_key="opens-the-api", token_secret="signs-the-tokens")
    load = LoadConfig(token="header.payload.signature", server_url="ws://me:hush@h/ws?room=a&token=header.p.s")
    for config in (serve, load):
        shown = repr(public_values(config))
        assert not re.search("opens|signs|signature|hush|header", shown)
    assert not re.search("opens|signs|signature", repr(serve) + repr(load))
    assert public_values(serve)["api_key"] == "***"
    assert public_values(ServeConfig())["api_key"] is None, "not set is no secret"


def test_public_values_are_plain_and_complete() -> None:
    """What a manifest stores has every field by name, as JSON can say it."""
    values = public_values(LoadConfig(slo=("missing == 0",), out=Path("there")))
    assert list(values) == [f.name for f in fields(LoadConfig)]
    assert values["slo"] == ["missing == 0"]
    assert values["out"] == "there"
    assert values["publishers"] is None


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ({"clients": 2, "publishers": 3}, "3 publishers are more than 2 clients"),
        ({"clients": 2, "rooms": 3}, "3 rooms are more than 2 clients"),
    ],
)
def test_a_load_that_no_plan_can_serve_is_refused(arguments: dict[str, int], complaint: str) -> None:
    """The refusal names both figures and the two flags that can put it right."""
    with pytest.raises(UsageError, match=f"{complaint}.*lower --.*raise --clients"):
        LoadConfig(**arguments)  # type: ignore[arg-type]  # only the integer knobs are given


def test_what_a_closed_loop_cannot_be_is_refused() -> None:
    """It has no arrivals but its answers, an open one waits for none, and no load is too much for it."""
    with pytest.raises(UsageError, match="--answer-timeout means something with --loop closed only"):
        LoadConfig(answer_timeout_s=1.0)
    with pytest.raises(UsageError, match="leave --arrivals poisson out"):
        LoadConfig(loop="closed", arrivals="poisson")
    with pytest.raises(UsageError, match="search with open"):
        CapacityConfig(loop="closed")
    assert LoadConfig(loop="closed", answer_timeout_s=1.0).arrivals == "jittered"


def test_a_search_has_no_phases_to_shorten() -> None:
    """Each probe is one; the way out is not another flag."""
    with pytest.raises(UsageError, match=r"leave the scenario's \[\[phases\]\] out"):
        CapacityConfig(phases=(Step(name="morning", duration_s=60),))
    with pytest.raises(UsageError, match="--shorten-to is for scenarios with"):
        CapacityConfig(shorten_to_s=3)


@given(clients=st.integers(1, 10_000), share=st.floats(0, 1), spread=st.floats(0, 1))
def test_any_share_of_publishers_and_rooms_is_a_load(clients: int, share: float, spread: float) -> None:
    """From nobody to everybody may publish, in one room or one each."""
    config = LoadConfig(clients=clients, publishers=int(clients * share), rooms=max(1, int(clients * spread)))
    assert config.clients == clients


def test_an_operational_error_carries_its_exit_code() -> None:
    """The command line ends with what the part decided; a usage error always ends with 2."""
    assert OperationalError("port taken").exit_code == 1
    assert OperationalError("interrupted", 105).exit_code == 105
    assert UsageError("no such flag").exit_code == 2


def test_every_knob_but_the_run_has_a_default() -> None:
    """Each command starts without a single flag."""
    needed = [f.name for cls in EVERY_CONFIG for f in fields(cls) if f.default is MISSING]
    assert needed == ["runs"]
