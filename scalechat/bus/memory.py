"""The bus of one process: nothing leaves it, nothing survives it. The embedded default.

An acknowledged message is kept by this process until it is trimmed. Delivery happens inside `publish`, so a message
reaches the rooms in the same scheduler pass and order needs no queue.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from scalechat.bus.base import (
    BusStatistics,
    Deliver,
    DirectDelivery,
    Event,
    Kick,
    Page,
    PresenceChange,
    Receipt,
    RoomInfo,
)
from scalechat.wire.messages import Publication

DEDUPE_IDS: Final = 1000
"""Ids remembered per room. At the default message rate a retry within seconds always falls inside; 1,000 ids cost 100
kB."""
LOG_BYTES: Final = 64 * 2**20
"""All logs together: a client can write to as many rooms as it likes, the process must stay small."""
IDLE_ROOMS: Final = 10_000
"""Logs kept of rooms nobody follows; the least recently used goes first, and with it its epoch."""
_RECEIPT_BYTES: Final = 200  # One remembered id: its key's tuple and strings, and its place in the order.
_PUBLICATION_BYTES: Final = 300  # What one kept message costs besides its text: measured 280 B on CPython 3.11.


@dataclass(slots=True)
class _Log:
    epoch: str
    seq: int = 0
    kept: deque[Publication] = field(default_factory=deque)
    receipts: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)


class MemoryBus:
    """`scalechat.bus.base.Bus` within one process.

    `history_messages` bounds each room's log; `now_s` is the wall clock that stamps messages.
    """

    def __init__(
        self,
        *,
        history_messages: int,
        log_bytes: int = LOG_BYTES,
        idle_rooms: int = IDLE_ROOMS,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._history_messages = history_messages
        self._log_bytes = log_bytes
        self._idle_rooms = idle_rooms
        self._now_s = now_s
        self._logs: OrderedDict[str, _Log] = OrderedDict()  # Least recently used first.
        self._kept_bytes = 0
        self._followed: set[str] = set()
        self._present: dict[str, dict[str, int]] = {}
        self._deliver: Deliver | None = None

    async def run(self, deliver: Deliver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._deliver = deliver
        task_status.started()
        try:
            await trio.sleep_forever()  # Delivery happens in publish; this task only bounds how long.
        finally:
            self._deliver = None

    async def publish(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt:
        return self.publish_nowait(room, client_id, text, id)

    def publish_nowait(self, room: str, client_id: str, text: str, id: str | None = None) -> Receipt:
        """See `scalechat.bus.base.ImmediateBus`."""
        log = self._touch(room)
        if id is not None and (seq := log.receipts.get((client_id, id))) is not None:
            return Receipt(seq, duplicate=True)
        log.seq += 1
        publication = Publication(
            client_id=client_id, text=text, room=room, seq=log.seq, ts_unix_ms=int(self._now_s() * 1000), id=id
        )
        if id is not None:
            log.receipts[client_id, id] = log.seq
            self._kept_bytes += _RECEIPT_BYTES
            if len(log.receipts) > DEDUPE_IDS:
                self._forget_receipt(log)
        self._keep(log, publication)
        if room in self._followed:
            self._emit(publication)
        return Receipt(publication.seq, duplicate=False)

    async def send_direct(self, delivery: DirectDelivery) -> bool:
        self._emit(delivery)
        return False

    async def kick(self, session_id: str) -> None:
        self._emit(Kick(session_id))

    async def wait_caught_up(self) -> None:
        return  # Delivery happens in publish.

    async def follow(self, room: str) -> Page:
        assert room not in self._followed, f"room {room!r} is followed already"
        self._followed.add(room)
        log = self._touch(room)
        return Page(log.epoch, log.seq, tuple(log.kept))

    def unfollow(self, room: str) -> None:
        self._followed.discard(room)
        log = self._logs.get(room)
        if log is not None and log.seq == 0:
            del self._logs[room]  # Nothing was ever said in it: there is nothing to remember.
        self._forget_idle_rooms()

    async def history(self, room: str, *, before: int | None = None, limit: int = 50) -> Page:
        log = self._logs.get(room)
        if log is None:
            return Page("", 0, ())
        below = log.seq + 1 if before is None else before
        first = log.seq - len(log.kept) + 1
        stop = max(0, min(len(log.kept), below - first))
        kept = list(log.kept)
        return Page(log.epoch, log.seq, tuple(kept[max(0, stop - limit) : stop]))

    async def enter(self, room: str, client_id: str) -> None:
        clients = self._present.setdefault(room, {})
        clients[client_id] = clients.get(client_id, 0) + 1
        if clients[client_id] == 1:
            self._emit(PresenceChange(room, client_id, entered=True))

    def exit(self, room: str, client_id: str) -> None:
        clients = self._present[room]
        clients[client_id] -= 1
        if clients[client_id] == 0:
            del clients[client_id]
            self._emit(PresenceChange(room, client_id, entered=False))
        if not clients:
            del self._present[room]

    async def presence(self, room: str) -> dict[str, int]:
        return dict(self._present.get(room, {}))

    async def population(self, room: str) -> int:
        return len(self._present.get(room, ()))

    async def rooms(self) -> list[RoomInfo]:
        names = sorted(self._logs.keys() | self._present.keys())
        logs = self._logs
        return [RoomInfo(n, logs[n].seq if n in logs else 0, len(self._present.get(n, ()))) for n in names]

    @property
    def not_ready(self) -> str | None:
        return None

    def statistics(self) -> BusStatistics:
        return BusStatistics()

    @property
    def spans_nodes(self) -> bool:
        return False

    def _touch(self, room: str) -> _Log:
        log = self._logs.get(room)
        if log is None:
            log = self._logs[room] = _Log(secrets.token_hex(4))
            self._forget_idle_rooms(keep=room)
        else:
            self._logs.move_to_end(room)
        return log

    def _keep(self, log: _Log, publication: Publication) -> None:
        log.kept.append(publication)
        self._kept_bytes += _PUBLICATION_BYTES + 4 * len(publication.text)
        if len(log.kept) > self._history_messages:
            self._trim(log)
        while self._kept_bytes > self._log_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Give up the oldest of the least recently used log, and the log itself once nobody needs its position."""
        name, log = next((name, log) for name, log in self._logs.items() if log.kept or log.receipts)
        if log.kept:
            self._trim(log)
        else:
            self._forget_receipt(log)
        newest = next(reversed(self._logs))  # It is being published to.
        if not log.kept and name not in self._followed and name != newest:
            self._forget(name)

    def _trim(self, log: _Log) -> None:
        self._kept_bytes -= _PUBLICATION_BYTES + 4 * len(log.kept.popleft().text)

    def _forget_receipt(self, log: _Log) -> None:
        log.receipts.popitem(last=False)
        self._kept_bytes -= _RECEIPT_BYTES

    def _forget(self, room: str) -> None:
        log = self._logs.pop(room)
        while log.kept:
            self._trim(log)
        self._kept_bytes -= _RECEIPT_BYTES * len(log.receipts)

    def _forget_idle_rooms(self, keep: str | None = None) -> None:
        excess = len(self._logs) - len(self._followed) - self._idle_rooms
        if excess <= 0:
            return
        idle = [room for room in self._logs if room not in self._followed and room != keep]
        # A tenth more than needed, so that the search is paid once in many rooms.
        for room in idle[: excess + self._idle_rooms // 10]:
            self._forget(room)

    def _emit(self, event: Event) -> None:
        if self._deliver is not None:
            self._deliver(event)
