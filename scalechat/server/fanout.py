"""From a room's pending publications to every member's outbox: the sweeper.

Theory of operation: publishing appends to `Room.pending` and wakes the sweeper. On its next pass the sweeper goes
through the room's members and gives each of them everything that is pending and that it lacks, then yields, and so on:
an idle server sends a message on the next scheduler pass. `Room.members` has the position that each has got to. What is
published while a sweep is under way is given to those still to come at once, and to those already served in the next
sweep, so no member is ever further from a message than one sweep; and the more is pending, the less a delivery costs.
Members who join meanwhile have it in their replay and are not in the list, members who leave are skipped.

Only while there is more to read are messages held back, until that is read: they then go out in fewer writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import trio

from scalechat.server.member import Member
from scalechat.server.metrics import Counters
from scalechat.server.outbox import Backlog, Outcome
from scalechat.server.room import Prepared, Room
from scalechat.server.slow_consumer import Spare, pauses
from scalechat.server.strategies import Strategy

BATCH_BYTES = 128 * 1024
"""One buffer for a member, at most (or one message, if that is larger): an eighth of the default queue limits, so that
a member who keeps up is never over them by one sweep alone."""
MEMBERS_PER_SLICE = 128
"""Members served between two yields; 128 writes take about 0.5 ms, so loop lag stays well under 5 ms. Members who lack
nothing are not counted: passing 20,000 of them takes 1 ms."""
HOLD_S = 0.025
"""How long messages wait at most for what else there is to read. Sixteen messages for a room of four are 4 writes if
they are read first, and up to 64 if not: 91 k instead of 53 k publishes/s with 250 such rooms. Reading once from each
of 1,000 busy clients takes 25 ms; where the backlog is longer, latency has long been made of it."""


class Sweeper:
    """Owns which rooms have something pending, and empties them.

    `evict` is told of each member whose outbox is over its limit, or `pause`, with the room and the position the member
    has got to, where the room's policy says so. `observe` gets the seconds from a sweep's oldest publication to the
    last member's outbox. `more_to_read` says whether input is known to be waiting.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        counters: Counters,
        backlog: Backlog,
        evict: Callable[[Member], None],
        pause: Callable[[Room, Member, int], None],
        observe: Callable[[float], None],
        more_to_read: Callable[[], bool] = lambda: False,
    ) -> None:
        self._strategy = strategy
        self._counters = counters
        self._backlog = backlog
        self._evict = evict
        self._pause = pause
        self._observe = observe
        self._more_to_read = more_to_read
        self._dirty: dict[Room, None] = {}
        self._work = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._served_since_yield = 0

    def wake(self, room: Room) -> None:
        """`room` has something pending."""
        if room not in self._dirty:
            room.pending_since_s = time.perf_counter()
            self._dirty[room] = None
            self._work.set()
            if self._idle.is_set():
                self._idle = trio.Event()

    async def run(self) -> None:
        """Sweep until cancelled; what is pending then stays pending."""
        while True:
            while self._dirty:
                room = next(iter(self._dirty))
                while self._more_to_read() and time.perf_counter() - room.pending_since_s < HOLD_S:
                    await trio.lowlevel.checkpoint()
                del self._dirty[room]
                await self._sweep(room)
            self._idle.set()
            self._work = trio.Event()
            await self._work.wait()

    async def wait_idle(self) -> None:
        """Wait until everything published so far has been offered to every member's outbox."""
        await self._idle.wait()

    async def _sweep(self, room: Room) -> None:
        began_s = room.pending_since_s
        if not room.pending:
            return
        # What comes meanwhile some members hear now and the others in the next sweep.
        oldest, owed = room.pending[0], len(room.pending)
        members = list(room.members)
        at = 0
        while at < len(members):
            if self._served_since_yield == MEMBERS_PER_SLICE:
                await self._yield()
            part = members[at : at + MEMBERS_PER_SLICE - self._served_since_yield]
            at += len(part)
            for batch in batches(room.pending, self._strategy.batch_frames):
                if self._served_since_yield + len(part) > MEMBERS_PER_SLICE:
                    await self._yield()
                self._served_since_yield += self._serve(room, batch, part)
        if room.pending and room.pending[0] is oldest:  # Otherwise the log has begun anew, and so has this.
            del room.pending[:owed]
        self._observe(time.perf_counter() - began_s)

    async def _yield(self) -> None:
        self._served_since_yield = 0
        await trio.lowlevel.checkpoint()

    def _serve(self, room: Room, batch: Sequence[Prepared], part: Sequence[Member]) -> int:
        """Give these members the batch; returns how many of them lacked any of it.

        What an ordinary member costs is in this loop: a call more for each is felt in the benchmarks.
        """
        drops = room.policy.drops
        spare = Spare(room.name, room.policy, [prepared.frame for prepared in batch]) if drops else None
        whole = self._strategy.begin(batch, spare)
        size = len(whole or b"")
        first, last, count = batch[0].seq, batch[-1].seq, len(batch)
        positions = room.members
        offered = written = delivered = 0
        for member in part:
            position = positions.get(member, last)  # It may have left while the sweep was under way.
            if position >= last:
                continue
            offered += 1
            direct = member.outbox.direct
            if whole is None or direct is None or position >= first:
                outcome = self._strategy.serve(member, position)
            else:
                try:
                    taken = direct(whole)
                except OSError:  # Full or broken: the outbox finds out which.
                    outcome = self._strategy.serve(member, position)
                else:
                    written += taken
                    if taken == size:
                        positions[member] = last
                        delivered += count
                        continue
                    outcome = member.outbox.queue_rest(whole, taken, count, spare)
            if outcome is Outcome.OVERFLOW:
                self._refused(room, member, max(position, first - 1))
            elif outcome is not Outcome.CLOSED:
                positions[member] = last
                delivered += min(count, last - position)
        self._backlog.sent_bytes += written
        self._counters.deliveries += delivered
        return offered

    def _refused(self, room: Room, member: Member, after_seq: int) -> None:
        if pauses(room.policy):
            self._pause(room, member, after_seq)
        else:
            self._evict(member)


def batches(pending: Sequence[Prepared], most_frames: int) -> list[Sequence[Prepared]]:
    """Cut what is pending into batches within `most_frames` and `BATCH_BYTES`."""
    cut: list[Sequence[Prepared]] = []
    begin = size = 0
    for at, prepared in enumerate(pending):
        if at > begin and (at - begin == most_frames or size + len(prepared.frame) > BATCH_BYTES):
            cut.append(pending[begin:at])
            begin, size = at, 0
        size += len(prepared.frame)
    if begin < len(pending):
        cut.append(pending[begin:])
    return cut
