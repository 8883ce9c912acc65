"""What can be measured: each server, how it is started on one core, and what it needs.

The peers' programs (``peers/``) are rooms and broadcast and nothing else, written to each library's best practice; the
options common to all: no compression, no keepalive pings, a backlog that takes a burst of connections.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.machine import said_by
from benchmarks.meter import Options

PEERS = Path(__file__).parent / "peers"
GO_PATH = Path("/usr/share/gocode")
"""Where Debian keeps the sources of Go libraries."""
_ONE_GO_CORE = {"GOMAXPROCS": "1"}


class CannotBuild(Exception):
    """A peer could not be compiled; the message is the compiler's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    name: str
    """On the command line and in the record."""
    title: str
    """In tables."""
    prepare: Callable[[Path], None] = field(default=lambda _: None)
    """Make in this directory what the server needs, once. Raises `CannotBuild`."""
    command: Callable[[int, Path], list[str]]
    """What to run, for a port and the directory that `prepare` was given."""
    needs: Callable[[], str | None]
    """What would have to be installed first; None when nothing is missing."""
    version: Callable[[], str]
    environ: Mapping[str, str] = field(default_factory=dict)
    meter: Options = field(default_factory=dict)
    """What the meter must know about it."""
    ours: bool = False
    context: bool = False
    """No bar compares with it: one round shows where it stands."""


def _nothing() -> str | None:
    return None


def _python(*packages: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        lacking = [package for package in packages if not _version(package)]
        return f"pip install {' '.join(lacking)}" if lacking else None

    return missing


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _versions(*packages: str) -> Callable[[], str]:
    return lambda: ", ".join(f"{package} {_version(package)}" for package in packages)


def _peer(program: str, *flags: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _: [sys.executable, str(PEERS / program), str(port), *flags]


def _scalechat(strategy: str, *, context: bool) -> Server:
    return Server(
        name="scalechat" if strategy == "coalesced" else f"scalechat-{strategy}",
        title="**Scale-Chat**" if strategy == "coalesced" else f"Scale-Chat, `--fanout {strategy}`",
        # No rate limit, because a publisher sends as fast as it can; all else as it is shipped: positions, history,
        # metrics, bounded queues, heartbeats, logs.
        command=lambda port, _: [
            *(sys.executable, "-m", "scalechat", "serve", "--port", str(port)),
            *("--message-rate", "0", "--fanout", strategy),
        ],
        needs=_nothing,
        version=_versions("scalechat", "trio", "trio-websocket"),
        ours=True,
        context=context,
    )


def _build_gorilla(directory: Path) -> None:
    command = ["go", "build", "-o", str(directory / "gorilla_hub"), "gorilla_hub.go"]
    environ = {"GO111MODULE": "off", "GOPATH": str(GO_PATH), "GOCACHE": str(directory / "go"), "PATH": _path()}
    done = subprocess.run(command, cwd=PEERS, env=environ, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise CannotBuild(done.stderr)


def _path() -> str:
    go = shutil.which("go") or "/usr/bin/go"
    return f"{Path(go).parent}:/usr/bin:/bin"


def _gorilla_needs() -> str | None:
    there = shutil.which("go") and (GO_PATH / "src/github.com/gorilla/websocket").is_dir()
    return None if there else "apt install golang-go golang-github-gorilla-websocket-dev"


def _gorilla_version() -> str:
    library = said_by("dpkg-query", "-W", "-f", "${Version}", "golang-github-gorilla-websocket-dev")
    go = said_by("go", "version").removeprefix("go version go").partition(" ")[0]
    return f"gorilla/websocket {library or '?'}, Go {go}"


def _nats(port: int, directory: Path) -> list[str]:
    config = directory / "nats.conf"
    config.write_text(
        'listen: "127.0.0.1:-1"\n'  # its own protocol, on any free port
        f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true, compression: false }}\n'
        "max_connections: 200000\n"
    )
    return ["nats-server", "--config", str(config)]


SERVERS: tuple[Server, ...] = (
    _scalechat("coalesced", context=False),
    Server(
        name="gorilla",
        title="gorilla/websocket hub (Go)",
        prepare=_build_gorilla,
        command=lambda port, directory: [str(directory / "gorilla_hub"), str(port)],
        needs=_gorilla_needs,
        version=_gorilla_version,
        environ=_ONE_GO_CORE,
    ),
    Server(
        name="uwebsockets",
        title="uWebSockets (C++) through socketify",
        command=_peer("socketify_hub.py"),
        needs=_python("socketify"),
        version=_versions("socketify"),
    ),
    Server(
        name="websockets",
        title="`websockets` on asyncio",
        command=_peer("websockets_asyncio.py"),
        needs=_python("websockets"),
        version=_versions("websockets"),
    ),
    Server(
        name="nats",
        title="nats-server over WebSocket (Go)",
        command=_nats,
        needs=lambda: None if shutil.which("nats-server") else "apt install nats-server",
        version=lambda: said_by("nats-server", "--version"),
        environ=_ONE_GO_CORE,
        meter={"nats": 1, "path": "/"},
        context=True,
    ),
    Server(
        name="picows",
        title="picows (Cython) on uvloop",
        command=_peer("picows_uvloop.py"),
        needs=_python("picows", "uvloop"),
        version=_versions("picows", "uvloop"),
        context=True,
    ),
    Server(
        name="websockets-uvloop",
        title="`websockets` on uvloop",
        command=_peer("websockets_asyncio.py", "--uvloop"),
        needs=_python("websockets", "uvloop"),
        version=_versions("websockets", "uvloop"),
        context=True,
    ),
    Server(
        name="websockets-trio",
        title="`websockets` on Trio",
        command=_peer("websockets_trio.py"),
        needs=_python("websockets", "trio"),
        version=_versions("websockets", "trio"),
        context=True,
    ),
    Server(
        name="trio-websocket",
        title="trio-websocket, the plain way",
        command=_peer("plain_trio_websocket.py"),
        needs=_python("trio-websocket"),
        version=_versions("trio-websocket", "trio"),
        context=True,
    ),
    _scalechat("encode-once", context=True),
    _scalechat("per-client", context=True),
)

BY_NAME = {server.name: server for server in SERVERS}
assert len(BY_NAME) == len(SERVERS)
