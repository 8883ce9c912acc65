"""One wheel for all heartbeats: who is pinged when, who is dead, who is too slow, whose token has run out.

Theory of operation: the wheel has one slot per tick of a period, and connections are put into the slots in
turn, so the pings of many clients are spread over the whole period. A turn of the wheel looks at each connection once:
silent for two periods means dead (RFC 6455 section 5.5.2 obliges it to answer a Ping); heard within this period means
no ping is needed. Queue ages are looked at every tick, but only of those who have a queue. What is too old and may be
dropped is dropped; too old then is who has not taken what the writer offers it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from scalechat.server.eviction import Evictor
from scalechat.server.member import Member
from scalechat.server.outbox import Backlog, Outbox
from scalechat.wire.frames import ping_frame

TICK_S = 0.25
"""How often the wheel moves: a queue that is too old is found at most so much later."""
SILENT_PERIODS = 2
_PING = ping_frame()


class Heartbeat:
    """A member's oldest queued frame may be `queue_age_s` old; a peer may be silent for two of `period_s`."""

    def __init__(
        self,
        *,
        period_s: float,
        queue_age_s: float,
        backlog: Backlog,
        evictor: Evictor,
        spread: bool = True,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        """`spread`: members are looked at all through the period; otherwise all at one moment, the storm."""
        self._period_s = period_s
        self._queue_age_s = queue_age_s
        self._backlog = backlog
        self._evictor = evictor
        self._unix_s = unix_s
        self._slots: list[set[Member]] = [set() for _ in range(max(1, round(period_s / TICK_S)))]
        self._used = len(self._slots) if spread else 1
        self._slot_of: dict[Member, set[Member]] = {}
        self._owner: dict[Outbox, Member] = {}
        self._next = 0
        self._entered = 0

    def add(self, member: Member) -> None:
        slot = self._slots[self._entered % self._used]
        self._entered += 1
        slot.add(member)
        self._slot_of[member] = slot
        self._owner[member.outbox] = member

    def remove(self, member: Member) -> None:
        self._slot_of.pop(member).discard(member)
        del self._owner[member.outbox]

    async def run(self) -> None:
        """Turn until cancelled."""
        tick_s = self._period_s / len(self._slots)
        due_s = trio.current_time()
        while True:
            due_s = max(due_s + tick_s, trio.current_time())  # After a stall: no hurry to catch up.
            await trio.sleep_until(due_s)
            now_s = trio.current_time()
            for outbox in [o for o in self._backlog.outboxes if o.age_s(now_s) > self._queue_age_s]:
                if (member := self._owner.get(outbox)) is not None and outbox.expire(now_s - self._queue_age_s):
                    self._evictor.queue_too_old(member)
            slot = self._slots[self._next]
            self._next = (self._next + 1) % len(self._slots)
            for member in tuple(slot):
                self._look_at(member, now_s)

    def _look_at(self, member: Member, now_s: float) -> None:
        silent_s = now_s - member.transport.last_received_s
        expires = member.token_expires_unix_s
        if expires is not None and self._unix_s() >= expires:
            self._evictor.token_expired(member)
        elif silent_s > SILENT_PERIODS * self._period_s:
            self._evictor.silent(member)
        elif silent_s > self._period_s / 2:
            member.outbox.offer(_PING)
