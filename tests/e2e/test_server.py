"""A real server process and the promises of its protocol, with clients that are cut off in the middle."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

import pytest
import trio
from trio_websocket import open_websocket_url

from scalechat.config import Fanout

from ..conftest import ServeProcess, ServerProcess
from ..rough import TEXT, RoughPeer, Said, rough_peer, said
from .scrape import prober

PUBLISHERS = 5
MESSAGES = 150
CUTS = 12
IN_FLIGHT = 8


@pytest.mark.parametrize("fanout", ["coalesced", "encode-once", "per-client"])
async def test_everybody_hears_everything_once_and_in_one_order(serve_process: ServeProcess, fanout: Fanout) -> None:
    """Five at once, in both dialects, three hundred messages: the same sequence for all, by every strategy."""
    server = serve_process("--message-rate", "0", "--fanout", fanout)
    heard: list[list[tuple[int, str]]] = [[] for _ in range(6)]

    async def take_part(number: int) -> None:
        v1 = number % 2 == 0
        url = f"{server.ws_url}?clientId=c{number}"
        async with open_websocket_url(url, subprotocols=["scalechat.v1"] if v1 else None) as socket:
            if v1:
                for _ in range(2):
                    await socket.get_message()
            joined.append(number)
            if len(joined) == len(heard):
                everybody.set()
            await everybody.wait()
            for at in range(50):
                await socket.send_message(json.dumps({"clientId": f"c{number}", "Message": f"{number}.{at}"}))
            while len(heard[number]) < 50 * len(heard):
                message = json.loads(await socket.get_message())
                heard[number].append((message["seq"], message["Message"]))

    joined: list[int] = []
    everybody = trio.Event()
    async with trio.open_nursery() as nursery:
        for number in range(len(heard)):
            nursery.start_soon(take_part, number)
    assert [seq for seq, _ in heard[0]] == list(range(1, 301))
    assert all(other == heard[0] for other in heard)
    for number in range(len(heard)):
        own = [text for _, text in heard[0] if text.startswith(f"{number}.")]
        assert own == [f"{number}.{at}" for at in range(50)], "each client's messages keep their order"
    async with prober(server.port) as probe:
        values = await probe.values()
    assert (values["scalechat_publications_total"], values["scalechat_deliveries_total"]) == (300, 1800)
    assert server.stop() == 0


@dataclass(slots=True)
class Resuming:
    """A client that is cut off now and then, comes back where it was, and says again what was not acknowledged."""

    server: ServerProcess
    name: str
    random: random.Random
    to_say: list[str] = field(default_factory=list)
    acked: dict[str, int] = field(default_factory=dict)
    heard: list[tuple[int, str]] = field(default_factory=list)
    epoch: str = ""
    seq: int = 0
    cuts: int = 0

    async def run(self, total: int) -> None:
        """Until everything is acknowledged and `total` messages have been heard."""
        while len(self.heard) < total or self.to_say:
            patience = self.random.randint(1, total // CUTS) if self.cuts < CUTS else None
            async with rough_peer(self.server.port) as peer:
                since = f"&since_epoch={self.epoch}&since_seq={self.seq}" if self.epoch else ""
                await peer.enter(f"/ws?clientId={self.name}{since}", v1=True)
                await self._talk(peer, total, patience)
            self.cuts += patience is not None

    async def _talk(self, peer: RoughPeer, total: int, patience: int | None) -> None:
        to_say = iter(list(self.to_say))
        messages = 0
        while len(self.heard) < total or self.to_say:
            got = await peer.frame()
            if got.opcode != TEXT:
                await peer.answer_control(got)
                continue
            value = got.said
            self._hear(value)
            say_now = {"joined": IN_FLIGHT, "ack": 1}.get(value.get("type", ""), 0)
            await peer.send(*(said(Message=id, id=id) for id in islice(to_say, say_now)))
            messages += 1
            if messages == patience:
                return  # In the middle of everything, whatever is under way in either direction.

    def _hear(self, value: Said) -> None:
        match value.get("type"):
            case None:
                self._append(value)
            case "ack":
                self.acked[value["id"]] = value["seq"]
                if value["id"] in self.to_say:
                    self.to_say.remove(value["id"])
            case "joined":
                assert value["recovered"] is bool(self.epoch), "the log reaches back far enough"
                for message in value["history"]:
                    self._append(message)
                assert self.seq in (value["seq"], 0)
                self.epoch, self.seq = value["epoch"], value["seq"]
            case kind:
                assert kind == "welcome"

    def _append(self, message: Said) -> None:
        assert message["seq"] == self.seq + 1, "no hole and no duplicate, live or resumed"
        self.seq += 1
        self.heard.append((message["seq"], message["id"]))


@asynccontextmanager
async def resuming(server: ServerProcess, seed: int) -> AsyncIterator[list[Resuming]]:
    """As many as `PUBLISHERS`, each in the room before the first message; it is never empty, so its log stays."""
    clients = []
    async with rough_peer(server.port) as stays:
        await stays.enter("/ws?clientId=stays")
        for number in range(PUBLISHERS):
            client = Resuming(server, f"c{number}", random.Random(seed * 100 + number))
            async with rough_peer(server.port) as peer:
                await peer.enter(f"/ws?clientId={client.name}", v1=True)
                for value in await peer.hear_all(2):
                    client._hear(value)
            client.to_say = [f"{client.name}-{at}" for at in range(MESSAGES)]
            clients.append(client)
        yield clients


async def test_clients_that_are_cut_off_lose_nothing_and_hear_nothing_twice(serve_process: ServeProcess) -> None:
    """Five that publish while each is cut a dozen times: every message once, in one order, acks true to it."""
    server = serve_process("--message-rate", "0", "--history", "100000", "--queue-bytes", "100000000")
    total = PUBLISHERS * MESSAGES
    async with resuming(server, seed=1) as clients, trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(client.run, total)
    order = clients[0].heard
    assert [seq for seq, _ in order] == list(range(1, total + 1))
    assert sorted(id for _, id in order) == sorted(f"c{n}-{at}" for n in range(PUBLISHERS) for at in range(MESSAGES))
    place = {id: seq for seq, id in order}
    for client in clients:
        assert client.cuts >= CUTS / 2
        assert client.heard == order
        assert client.acked == {id: seq for id, seq in place.items() if id.startswith(f"{client.name}-")}
    assert server.stop() == 0
    assert [line["level"] for line in server.log() if line["level"] not in ("info", "debug")] == []


async def test_a_client_away_for_too_long_is_told_that_it_missed_something(serve_process: ServeProcess) -> None:
    """The log no longer reaches back, or the server is another one: `recovered` false, with what there is."""
    server = serve_process("--message-rate", "0", "--history", "10")
    async with rough_peer(server.port) as peer:
        await peer.enter("/ws?clientId=a", v1=True)
        _, joined = await peer.hear_all(2)
        await peer.send(*(said(Message=str(at), id=str(at)) for at in range(20)))
        await peer.hear_all(40)
    away = f"/ws?clientId=a&since_epoch={joined['epoch']}&since_seq=5&history=3"
    for one_of in (server, serve_process("--history", "10")):
        async with rough_peer(one_of.port) as peer:
            await peer.enter(away, v1=True)
            _, back = await peer.hear_all(2)
            assert back["recovered"] is False
            assert [m["seq"] for m in back["history"]] == ([18, 19, 20] if one_of is server else [])
            assert (back["epoch"] == joined["epoch"]) is (one_of is server)
