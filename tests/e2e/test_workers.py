"""Several workers behind one port, as one server: its users, its operator and its orchestrator see no difference."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest
import trio

from ..conftest import STOP_S, ServeProcess, ServerProcess, clean_environ
from ..patience import wait_until, wait_until_async
from ..rough import Closed, RoughPeer, rough_peer, said

WORKERS = 2


@pytest.fixture
def server(serve_process: ServeProcess, require_binary: Callable[[str, str], str]) -> ServerProcess:
    """Two workers over a private redis-server."""
    require_binary("redis-server", "apt install redis-server")
    return serve_process("--workers", str(WORKERS), "--drain", "5", env={"SCALECHAT_API_KEY": "k"})


def worker_pids(server: ServerProcess) -> dict[int, int]:
    """The newest process of each worker."""
    ready = [line for line in server.log() if line.get("event") == "worker is ready"]
    return {int(str(line["worker"])): int(str(line["pid"])) for line in ready}


async def fetch(server: ServerProcess, path: str, method: str = "GET") -> tuple[int, bytes]:
    """One request on a connection of its own, so whichever worker the kernel chooses answers."""
    async with rough_peer(server.port) as peer:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n"
        await peer.send(head.encode())
        status, _, body = await peer.answer()
        return status, body


async def metrics(server: ServerProcess) -> dict[str, float]:
    """Every sample by its name and labels."""
    lines = (await fetch(server, "/metrics"))[1].decode().splitlines()
    return {name: float(value) for name, _, value in (li.rpartition(" ") for li in lines if not li.startswith("#"))}


async def spread(server: ServerProcess) -> list[float]:
    """WebSockets of each worker."""
    found = await metrics(server)
    return [found.get(f'scalechat_worker_connections{{worker="{worker}"}}', 0) for worker in range(1, WORKERS + 1)]


async def listed(server: ServerProcess) -> list[dict[str, object]]:
    """All connections, the oldest first."""
    connections: list[dict[str, object]] = json.loads((await fetch(server, "/api/connections?sort=connected"))[1])[
        "connections"
    ]
    return connections


@asynccontextmanager
async def members_everywhere(server: ServerProcess) -> AsyncIterator[list[RoughPeer]]:
    """Clients c0, c1… in room tea, until each worker has one: which gets the next is the kernel's choice."""
    async with AsyncExitStack() as stack:
        peers: list[RoughPeer] = []
        while not all(await spread(server)):
            assert len(peers) < 64, "the kernel gave all to one worker"
            peer = await stack.enter_async_context(rough_peer(server.port))
            await peer.enter(f"/ws?clientId=c{len(peers)}&room=tea", v1=True)
            assert [m["type"] for m in await peer.hear_all(2)] == ["welcome", "joined"]
            peers.append(peer)
        yield peers


async def test_all_workers_are_one_server(server: ServerProcess) -> None:
    """One order of messages, and whichever worker is asked answers for all."""
    async with members_everywhere(server) as peers:
        for number, peer in enumerate(peers):
            await peer.send(said(Message=f"from {number}", id="1"))
        heard = []
        for peer in peers:
            frames = await peer.hear_all(len(peers) + 1)  # Everybody's messages and the own acknowledgement.
            heard.append([(m["seq"], m["Message"]) for m in frames if "type" not in m])
        assert [seq for seq, _ in heard[0]] == list(range(1, len(peers) + 1))
        assert all(each == heard[0] for each in heard)

        for _ in range(8):  # Enough questions for both workers to be asked, but for one time in 128.
            found = await metrics(server)
            assert found['scalechat_connections{dialect="v1"}'] == len(peers)
            assert found["scalechat_publications_total"] == len(peers)
            assert found["scalechat_rooms"] == 1
            assert found['scalechat_worker_up{worker="1"}'] == found['scalechat_worker_up{worker="2"}'] == 1
            stats = json.loads((await fetch(server, "/stats"))[1])
            assert (stats["connections"], stats["rooms"]) == (len(peers), 1)
            assert [c["clientId"] for c in await listed(server)] == [f"c{n}" for n in range(len(peers))]
            assert (await fetch(server, "/readyz"))[0] == 200
            rooms = json.loads((await fetch(server, "/api/rooms"))[1])["rooms"]
            assert [(r["name"], r["seq"], r["clients"]) for r in rooms] == [("tea", len(peers), len(peers))]
            history = json.loads((await fetch(server, "/api/rooms/tea/history"))[1])["messages"]
            assert [m["seq"] for m in history] == list(range(1, len(peers) + 1))

        paths = [f"/api/connections/{connection['session']}" for connection in await listed(server)]
        for peer, path in zip(peers, paths, strict=True):
            assert (await fetch(server, path, "DELETE"))[0] == 204
            assert (await peer.ended()).code == 4005
        assert (await fetch(server, paths[0], "DELETE"))[0] == 404


async def test_a_killed_worker_comes_back_and_the_others_do_not_notice(server: ServerProcess) -> None:
    """Its clients are cut and can come back; no counter of the whole falls."""
    async with members_everywhere(server) as peers:
        before = await metrics(server)
        pids = worker_pids(server)
        os.kill(pids[2], signal.SIGKILL)
        await wait_until(lambda: worker_pids(server)[2] != pids[2], "the worker is there again")
        after = await metrics(server)
        assert after['scalechat_worker_restarts_total{worker="2"}'] == 1
        for name, value in before.items():
            if name.startswith("scalechat_") and "_total" in name and "worker" not in name:
                assert after[name] >= value, name
        assert worker_pids(server)[1] == pids[1]

        stayed = int((await spread(server))[0])
        assert 0 < stayed < len(peers)
        await _publish(server, "still here")
        heard = 0
        for peer in peers:
            with trio.move_on_after(5):
                try:
                    heard += (await peer.hear())["Message"] == "still here"
                except (EOFError, trio.BrokenResourceError):
                    continue
        assert heard == stayed
    (line,) = [line for line in server.log() if line["event"] == "worker ended"]
    assert (line["worker"], line["exit_code"]) == (2, -signal.SIGKILL)


