"""One simulated client: joins its room, publishes when told, accounts for all it receives, and stays connected.

A client has one connection after another. Between two of them it is *away* (for how long says `comeback`). What that is
to the ledger:

* A client that resumes (it asks for what came after its last position) stays a member while it is away: what is
  published meanwhile is expected, counts as delivered when the replay brings it, from its intended time, and is
  missing when the server says that it could not recover it.
* One that does not resume leaves, and joins again as a new member.
* A client that goes of its own will gives up what was under way to it; one that was cut off does not: what was
  published before and never came is missing.
* One that never comes back is not a member since it went.

What it is to publish meanwhile is its `speaker`'s to keep.
"""

from __future__ import annotations

import trio

from scalechat.load.comeback import Comeback
from scalechat.load.connection import Connection
from scalechat.load.dialects import Reply
from scalechat.load.failures import Failure
from scalechat.load.inbox import Inbox
from scalechat.load.speaker import Speaker
from scalechat.load.stays import Until
from scalechat.load.surroundings import Surroundings
from scalechat.wire.messages import Joined, Position


class VirtualClient:
    """Client number `number` of the plan. All times are of the run's clock."""

    __slots__ = (
        "_comeback",
        "_connection",
        "_inbox",
        "_leaving",
        "_ordinal",
        "_position",
        "_retired",
        "_room",
        "_settled",
        "_staying",
        "_until",
        "_world",
        "is_away",
        "number",
        "speaker",
    )

    def __init__(self, number: int, world: Surroundings) -> None:
        plan = world.recorder.plan
        self.number = number
        self.is_away = False
        """Its connection is over and it means to come back, or it is expected to come."""
        self._world = world
        self._comeback = Comeback(number, world)
        self._room = world.names.room(plan.room_of(number))
        self._inbox = Inbox(number, world, self)
        self.speaker = Speaker(number, world, self) if number < plan.publishers else None
        """None when it only reads."""
        self._connection: Connection | None = None
        self._settled = self._leaving = self._retired = False
        self._ordinal = 0
        """Of the next connection."""
        self._staying = trio.CancelScope()
        self._position: Position | None = None
        """Where the last connection began; `Inbox.seq` goes on from there."""
        self._until: Until | None = None
        """While it is away and a member: what it must have got if it never comes back."""

    @property
    def connection(self) -> Connection | None:
        """The newest one."""
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether it is in its room now."""
        return self._connection is not None and self._connection.is_open

    @property
    def is_member(self) -> bool:
        """Whether it is in the account of its room: it is there, or away and will resume."""
        return self.is_open or self._until is not None

    @property
    def failure(self) -> Failure | None:
        """Why the newest connection failed, if it did."""
        return None if self._connection is None else self._connection.failure

    @property
    def never_came(self) -> bool:
        """Whether it dialed in vain; it does so once, unless a later step wants it again."""
        connection = self._connection
        return connection is not None and connection.ordinal == 0 and connection.opened_ns is None

    @property
    def longest_gap_ns(self) -> int:
        """The longest time without a delivery, of the newest connection."""
        return self._inbox.longest_gap_ns

    @property
    def awaits(self) -> bool:
        """Whether something it is to get can still come."""
        ledger = self._inbox.ledger
        return self.is_member and ledger is not None and self._world.recorder.roll.missed_by(self.number, ledger) > 0

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, intended_ns: int) -> None:
        """Be connected, as long as that is possible and wanted. May be run again when it has retired."""
        self._retired, self._staying = False, trio.CancelScope()
        try:
            with self._staying:
                await self._stay(intended_ns)
        finally:
            self._give_up()
            self._settle()

    async def _stay(self, intended_ns: int) -> None:
        world = self._world
        while True:
            if self._connection is not None:
                world.on_replaced(self)
                if not self.is_member:
                    self._inbox.forget()
            connection = self._connection = Connection(self, world, self.number, self._ordinal, intended_ns)
            self._ordinal += 1
            await connection.run(self._resource())
            self._settle()
            gone = self._leaving or self._retired
            wait_s = None if gone else self._comeback.wait_s(connection, trio.current_time())
            if wait_s is None:
                return
            self.is_away = True
            intended_ns = world.clock() + round(wait_s * 1e9)
            await trio.sleep(wait_s)

    async def retire(self) -> None:
        """Say goodbye and stay away, as the plan wants it: what is under way to it is not waited for."""
        self._retired = True
        if self._connection is not None:
            await self._connection.close()
        self._staying.cancel()

    async def close(self) -> None:
        """Say goodbye, if it is there, and dial no more; `run` then ends."""
        self._leaving = True
        if self._connection is not None and self.is_open:
            await self._connection.close()
        else:
            self._staying.cancel()  # Who is let in while others say goodbye would be cut off without one.

    def drop(self, away_s: float) -> None:
        """Lose the connection, now, and dial again after so long."""
        if self._connection is not None and self.is_open:
            self._comeback.planned(away_s)
            self._connection.cut()

    def _resource(self) -> str:
        world = self._world
        resource = world.dialect.resource(world.names, self.number, self._room)
        if self._until is None or self._position is None:
            return resource
        return f"{resource}&since_epoch={self._position.epoch}&since_seq={self._inbox.seq}"

    def _give_up(self) -> None:
        """It does not come back."""
        self.is_away = False
        if self._until is not None and self._inbox.ledger is not None:
            self._world.recorder.leave(self.number, self._inbox.ledger, self._world.clock(), until=self._until)
            self._until = None

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            self._world.on_settled()

    # --- what its connection, its inbox and its speaker need ---------------------------------------------------------

    @property
    def inbox(self) -> Inbox:
        """See `connection.Owner`."""
        return self._inbox

    def handshaken(self) -> None:
        """See `connection.Owner`."""
        if not self._world.dialect.confirms:
            self.joined(None)

    def joined(self, said: Joined | None) -> None:
        """It is in its room; a server may say so more than once."""
        connection = self._connection
        if connection is None or connection.opened_ns is not None:
            return
        recorder = self._world.recorder
        recorder.counters.connects += 1
        recorder.counters.open += 1
        recorder.counters.reconnects += connection.ordinal > 0
        connection.join_order = recorder.roll.members[recorder.plan.room_of(self.number)]
        self.is_away = False
        self._comeback.connected(trio.current_time())
        resumed, self._until = self._until is not None, None
        ledger = self._inbox.open(self._world.clock(), again=resumed)
        connection.open(ledger, for_s=self._comeback.lasts_s(connection.ordinal))
        if said is not None:
            if resumed and not said.recovered:
                self._world.error("not_recovered", "the server's log no longer reached back to where the client was")
            elif resumed and said.seq < self._inbox.seq:
                self._world.error("position_went_back", "the server's log ends before where the client was")
            if said.history:
                self._inbox.take(self._world.decoder.batch([bytes(message) for message in said.history]))
            self._position = Position(said.epoch, said.seq)
            self._inbox.begin_at(said.seq)
        self._settle()
        if self.speaker is not None:
            self.speaker.catch_up()

    def gone(self) -> None:
        """See `connection.Owner`."""
        self._inbox.close()
        connection, ledger, recorder = self._connection, self._inbox.ledger, self._world.recorder
        assert connection is not None
        assert ledger is not None
        of_own_will, gone_ns = connection.closed_by == "client", connection.closed_ns or self._world.clock()
        recorder.counters.open -= 1
        recorder.counters.disconnects += not of_own_will
        if self._leaving:
            recorder.leave(self.number, ledger, gone_ns)
            return
        self.is_away = self._world.reconnects and not self._retired
        if self.is_away and self._position is not None and self._comeback.resumes:
            published, reached = recorder.roll.published_by[recorder.plan.room_of(self.number)], ledger.reached()
            self._until = Until(reached) if of_own_will else Until(list(map(max, published, reached)), gone_ns)
            recorder.roll.be_away()
        else:
            recorder.leave(self.number, ledger, gone_ns, until=Until(ledger.reached()) if of_own_will else None)
            self._inbox.forget()
        if not self._retired:
            self._world.on_left()

    def told(self, after_ms: int) -> None:
        """The server asks to come back so much later, after it will have closed the connection."""
        self._comeback.told(trio.current_time(), after_ms)

    def beat(self, heartbeat: Reply) -> None:
        """Say that it is still there, if it is."""
        if self.is_open:
            self.send(heartbeat.of(self._world.names, self.number, self._room))

    def answered(self, number: int) -> None:
        """See `inbox.Owner`."""
        if self.speaker is not None:
            self.speaker.answered(number)

    def send(self, payload: bytes) -> bool:
        """See `inbox.Owner` and `speaker.Owner`."""
        assert self._connection is not None
        return self._connection.send(payload)
