"""What waits for one slow client, within its limits, and which of it may still be dropped.

Theory of operation: an `Item` must be sent. A `Run` is a stretch of one batch whose messages may be dropped until the
writer takes them: it shares the batch's frames with all members and gets shorter from either end, at no cost in the
channel (``line.py``), so queuing a batch costs one step and dropping a message another. What is sent is always in the
order in which it was offered.

Nothing here waits: the outbox's writer takes, everybody else adds and drops.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import trio

from scalechat.server.line import Item, Line, Run
from scalechat.server.slow_consumer import Arrival, Policy, Spare, Verdict

if TYPE_CHECKING:
    from scalechat.server.outbox import Backlog, QueueLimits

COMMIT_BYTES = 16 * 1024
"""Most of a run that the writer takes at a time (or one message, if that is larger): what it has taken cannot be
dropped any more, and a send of 16 KiB costs as much for its bytes as for its call."""


class Taken(NamedTuple):
    """What the writer sends next."""

    data: bytes
    frames: int


class Lane(msgspec.Struct, eq=False):
    """What waits of one room and may be dropped: never an empty run, and oldest first."""

    room: str
    policy: Policy
    runs: deque[Run]
    frames: int = 0


class Waiting:
    """One client's queue, within `limits`; `backlog` is the sum over all clients."""

    __slots__ = (
        "_backlog",
        "_head",
        "_lanes",
        "_limits",
        "_line",
        "bytes",
        "frames",
        "oldest_at_s",
        "under_way_s",
    )

    def __init__(self, limits: QueueLimits, backlog: Backlog) -> None:
        # An entry holds at least one frame; one more for the rest of a frame that has begun, one for the last frame.
        self._line = Line(limits.frames + 2)
        self._limits = limits
        self._backlog = backlog
        self._lanes: dict[str, Lane] = {}
        self._head: Run | None = None  # Out of the channel, and not yet sent in full.
        self.frames = 0
        self.bytes = 0
        """Both with what the writer has taken and not yet sent."""
        self.oldest_at_s = self.under_way_s = trio.current_time()
        """When the oldest was queued; the moment from which its age counts against the client."""

    def fits(self, frames: int, size: int) -> bool:
        """Whether so much more is within the limits."""
        return self.frames + frames <= self._limits.frames and self.bytes + size <= self._limits.bytes

    # --- adding -----------------------------------------------------------------------------------------------------

    def append(self, data: bytes, frames: int, *, begun: bool = False) -> None:
        """Queue what must be sent, whatever the limits say."""
        self._line.put(Item(data, frames, trio.current_time(), begun))
        self._account(frames, len(data))

    def make_room(self, frames: int, size: int) -> bool:
        """Drop what rooms give until so much fits; False when it still does not."""
        while not self.fits(frames, size):
            giving = [lane for lane in self._lanes.values() if lane.policy.gives != "nothing"]
            if not giving:
                return False
            self._give(max(giving, key=lambda lane: lane.frames))  # The longest: no room can starve another.
        return True

    def admit(self, spare: Spare, first: int) -> bool:
        """Queue or drop the batch's messages from `first` on, as its policy says; False when it says to evict."""
        sizes = [len(frame) for frame in spare.frames]
        stop, size = len(sizes), sum(sizes[first:])
        while first < stop:
            match spare.policy.decide(self._arrival(spare.room, stop - first, size)):
                case Verdict.QUEUE:
                    self._extend(spare, first, stop, size)
                    return True
                case Verdict.SKIP_FIRST:
                    size -= sizes[first]
                    first += 1
                    self._backlog.drops[spare.policy.name] += 1
                case Verdict.SKIP_LAST:
                    stop -= 1
                    size -= sizes[stop]
                    self._backlog.drops[spare.policy.name] += 1
                case Verdict.DROP_OLDEST:
                    lane = self._lanes[spare.room]
                    while lane.frames and not self.fits(stop - first, size):
                        self._drop_oldest(lane)
                case Verdict.DROP_ALL:
                    lane = self._lanes[spare.room]
                    while lane.frames:
                        self._drop_oldest(lane)
                case Verdict.MAKE_ROOM:
                    self.make_room(stop - first, size)
                case Verdict.PAUSE | Verdict.EVICT:
                    return False
        return True

    def _arrival(self, room: str, frames: int, size: int) -> Arrival:
        own = others = 0
        for lane in self._lanes.values():
            if lane.room == room:
                own = lane.frames
            elif lane.policy.gives != "nothing":
                others += lane.frames
        return Arrival(frames, self.fits(frames, size), own, others)

    def _extend(self, spare: Spare, first: int, stop: int, size: int) -> None:
        lane = self._lanes.get(spare.room)
        if lane is None:
            lane = self._lanes[spare.room] = Lane(spare.room, spare.policy, deque())
        frames = spare.frames
        if stop - first < len(frames):  # A part must not keep the whole batch in memory.
            frames, first, stop = frames[first:stop], 0, stop - first
        run = Run(spare.room, frames, first, stop, trio.current_time())
        lane.runs.append(run)
        lane.frames += stop - first
        self._line.put(run)
        self._account(stop - first, size)

    # --- dropping ---------------------------------------------------------------------------------------------------

    def expire(self, before_s: float) -> None:
        """Drop what was queued before, of rooms that give."""
        for lane in list(self._lanes.values()):
            while lane.policy.gives != "nothing" and lane.frames and lane.runs[0].queued_at_s < before_s:
                self._drop_oldest(lane)

    def abandon(self) -> None:
        """Forget everything that has not begun to be written."""
        for lane in list(self._lanes.values()):
            while lane.frames:
                self._shorten(lane, lane.runs[0])
        for entry in self._line.empty():
            if isinstance(entry, Item):
                if entry.begun:  # Its writer has not run yet.
                    self._line.put(entry)
                else:
                    self._account(-entry.frames, -len(entry.data))

    def _give(self, lane: Lane) -> None:
        if lane.policy.gives == "newest":
            self._backlog.drops[lane.policy.name] += 1
            self._shorten(lane, lane.runs[-1], newest=True)
        else:
            self._drop_oldest(lane)

    def _drop_oldest(self, lane: Lane) -> None:
        self._backlog.drops[lane.policy.name] += 1
        self._shorten(lane, lane.runs[0])

    def _shorten(self, lane: Lane, run: Run, *, newest: bool = False) -> None:
        if newest:
            run.stop -= 1
            size = len(run.batch[run.stop])
        else:
            size = len(run.batch[run.first])
            run.first += 1
        self._account(-1, -size)
        self._note_gone(lane, run, 1)
        if run.first == run.stop and run is not self._head:
            self._line.note_empty(run)

    def _note_gone(self, lane: Lane, run: Run, frames: int) -> None:
        """`frames` of `run` cannot be dropped any more: they are dropped already, or the writer has them."""
        lane.frames -= frames
        if run.first == run.stop:
            run.batch = ()
            if lane.runs[0] is run:
                lane.runs.popleft()
            else:
                lane.runs.pop()
            if not lane.frames:
                del self._lanes[lane.room]

    # --- taking -----------------------------------------------------------------------------------------------------

    def take(self) -> Taken | None:
        """What is to be sent next; it counts as waiting until `sent`. None when nothing waits."""
        while True:
            if self._head is not None and self._head.first < self._head.stop:
                return self._take_from(self._head)
            self._head = None
            match self._line.get():
                case Item() as item:
                    self.oldest_at_s = self.under_way_s = item.queued_at_s
                    return Taken(item.data, item.frames)
                case Run() as run:
                    self._head = run
                case None:
                    return None

    def _take_from(self, run: Run) -> Taken:
        first = run.first
        size = 0
        while run.first < run.stop and (size == 0 or size + len(run.batch[run.first]) <= COMMIT_BYTES):
            size += len(run.batch[run.first])
            run.first += 1
        data = b"".join(run.batch[first : run.first])
        # What may be dropped does not grow too old while it waits: it has as long again to be taken by the socket.
        self.oldest_at_s, self.under_way_s = run.queued_at_s, trio.current_time()
        self._note_gone(self._lanes[run.room], run, run.first - first)
        return Taken(data, run.first - first)

    def sent(self, taken: Taken) -> None:
        """It is out, or will never be."""
        self._account(-taken.frames, -len(taken.data))

    def _account(self, frames: int, size: int) -> None:
        self.frames += frames
        self.bytes += size
        self._backlog.frames += frames
        self._backlog.bytes += size
