"""The faults, one function each: what is done to the stage in one round. Each returns how long the recovery took, in
seconds from the moment the surroundings were whole again (from the fault itself where nothing has to come back)."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from .stage import Stage

Inject = Callable[[Stage, int], Awaitable[float]]
"""(stage, number of the round) → seconds."""

STEADY_S: Final = 0.5
"""Of undisturbed talk before each fault: some hundred messages."""


async def kill_a_node(stage: Stage, _round: int) -> float:
    node = stage.chance.choice(stage.nodes)
    await node.kill()
    seconds = await stage.recovery_s()
    await node.start(stage.parts)
    return seconds


async def kill_redis(stage: Stage, number: int) -> float:
    await stage.redis.kill()
    await trio.sleep(5.0 if number % 2 else 1.0)
    await stage.redis.start(stage.parts)
    return await stage.recovery_s()


async def stop_redis(stage: Stage, number: int) -> float:
    stage.redis.signal(signal.SIGSTOP)
    await trio.sleep(10.0 if number % 2 else 3.0)
    stage.redis.signal(signal.SIGCONT)
    return await stage.recovery_s()


async def cut_redis_connections(stage: Stage, _round: int) -> float:
    for _ in range(10):
        await stage.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await trio.sleep(0.05)
    return await stage.recovery_s()


async def cut_replies(stage: Stage, _round: int) -> float:
    stage.wire.cuts_wanted = 10
    with trio.fail_after(30):
        while stage.wire.cuts_wanted:  # noqa: ASYNC110  The wire counts; nobody sets an event.
            await trio.sleep(0.01)
    return await stage.recovery_s()


async def block_the_wire(stage: Stage, _round: int) -> float:
    stage.wire.block()
    await trio.sleep(3.0)
    stage.wire.unblock()
    return await stage.recovery_s()


async def drain_a_node(stage: Stage, _round: int) -> float:
    node = stage.chance.choice(stage.nodes)
    node.signal(signal.SIGTERM)
    code = await node.ended()
    assert code == 0, f"a drained node ended with {code}:\n{stage.last_words()}"
    seconds = await stage.recovery_s()
    await node.start(stage.parts)
    return seconds


async def drain_with_a_stopped_client(stage: Stage, number: int) -> float:
    """Its socket is full and nobody reads it: the goodbye cannot be delivered."""
    async with trio.open_nursery() as nursery:
        for node in stage.nodes:
            stopped = await trio.open_tcp_stream("127.0.0.1", node.port)
            stopped.setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
            await stopped.send_all(
                b"GET /ws?room=room-0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\n\r\n"
            )
            nursery.start_soon(_hold, stopped)
        seconds = await drain_a_node(stage, number)
        nursery.cancel_scope.cancel()
    return seconds


async def _hold(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


async def flush_redis(stage: Stage, _round: int) -> float:
    await stage.redis.command("FLUSHALL")
    return await stage.recovery_s()


async def fill_redis(stage: Stage, _round: int) -> float:
    await stage.redis.command("CONFIG", "SET", "maxmemory", "1mb")
    await trio.sleep(2.0)
    await stage.redis.command("CONFIG", "SET", "maxmemory", "0")
    return await stage.recovery_s()


async def make_redis_read_only(stage: Stage, _round: int) -> float:
    """As a primary that has become a replica: it answers every write with READONLY."""
    await stage.redis.command("REPLICAOF", "127.0.0.1", "1")
    await trio.sleep(2.0)
    await stage.redis.command("REPLICAOF", "NO", "ONE")
    return await stage.recovery_s()


async def trim_past_a_client(stage: Stage, _round: int) -> float:
    """Nobody gets in while the others talk on, so for those who were cut the rooms' logs no longer reach back."""
    node = stage.chance.choice(stage.nodes)
    stage.balancer.closed = True
    await node.kill()
    await trio.sleep(2.0)
    stage.balancer.closed = False
    seconds = await stage.recovery_s()
    await node.start(stage.parts)
    return seconds


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    inject: Inject
    short_rounds: int
    long_rounds: int
    options: tuple[str, ...] = ()
    """What the nodes are started with."""
    tells: bool = False
    """Losses happen here and are told to those concerned (`recovered: false`)."""


FAULTS: Final = (
    Fault("kill -9 of a node", kill_a_node, 2, 20),
    Fault("kill -9 of Redis, away 1 or 5 s", kill_redis, 1, 10),
    Fault("SIGSTOP of Redis, 3 or 10 s", stop_redis, 1, 4),
    Fault("CLIENT KILL of every connection, 10 times", cut_redis_connections, 1, 10),
    Fault("reply cut after the append, 10 times", cut_replies, 1, 10),
    Fault("wire to Redis swallows everything, 3 s", block_the_wire, 1, 5),
    Fault("SIGTERM drain of a node", drain_a_node, 2, 20),
    Fault("SIGTERM drain with a stopped client", drain_with_a_stopped_client, 1, 5),
    Fault("log trimmed past a client", trim_past_a_client, 1, 5, ("--history", "10"), tells=True),
    Fault("Redis out of memory, 2 s", fill_redis, 1, 5),
    Fault("Redis read-only, 2 s", make_redis_read_only, 1, 5),
    Fault("FLUSHALL", flush_redis, 1, 5, tells=True),
)
