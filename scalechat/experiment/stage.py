"""The processes of one run: server, perhaps a Redis, and what happens to them while the load client is at work.

Each part keeps its port over a restart, so that clients find it again. All parts are gone with the stage.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from scalechat.config import OperationalError
from scalechat.experiment.limits import Held
from scalechat.experiment.part import Part
from scalechat.experiment.spec import Action, Settings, Side, flags


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def raised(
    side: Side, settings: Settings, sysctls: Mapping[str, str], limits: Held
) -> AsyncIterator[tuple[str, list[str], Callable[[], object]]]:
    """Server and Redis of one side; the `limits` are the server's.

    The value: the WebSocket URL, what to put in front of a command so that it runs in the server's network, and what
    begins the side's actions.
    """
    with tempfile.TemporaryDirectory(prefix="scalechat-experiment-") as directory:
        parts: dict[str, Part] = {}
        socket_path = f"{directory}/redis.sock"
        if side.redis:
            parts["redis"] = _redis(directory, socket_path)
            settings = {"bus": f"unix://{socket_path}"} | settings
        port = free_port()
        parts["server"] = _server(side, settings, _own_network(sysctls), limits, port, socket_path)
        async with trio.open_nursery() as running:
            try:
                for part in parts.values():
                    await part.start(running)
                enter = ["nsenter", "--net", "--target", str(parts["server"].pid)] if sysctls else []
                async with trio.open_nursery() as acting:

                    def begin() -> None:
                        for action in side.actions:
                            acting.start_soon(_act, parts, action, running)

                    yield f"ws://127.0.0.1:{port}/ws", enter, begin
                    acting.cancel_scope.cancel()  # What comes after the load's end is seen by nobody
            finally:
                with trio.CancelScope(shield=True):
                    for part in reversed(parts.values()):
                        await part.end(signal.SIGTERM)
            running.cancel_scope.cancel()


async def _act(parts: dict[str, Part], action: Action, nursery: trio.Nursery) -> None:
    await trio.sleep(action.at_s)
    if action.part not in parts:
        raise OperationalError(f"the experiment's action needs a {action.part}, and this side has none")
    await parts[action.part].suffer(action, nursery)


def _server(side: Side, settings: Settings, enter: list[str], limits: Held, port: int, redis: str) -> Part:
    module = side.program or "scalechat"
    command = [sys.executable, "-m", module]
    if side.program is None:
        command += ["serve", "--log-format", "json", *flags(settings)]
    elif side.redis:
        command += ["--redis", redis]
    command += ["--port", str(port)]
    return Part("server", enter + limits.enter + command, lambda log: b"listening" in log, limits.apart)


def _own_network(sysctls: Mapping[str, str]) -> list[str]:
    """What starts a command in a network namespace with these settings; every word of it replaces its process."""
    if not sysctls:
        return []
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        raise OperationalError("its network settings need a network namespace of its own, and that needs root")
    given = " ".join(shlex.quote(f"{name}={value}") for name, value in sysctls.items())
    return ["unshare", "--net", "sh", "-c", f'ip link set lo up && sysctl -qw {given} && exec "$@"', "sh"]


def _redis(directory: str, socket_path: str) -> Part:
    binary = shutil.which("redis-server")
    if binary is None:
        raise OperationalError("this experiment needs redis-server: apt install redis-server")
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command = [binary, "--port", "0", "--unixsocket", socket_path, "--dir", directory, *durable]
    return Part("redis", command, lambda log: b"eady to accept connections" in log)