async def _publish(server: ServerProcess, text: str) -> None:
    async with rough_peer(server.port) as peer:
        body = json.dumps({"clientId": "bot", "Message": text}).encode()
        await peer.send(
            b"POST /api/rooms/tea/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body),
            body,
        )
        assert (await peer.answer())[0] == 201


async def test_one_worker_can_be_replaced_without_the_others(server: ServerProcess) -> None:
    """SIGTERM to a worker's process drains its clients alone, and the next one is started at once."""
    async with members_everywhere(server) as peers:
        pids = worker_pids(server)
        leaving = int((await spread(server))[0])
        os.kill(pids[1], signal.SIGTERM)
        await wait_until(lambda: worker_pids(server)[1] != pids[1], "another has taken its place")
        assert (await spread(server))[0] == 0
        told = 0
        for peer in peers:
            with trio.move_on_after(0.2):
                told += (await peer.hear())["type"] == "reconnect"
        assert told == leaving
    assert not [line for line in server.log() if line["event"] == "worker ended"]


def _redis_of(family: list[psutil.Process]) -> psutil.Process:
    (redis,) = [process for process in family if process.name() == "redis-server"]
    return redis


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_drains_all(server: ServerProcess, number: signal.Signals) -> None:
    """Everybody hears what was acknowledged and is told when to come back; nothing is left behind."""
    family = psutil.Process(server.pid).children(recursive=True)
    directory = trio.Path(_redis_of(family).cwd())
    async with members_everywhere(server) as peers:
        await peers[0].send(*(said(Message=str(n), id=str(n)) for n in range(50)))
        acked = 0
        while acked < 50:
            acked += (await peers[0].hear()).get("type") == "ack"
        server.process.send_signal(number)
        for peer in peers[1:]:
            assert [m["seq"] for m in await peer.hear_all(50)] == list(range(1, 51))
        for peer in peers:
            while (heard := await peer.hear()).get("type") != "reconnect":
                assert peer is peers[0]
            assert await peer.ended() == Closed(4012, f"draining; retry after {heard['after_ms']} ms")
    await wait_until(lambda: server.process.poll() is not None, "the server has ended")
    assert server.process.returncode == 0
    assert psutil.wait_procs(family, STOP_S)[1] == []
    assert not await directory.exists()
    assert [line["event"] for line in server.log() if "worker" not in line] == [
        "listening",
        "draining workers",
        "stopped",
    ]


async def test_a_second_signal_hurries_all(serve_process: ServeProcess) -> None:
    """A request under way holds up the drain for as long as it may; whoever asks twice does not wait for it."""
    server = serve_process("--workers", str(WORKERS), "--drain", "3000", env={"SCALECHAT_API_KEY": "k"})
    async with rough_peer(server.port) as busy:
        await busy.send(b"POST /api/rooms/tea/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")

        async def asked() -> bool:
            return (await metrics(server))['scalechat_connections{dialect="http"}'] == 2

        await wait_until_async(asked, "the request has begun")
        server.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: any(line["event"] == "draining" for line in server.log()), "the drain has begun")
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: server.process.poll() is not None, "the server has ended")
    assert server.process.returncode == 0


async def test_nothing_outlives_a_supervisor_that_is_killed(server: ServerProcess) -> None:
    """Neither a worker, nor the private redis-server, nor its directory."""
    family = psutil.Process(server.pid).children(recursive=True)
    directory = trio.Path(_redis_of(family).cwd())
    server.process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(family, STOP_S)[1] == []
    assert not await directory.exists()


async def test_a_private_redis_that_dies_is_started_again(server: ServerProcess) -> None:
    """What it kept is gone, and the chat goes on."""
    family = psutil.Process(server.pid).children(recursive=True)
    _redis_of(family).kill()

    async def again() -> bool:
        return (await metrics(server)).get("scalechat_private_redis_restarts_total") == 1

    await wait_until_async(again, "it has been started again")
    async with members_everywhere(server) as peers:
        await peers[0].send(said(Message="hello", id="1"))
        assert {m.get("type") for m in await peers[0].hear_all(2)} == {None, "ack"}
        assert (await peers[-1].hear())["Message"] == "hello"


def _ends(*arguments: str, path: str | None = None) -> tuple[int, str]:
    """Exit code and stderr of a server that does not come to serve."""
    done = subprocess.run(
        [sys.executable, "-m", "scalechat", "serve", "--log-format=json", *arguments],
        env=clean_environ({} if path is None else {"PATH": path}),
        capture_output=True,
        text=True,
        timeout=STOP_S,
        check=False,
    )
    return done.returncode, done.stderr


def test_without_redis_server_one_line_says_what_to_install() -> None:
    """And nothing is started."""
    code, told = _ends("--workers", "2", "--port", "0", path="/nonexistent")
    assert (code, len(told.splitlines())) == (1, 1)
    assert "apt install redis-server" in told
    assert "--bus redis://" in told


def test_a_port_that_another_server_of_workers_has_is_taken(server: ServerProcess) -> None:
    """Though both would share it with their own workers."""
    code, told = _ends("--workers", "2", "--port", str(server.port))
    assert (code, len(told.splitlines())) == (1, 1)
    assert f"port {server.port} is taken" in told
