"""Each file in configs/targets, executed: a short load run against a small server of that protocol, nothing lost."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from scalechat.load.results import read_run
from scalechat.load.results.rows import ErrorRow
from scalechat.tables import Template

from .foreign import Json, Phoenix, PlainHub, Server, SocketIo
from .worlds import virtual_run

FOLDER = Path(__file__).parents[2] / "configs/targets"
SERVERS: dict[str, type[Server]] = {"json": Json, "phoenix": Phoenix, "plain": PlainHub, "socketio": SocketIo}
PLAYED_ELSEWHERE = {"nats"}
"""Against the real one: tests/e2e/test_foreign_servers.py."""


def settings_of(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    if "template" in settings:
        settings["template"] = msgspec.convert(settings["template"], Template)
    return settings


def test_every_target_file_is_played() -> None:
    """A file nobody executes is a promise nobody keeps."""
    assert {path.stem for path in FOLDER.glob("*.toml")} == SERVERS.keys() | PLAYED_ELSEWHERE


@pytest.mark.parametrize("name", SERVERS)
async def test_a_target_delivers_everything_once_and_in_order(
    name: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Pings are answered, handshakes kept, nothing is unknown; acknowledged where the protocol acknowledges."""
    server = SERVERS[name]()
    settings = settings_of(name)
    url = "ws://localhost:8080" + (server.path if name == "plain" else "")
    outcome = await virtual_run(
        server.serve, tmp_path, server_url=url, clients=8, rooms=2, msg_frequency_ms=200.0, **settings
    )
    ledger = outcome.manifest.ledger
    assert ledger.published > 200
    assert ledger.delivered == ledger.expected == 4 * ledger.published
    assert (ledger.missing, ledger.duplicated, ledger.reordered, ledger.corrupted, ledger.phantom) == (0,) * 5
    assert ledger.acked == (None if name == "plain" else ledger.published)
    assert (ledger.unknown_frames, server.turned_out) == (0, 0)
    assert not list(read_run(outcome.run_dir).rows(ErrorRow))


@pytest.mark.parametrize("beats", [True, False])
async def test_a_heart_that_does_not_beat_is_lost(beats: bool, autojump_clock: MockClock, tmp_path: Path) -> None:
    """Readers say nothing else: Phoenix ends their connections after a minute."""
    server = Phoenix()
    settings = settings_of("phoenix")
    template = settings.pop("template")
    assert isinstance(template, Template)
    if not beats:
        template = msgspec.structs.replace(template, heartbeat=None)
    outcome = await virtual_run(
        server.serve,
        tmp_path,
        template=template,
        clients=4,
        publishers=1,
        duration_s=70.0,
        msg_frequency_ms=5_000.0,
        **settings,
    )
    assert (server.turned_out == 0) == beats
    assert outcome.manifest.ledger.missing == 0 or not beats


@pytest.mark.parametrize("name", SERVERS)
async def test_a_frame_that_nobody_described_is_counted_and_does_no_harm(
    name: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Whatever the target: one to each client, and the rest as ever."""
    server = SERVERS[name]()
    hear, odd = server.hear, set[object]()

    def hear_and_chatter(guest: object, text: str) -> None:
        if guest not in odd:
            odd.add(guest)
            guest.say("7 something else")  # type: ignore[attr-defined]
        hear(guest, text)  # type: ignore[arg-type]

    server.hear = hear_and_chatter  # type: ignore[method-assign]
    url = "ws://localhost:8080" + (server.path if name == "plain" else "")
    settings = {"clients": 4, "duration_s": 2.0, "msg_frequency_ms": 200.0} | settings_of(name)
    ledger = (await virtual_run(server.serve, tmp_path, server_url=url, **settings)).manifest.ledger
    assert ledger.unknown_frames == 4
    assert ledger.delivered == ledger.expected == 4 * ledger.published > 0
