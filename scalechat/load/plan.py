"""The seeded plan of a run: who connects when, who sits in which room, who publishes, and every intended time.

All of it follows from the configuration and the seed before the first connection is made; neither the server's
answers nor the generator's lateness can move a time in it. Times here are offsets: of connections from the start of
the ramp, of messages from the start of the schedule (which is when the warm-up begins).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from scalechat.config import LoadConfig
from scalechat.load.course import Course
from scalechat.load.crowd import Crowd
from scalechat.load.payload import HEADER_CHARS
from scalechat.load.seeded import Chance, Draw
from scalechat.load.sizes import FixedSize, Sizes, parse_sizes
from scalechat.load.tempo import SECOND_NS, Tempo

__all__ = ["JITTER", "SECOND_NS", "WHOLE_ROOMS_FROM", "Plan", "Schedule", "Share"]

JITTER = 0.1
"""``jittered`` moves each message by up to this part of the period, either way: enough to keep clients from marching in
step with each other or with a timer of the server's, too little to change anybody's rate."""


WHOLE_ROOMS_FROM: Final = 8
"""So many rooms for each process, and none is split: then no process has more than an eighth above its part."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a plan one process carries out: the `index`-th of `count`."""

    index: int = 0
    count: int = 1


EVERYTHING: Final = Share()


