"""Whole nodes in this process that can be killed and started, and clients that say what they are told to over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from scalechat.config import ServeConfig
from scalechat.wire.messages import Position
from tests.rough import CLOSE, TEXT, RoughPeer, Said, rough_peer, said
from tests.server.running import Running, running

HISTORY: Final = 4
"""Messages kept of a room: few, so that logs often no longer reach back to where somebody was."""
ANSWER_S: Final = 10.0
"""Ordinarily a millisecond; a node in this process that is not killed answers."""


class Person:
    """A client with one connection at a time. It reads while it waits for an answer, in the order of the wire."""

    def __init__(self, name: str, peer: RoughPeer, ended: trio.Event) -> None:
        self.name = name
        self._peer = peer
        self._ended = ended
        self._questions = 0
        self.heard: list[Said] = []
        """Chat messages, since whoever looks has emptied it."""

    async def ask(self, type: str, **fields: object) -> Said:
        """Say one thing and wait for the answer to it."""
        self._questions += 1
        id = f"question-{self._questions}"
        await self._peer.send(said(type=type, id=id, **fields))
        return (await self._answers({id}))[id]

    async def say(self, room: str, messages: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Send messages (id, text) in one segment; the positions that were acknowledged, by id."""
        wanted = dict(messages)
        await self.shout(room, wanted.items())
        answers = await self._answers(set(wanted))
        assert {answer["type"] for answer in answers.values()} <= {"ack"}, answers
        return {id: answer["seq"] for id, answer in answers.items()}

    async def shout(self, room: str, messages: Iterable[tuple[str, str]]) -> None:
        """Send them and do not wait."""
        await self._peer.send(*(said(type="message", room=room, id=id, Message=text) for id, text in messages))

    async def last_acks(self) -> dict[str, int]:
        """Read to the connection's end; what was acknowledged on the way."""
        acks = {}
        try:
            while (got := await self._peer.frame()).opcode != CLOSE:
                if got.opcode == TEXT:
                    answer = got.said
                    if answer.get("type") == "ack":
                        acks[answer["id"]] = answer["seq"]
                    elif "type" not in answer:
                        self.heard.append(answer)
        except (EOFError, trio.BrokenResourceError):
            pass
        return acks

    async def go(self) -> None:
        """Drop the connection without a word."""
        await self._peer.aclose()
        self._ended.set()

    async def _answers(self, ids: set[str]) -> dict[str, Said]:
        answers: dict[str, Said] = {}
        with trio.fail_after(ANSWER_S):
            while ids - answers.keys():
                answer = await self._peer.hear()
                if "type" not in answer:
                    self.heard.append(answer)
                elif answer.get("id") in ids:
                    answers[answer["id"]] = answer
        return answers


@dataclass(slots=True)
class Standing:
    """A node that runs, and how to kill it."""

    running: Running
    scope: trio.CancelScope
    ended: trio.Event


@dataclass(slots=True)
class Chat:
    """`config` is every node's."""

    config: ServeConfig
    nursery: trio.Nursery
    nodes: dict[str, Standing] = field(default_factory=dict)
    """Those that run, by name."""

    async def start(self, name: str) -> None:
        self.nodes[name] = await self.nursery.start(self._run)

    async def kill(self, name: str) -> None:
        """End a node wherever it is: no drain, no goodbye, nothing more reaches the bus."""
        node = self.nodes.pop(name)
        node.scope.cancel()
        await node.ended.wait()

    async def connect(self, name: str, node: str) -> Person:
        """A new connection, in no room yet."""
        person: Person = await self.nursery.start(self._keep, name, self.nodes[node].running.port)
        return person

    async def settle(self) -> None:
        """Wait until every node has offered its members all that had its place before this call."""
        for node in list(self.nodes.values()):
            await node.running.node.bus.wait_caught_up()
            await node.running.node.sweeper.wait_idle()

    async def _run(self, *, task_status: trio.TaskStatus[Standing]) -> None:
        ended = trio.Event()
        with trio.CancelScope() as scope:
            async with running(self.config) as node:
                task_status.started(Standing(node, scope, ended))
                await trio.sleep_forever()
        ended.set()

    async def _keep(self, name: str, port: int, *, task_status: trio.TaskStatus[Person]) -> None:
        async with rough_peer(port) as peer:
            await peer.enter(f"/ws?room=&clientId={name}", v1=True)
            welcome = await peer.hear()
            assert welcome["clientId"] == name
            ended = trio.Event()
            task_status.started(Person(name, peer, ended))
            await ended.wait()


def position(of: Position) -> dict[str, object]:
    """As `since` says it."""
    return {"epoch": of.epoch, "seq": of.seq}


def opener(bus: str, nodes: Iterable[str]) -> Callable[[], AbstractAsyncContextManager[Chat]]:
    """Opens a chat whose `nodes` share the bus at that address."""

    @asynccontextmanager
    async def open_chat() -> AsyncIterator[Chat]:
        async with trio.open_nursery() as nursery:
            config = ServeConfig(bus=bus, history_messages=HISTORY, message_rate_per_s=0)
            chat = Chat(config, nursery)
            for name in nodes:
                await chat.start(name)
            yield chat
            nursery.cancel_scope.cancel()

    return open_chat
