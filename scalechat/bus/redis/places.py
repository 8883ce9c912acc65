"""The Redis servers that hold the shards: one, or the masters of a Redis Cluster, and where each shard is.

A cluster is asked once at the start which server has which slots, and again whenever a call was sent to the wrong one
or a server is away (CLUSTER SLOTS, Redis Cluster specification, "Client first connection and handling of
redirections"). Each server has one connection that asks; whoever reads from it opens others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, cast

import structlog
import trio
from coredis.exceptions import RedisError

from scalechat.bus.base import BusError
from scalechat.bus.redis.address import CONNECT_S, Address
from scalechat.bus.redis.asking import Asking
from scalechat.bus.redis.keys import SLOTS, Shard
from scalechat.bus.redis.lane import Lane
from scalechat.bus.redis.link import Elsewhere, Link, LinkDown
from scalechat.config import OperationalError

OLDEST_REDIS: Final = (7, 0)
"""HRANDFIELD, approximate XTRIM and scripts that do not live on across a restart (`generation`) are all there."""
LOOK_AGAIN_S: Final = 1.0
"""From one look at a cluster's layout to the next, while a server of it is away or shards have moved."""

log = structlog.get_logger("scalechat.bus")


@dataclass(slots=True, eq=False)
class Place:
    """One Redis server."""

    address: Address
    ask: Asking
    nursery: trio.Nursery | None = None
    """Of what is done there; None while nothing is."""
    kept: trio.CancelScope = field(default_factory=trio.CancelScope)
    used: trio.CancelScope = field(default_factory=trio.CancelScope)

    def leave(self) -> None:
        """It holds no shards any more."""
        self.used.cancel()
        self.kept.cancel()


class Places:
    """`serve` is what to do at each place, `arrive` what to see to before anything is done there, `changed` is called
    when shards are elsewhere than before."""

    def __init__(
        self,
        address: Address,
        *,
        serve: Callable[[Place], Awaitable[None]],
        arrive: Callable[[Place], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self._address = address
        self._serve = serve
        self._arrive = arrive
        self._changed = changed
        self._links: list[Link] = []
        self._down: dict[Link, str] = {}
        self._down_since_s: float | None = None
        self._ready = False
        self._places = {address: self._place(address)}
        self._of_slot = [self._places[address]] * SLOTS
        self._look = trio.Event()
        self._nursery: trio.Nursery

    def of(self, slot: int) -> Place:
        """Where a slot is, as far as this node knows."""
        return self._of_slot[slot]

    def link_of(self, shard: Shard) -> Link:
        """The connection that asks about a shard."""
        return self._of_slot[shard.slot].ask

    @property
    def why_down(self) -> str | None:
        """What is the matter, if anything is."""
        for link, why in self._down.items():
            return f"no Redis at {link.address.shown}: {why}"
        return None

    @property
    def reconnects(self) -> int:
        """Connections made again."""
        return sum(max(0, link.connects - 1) for link in self._links)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep every place until cancelled; started when all of them can be used. Raises `OperationalError`."""
        async with trio.open_nursery() as self._nursery:
            seed = self._places[self._address]
            self._nursery.start_soon(self._keep, seed)
            await self._wait_first(seed)
            try:
                if self._address.cluster:
                    await self._find_out(seed)
                    for place in self._places.values():
                        await self._wait_first(place)
                for place in self._places.values():
                    await self._arrive(place)
            except RedisError as error:
                raise OperationalError(f"Redis at {self._address.shown} does not let us: {error}") from error
            except (LinkDown, Elsewhere, BusError) as error:
                why = str(error) or "the connection was lost"
                raise OperationalError(f"no Redis at {self._address.shown}: {why}") from error
            self._ready = True
            for place in self._places.values():
                self._nursery.start_soon(self._work, place)
            task_status.started()
            if self._address.cluster:
                await self._keep_looking()

    def new_lane(self, address: Address, name: str) -> Lane:
        """A connection that counts for whether the bus is up, once it is kept."""
        return Lane(address, name, self._note)

    async def keep(self, link: Link) -> None:
        """Run a connection until cancelled."""
        self._links.append(link)
        self._down[link] = "not connected yet"
        try:
            await link.run()
        finally:
            self._links.remove(link)
            self._down.pop(link, None)

    async def moved(self) -> None:
        """A call went to a Redis that cannot do it (now): look where it should have gone."""
        if self._address.cluster:
            self._look.set()
        else:
            for link in self._links:
                link.drop()  # A name may lead to another server by now.

    def _place(self, address: Address) -> Place:
        return Place(address, Asking(address, "scalechat-ask", self._note))

    async def _keep(self, place: Place) -> None:
        with place.kept:
            await self.keep(place.ask)

    async def _work(self, place: Place) -> None:
        with place.used:
            await self._serve(place)

    async def _wait_first(self, place: Place) -> None:
        where = place.address.shown
        with trio.move_on_after(2 * CONNECT_S):
            await place.ask.wait_tried()
            if place.ask.turned_away:
                raise OperationalError(f"cannot use the Redis at {where}: {self._down[place.ask]}")
            version = place.ask.server_version
            if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
                raise OperationalError(f"Redis {version} at {where} is too old: it must be 7.0 or newer")
            return
        why = self._down[place.ask]
        raise OperationalError(f"no Redis at {where}: {why}; start it, or give another address with --bus")

    # --- a cluster --------------------------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            with trio.move_on_after(LOOK_AGAIN_S):
                await self._look.wait()
            if self._look.is_set() or self._down:
                self._look = trio.Event()
                for place in list(self._places.values()):
                    try:
                        await self._find_out(place)
                    except (LinkDown, Elsewhere, RedisError):
                        continue  # Another one may know.
                    break
                await trio.sleep(LOOK_AGAIN_S / 2)

    async def _find_out(self, told_by: Place) -> None:
        """Ask one server where everything is."""
        reply = await told_by.ask.call(b"CLUSTER", b"SLOTS")
        of_slot = list(self._of_slot)
        found: dict[Address, Place] = {}
        for row in cast("list[list[object]]", reply):  # First and last slot, the master, its replicas.
            first, last, (host, port) = cast("int", row[0]), cast("int", row[1]), cast("list[object]", row[2])[:2]
            assert isinstance(port, int)
            name = host.decode() if isinstance(host, bytes) and host else told_by.address.host
            address = told_by.address.at(name, port)
            place = found.get(address) or self._places.get(address)
            if place is None:
                place = self._place(address)
                self._nursery.start_soon(self._keep, place)
                if self._ready:
                    self._nursery.start_soon(self._move_in, place)
            found[address] = place
            of_slot[first : last + 1] = [place] * (last + 1 - first)
        for address, place in self._places.items():
            if address not in found:
                place.leave()
        self._places = found
        if of_slot != self._of_slot:
            self._of_slot = of_slot
            self._changed()

    async def _move_in(self, place: Place) -> None:
        """Begin at a server that was not there before; what it lacks of scripts is seen to by the first call."""
        await place.ask.wait_up()
        await self._work(place)

    # --- coming and going -------------------------------------------------------------------------------------------

    def _note(self, link: Link, why: str | None) -> None:
        if why is not None:
            self._down[link] = why
        else:
            self._down.pop(link, None)
        if why is not None and self._ready and self._down_since_s is None:
            self._down_since_s = trio.current_time()
            log.warning("redis is away", url=link.address.shown, why=why)
        elif not self._down and self._down_since_s is not None:
            away_s = round(trio.current_time() - self._down_since_s, 3)
            self._down_since_s = None
            log.info("redis is back", url=link.address.shown, away_s=away_s)