@dataclass(frozen=True, slots=True)
class Plan:
    """Clients are numbered 0…clients-1; client k is in room k mod rooms, and the first `publishers` clients publish.

    So rooms differ by one member at most, publishers are spread over the rooms as evenly, and the publishers of a room
    have slots 0, 1, 2… in it.
    """

    clients: int
    rooms: int
    publishers: int
    period_ns: int
    arrivals: Literal["fixed", "jittered", "poisson"]
    sizes: Sizes
    connections_per_s: float
    seed: int
    crowd: Crowd
    tempo: Tempo
    is_closed_loop: bool
    """Messages are due when their publishers have been answered; only when each begins is in the plan."""
    course: Course
    share: Share = EVERYTHING
    """Numbers, rooms and slots are the whole plan's in every process; only some of the clients are its own."""

    @classmethod
    def of(cls, config: LoadConfig, seed: int, share: Share = EVERYTHING) -> Plan:
        """The plan for a configuration. Raises `UsageError` for sizes or kinds that cannot be."""
        crowd = Crowd.of(config)
        return cls(
            clients=config.clients,
            rooms=config.rooms,
            publishers=crowd.publishers,
            period_ns=max(1, round(config.msg_frequency_ms * 1e6)),
            arrivals=config.arrivals,
            sizes=parse_sizes(config.msg_size, minimum_bytes=HEADER_CHARS),
            connections_per_s=config.ramp_per_s,
            seed=seed,
            crowd=crowd,
            tempo=Tempo.of(config),
            is_closed_loop=config.loop == "closed",
            course=Course.of(config),
            share=share,
        )

    @property
    def offered_per_s(self) -> float:
        """Messages intended per second."""
        return self.publishers * SECOND_NS / self.period_ns

    @property
    def deliveries_per_s(self) -> float:
        """Deliveries per second when every client is connected and nothing is lost."""
        published = (self.publishers_in(room) * self.members_of(room) for room in range(self.rooms))
        return sum(published) * SECOND_NS / self.period_ns

    def room_of(self, client: int) -> int:
        """The room's number."""
        return client % self.rooms

    def slot_of(self, publisher: int) -> int:
        """The publisher's number among the publishers of its room."""
        return publisher // self.rooms

    def members_of(self, room: int) -> int:
        """How many clients sit in the room."""
        return (self.clients - room + self.rooms - 1) // self.rooms

    def publishers_in(self, room: int) -> int:
        """How many of them publish."""
        return max(0, (self.publishers - room + self.rooms - 1) // self.rooms)

    def worker_of(self, client: int) -> int:
        """The index of the process that plays the client.

        Rooms stay whole where they spread evenly, because what is published and received by one process is accounted
        for by one process and measured with one clock. Otherwise each room is dealt out, publishers and readers alike.
        """
        room = self.room_of(client)
        return (room if self.rooms_are_whole else room + client // self.rooms) % self.share.count

    @property
    def rooms_are_whole(self) -> bool:
        """Whether all clients of a room are in one process."""
        count = self.share.count
        return self.rooms % count == 0 or self.rooms >= WHOLE_ROOMS_FROM * count

    def is_mine(self, client: int) -> bool:
        """Whether this process plays the client."""
        return self.share.count == 1 or self.worker_of(client) == self.share.index

    def mine(self) -> list[int]:
        """The clients of this process, in order."""
        return [client for client in range(self.clients) if self.is_mine(client)]

    def most_messages(self, length_ns: int) -> int:
        """A number that no publisher reaches in a schedule of this length (at random: not once in 10^20 times)."""
        mean = self.tempo.beats_by(length_ns) / self.period_ns
        return math.ceil(mean + 2 + (10 * math.sqrt(mean) + 50 if self.arrivals == "poisson" else 0))

    def connect_ns(self, client: int) -> int:
        """When the client is intended to connect."""
        return round(client * SECOND_NS / self.connections_per_s)


class Schedule:
    """The intended times of all messages of this process before `end_ns`, in order; each is handed out once.

    Client k's n-th message is due at ``phase_k + n · period``, with the phase drawn from the seed (``fixed``), moved by
    a draw of its own (``jittered``); for ``poisson`` the gaps are exponential with the period as their mean. A client's
    times never decrease; what is due while it is not to be there, by the course, is left out. All that is in beats of
    the plan's tempo: the heap holds beats, who asks gets ns.
    """

    __slots__ = ("_chance", "_due", "_end", "_everybody", "_phases", "_plan", "_when")

    def __init__(self, plan: Plan, *, end_ns: int) -> None:
        self._plan = plan
        self._end = plan.tempo.beats_by(end_ns)
        self._when = int if plan.tempo.is_steady else plan.tempo.when
        self._everybody = all(leg.clients == plan.clients for leg in plan.course.legs)
        self._chance = Chance(plan.seed)
        self._phases = [
            int(self._chance.uniform(Draw.PHASE, client) * plan.period_ns) for client in range(plan.publishers)
        ]
        first = ((self._time(client, 0, 0), client, 0) for client in range(plan.publishers) if plan.is_mine(client))
        self._due = [entry for entry in first if entry[0] < self._end]
        heapq.heapify(self._due)

    @property
    def next_ns(self) -> int | None:
        """When the next message is due; None when no more are."""
        return self._when(self._due[0][0]) if self._due else None

    def take_due(self, until_ns: int) -> Iterator[tuple[int, int, int]]:
        """(due, client, number) of each message due at `until_ns` or before; whatever is yielded is taken."""
        due, plan = self._due, self._plan
        while due and (at := self._when(due[0][0])) <= until_ns:
            beat, client, number = due[0]
            following = self._time(client, number + 1, beat)
            if following < self._end:
                heapq.heapreplace(due, (following, client, number + 1))
            else:
                heapq.heappop(due)
            if self._everybody or client < plan.course.clients_at(at - plan.course.warmup_ns):
                yield at, client, number

    def begins_ns(self, client: int) -> int:
        """When the client's grid begins."""
        return self._when(self._phases[client])

    def period_after(self, at_ns: int) -> int:
        """A period later, in beats of the tempo: nothing is due in a pause."""
        return self._when(self._plan.tempo.beats_by(at_ns) + self._plan.period_ns)

    def size_of(self, client: int, number: int) -> int:
        """Bytes of the client's message `number`."""
        if isinstance(self._plan.sizes, FixedSize):
            return self._plan.sizes.size_bytes
        return self._plan.sizes.pick(self._chance.uniform(Draw.SIZE, client, number))

    def _time(self, client: int, number: int, previous_ns: int) -> int:
        plan = self._plan
        grid_ns = self._phases[client] + number * plan.period_ns
        match plan.arrivals:
            case "fixed":
                return grid_ns
            case "jittered":
                moved = JITTER * (2 * self._chance.uniform(Draw.ARRIVAL, client, number) - 1)
                return max(0, grid_ns + int(moved * plan.period_ns))
            case "poisson":
                gap = -math.log1p(-self._chance.uniform(Draw.ARRIVAL, client, number))
                return previous_ns + int(gap * plan.period_ns)
