"""A sweeper with rooms and members on small sockets: what the hub does with a publication, without the hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio.testing import wait_all_tasks_blocked

from scalechat.server.fanout import Sweeper
from scalechat.server.member import Member
from scalechat.server.outbox import QueueLimits
from scalechat.server.resync import Resync
from scalechat.server.room import Room
from scalechat.server.slow_consumer import DISCONNECT, Policy
from scalechat.server.strategies import STRATEGIES
from tests.server.seats import LIMITS, Seat, Seats, prepared, seats


class Swept:
    """A sweeper with its rooms and members; `publish` does what the hub does with a publication."""

    def __init__(self, strategy: str, seats: Seats) -> None:
        self.seats = seats
        self.nursery = seats.nursery
        self.rooms: dict[str, Room] = {}
        self.evicted: list[Member] = []
        self.left_behind: list[Member] = []
        """Those of them that the log has left behind."""
        self.observed_s: list[float] = []
        self.sweeper = Sweeper(
            STRATEGIES[strategy](),
            counters=seats.counters,
            backlog=seats.backlog,
            evict=self._evict,
            pause=Resync(counters=seats.counters, evict=self._leave_behind).pause,
            observe=self.observed_s.append,
        )

    def _evict(self, member: Member) -> None:
        self.evicted.append(member)
        member.outbox.close()

    def _leave_behind(self, member: Member) -> None:
        self.left_behind.append(member)
        self._evict(member)

    def room(self, name: str = "tea", policy: Policy = DISCONNECT, history: int = 1000) -> Room:
        room = self.rooms[name] = Room(name, "e1", 0, history, 10**9, policy)
        return room

    def join(self, room: Room, count: int = 1, *, room_bytes: int = 10**8, limits: QueueLimits = LIMITS) -> list[Seat]:
        joined = [self.seats.take(room_bytes=room_bytes, limits=limits) for _ in range(count)]
        for seat in joined:
            room.add(seat.member, watch=False)
        return joined

    def publish(self, room: Room, count: int = 1, text: str = "hi") -> None:
        for _ in range(count):
            room.append(prepared(room.seq + 1, text, room.name))
            if room.pending:
                self.sweeper.wake(room)

    def start(self) -> None:
        self.nursery.start_soon(self.sweeper.run)

    async def sweep(self) -> None:
        """Begin to sweep, and wait until everything is on the wire that will ever be."""
        self.start()
        await self.settle()

    async def settle(self) -> None:
        """Wait until everything published is on the wire that fits."""
        await self.sweeper.wait_idle()
        await wait_all_tasks_blocked()

    @property
    def deliveries(self) -> int:
        return self.seats.counters.deliveries


@asynccontextmanager
async def swept(strategy: str) -> AsyncIterator[Swept]:
    async with seats() as made:
        yield Swept(strategy, made)
