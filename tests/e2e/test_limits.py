"""Every limit of a real server, exceeded by one: refused, counted, and served again when there is room."""

import json
import resource
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import jwt
import psutil
import pytest
import trio

from ..conftest import ServeProcess, ServerProcess
from ..patience import wait_until_async
from ..rough import Closed, RoughPeer, plain, request, rough_peer, said
from .scrape import prober

SECRET = "a secret of thirty-two characters"


@asynccontextmanager
async def served(server: ServerProcess, target: str, *, v1: bool = False) -> AsyncIterator[RoughPeer]:
    """A client that came in."""
    async with rough_peer(server.port) as peer:
        await peer.enter(target, v1=v1)
        yield peer


async def _talks(peer: RoughPeer, name: str) -> bool:
    await peer.send(plain(name, "served"))
    heard = await peer.hear()
    return bool(heard["Message"] == "served")


def _no_complaints(server: ServerProcess) -> bool:
    return [line for line in server.log() if line.get("level") not in ("info", "debug", "warning")] == []


@pytest.mark.parametrize("flag", ["--max-connections", "--max-connections-per-address"])
async def test_one_client_too_many_is_sent_away_until_one_leaves(serve_process: ServeProcess, flag: str) -> None:
    """4010 with a time to come back; the others notice nothing; the place is given to the next who asks."""
    server = serve_process(flag, "3")
    async with served(server, "/ws?clientId=a") as a, served(server, "/ws?clientId=b"):
        async with served(server, "/ws?clientId=c") as c:
            for number in range(3):
                async with served(server, f"/ws?clientId=d{number}") as surplus:
                    assert await surplus.ended() == Closed(4010, "too many connections; retry after 5000 ms")
            assert await _talks(a, "a")
            assert (await c.hear())["Message"] == "served"

        async def room() -> bool:
            async with served(server, "/ws?clientId=d") as d:
                try:
                    return await _talks(d, "d")
                except AssertionError:
                    return False  # The server has not seen the other go yet.

        await wait_until_async(room, "the place is free again")
        assert _no_complaints(server)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux sets another process's limits")
async def test_without_descriptors_newcomers_are_turned_away_and_everything_else_goes_on(
    serve_process: ServeProcess,
) -> None:
    """At EMFILE: closed at once, counted, the loop does not spin; members, metrics and figures live on; later again."""
    server = serve_process("--max-connections", "10000", "--log-period", "0.1")
    async with prober(server.port) as probe, served(server, "/ws?clientId=witness") as witness:
        assert await _talks(witness, "witness")
        open_fds = psutil.Process(server.pid).num_fds()
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_fds + 5, before[1]))
        async with AsyncExitStack() as stack:
            admitted, turned_away = 0, 0
            for number in range(25):
                peer = await stack.enter_async_context(rough_peer(server.port))
                try:
                    await peer.send(request(f"/ws?clientId=c{number}"))
                    admitted += (await peer.answer())[0] == 101
                except (EOFError, trio.BrokenResourceError):
                    turned_away += 1
            assert admitted <= 5
            assert turned_away == 25 - admitted
            assert (await probe.counts())["refusals:no_descriptor"] == turned_away
            sampled = len(_figures(server))

            async def sampled_again() -> bool:
                return len(_figures(server)) >= sampled + 2

            await wait_until_async(sampled_again, "the figures are sampled without a descriptor to spare")
            assert await _talks(witness, "witness")
            status, body = await probe.get("/stats")
            assert (status, json.loads(body)["connections"]) == (200, 1 + admitted)
            assert "scalechat_connections{" in await probe.text()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)

        async def back() -> bool:
            return psutil.Process(server.pid).num_fds() <= open_fds

        await wait_until_async(back, "the descriptors of those who left are free again")
        async with served(server, "/ws?clientId=late") as late:
            assert await _talks(late, "late")
        assert _no_complaints(server)
    assert server.stop() == 0


def _figures(server: ServerProcess) -> list[dict[str, object]]:
    return [line for line in server.log() if line.get("event") == "figures"]


async def test_the_file_limit_is_raised_and_bounds_the_connections(serve_process: ServeProcess) -> None:
    """The first line of the log names both limits; unless told otherwise fewer connections than descriptors."""
    server = serve_process()
    first = server.log()[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert first["file_limit_before"] == soft
    assert first["file_limit"] == hard
    assert isinstance(first["max_connections"], int)
    assert first["max_connections"] < hard


async def test_a_page_of_another_site_may_not_connect_unless_listed(serve_process: ServeProcess) -> None:
    """No Origin, the same origin, loopback and those listed come in; everybody else is 403."""
    server = serve_process("--origins", "https://chat.example")
    for origin, status in (
        ("", 101),
        (server.url, 101),
        ("http://localhost:3000", 101),
        ("https://chat.example", 101),
        ("https://chat.example:8443", 403),
        ("http://chat.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ):
        async with rough_peer(server.port) as peer:
            assert await peer.knock("/ws?clientId=a", {"Origin": origin}) == status, origin


async def test_tokens_open_what_they_name_as_long_as_they_last_and_never_reach_the_log(
    serve_process: ServeProcess,
) -> None:
    """401 without, 4003 for another room, 4001 when it runs out; and neither token nor secret is ever written down."""
    server = serve_process("--heartbeat", "0.2", "--log-level", "debug", env={"SCALECHAT_TOKEN_SECRET": SECRET})
    tokens = [
        jwt.encode({"sub": "alice", "rooms": ["tea"]}, SECRET, algorithm="HS256"),
        jwt.encode({"sub": "alice"}, "another secret of thirty-two byte", algorithm="HS256"),
        jwt.encode({"sub": "alice", "exp": int(time.time()) - 10}, SECRET, algorithm="HS256"),
        jwt.encode({"sub": "bob", "exp": int(time.time()) + 3}, SECRET, algorithm="HS256"),
    ]
    good, forged, expired, short = tokens
    for target in ("/ws", f"/ws?token={forged}", f"/ws?token={expired}", f"/ws?token={good}&clientId=bob"):
        async with rough_peer(server.port) as peer:
            assert await peer.knock(target) == 401, target
    async with served(server, f"/ws?token={good}&room=coffee") as peer:
        assert (await peer.ended()).code == 4003
    async with served(server, f"/ws?token={short}&room=tea") as bob:
        async with served(server, f"/ws?token={good}&room=tea", v1=True) as alice:
            assert (await alice.hear())["clientId"] == "alice"
            assert (await alice.hear())["type"] == "joined"
            await alice.send(said(Message="hello", token=good), said(type=good))
            assert (await bob.hear())["Message"] == "hello"
            assert {(await alice.hear()).get("type") for _ in range(2)} == {None, "error"}
        assert (await bob.ended()).code == 4001
    assert server.stop() == 0
    written = "\n".join(server.lines)
    for secret in (SECRET, *tokens, *(part for token in tokens for part in token.split(".")[1:])):
        assert secret not in written
