"""Messages that were not complete in time: they wait apart, by their row, until they are, or the run ends.

Refused ones wait as well: whoever gets one all the same is to be told apart from who misses another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from scalechat.load.broadcast import Broadcast
from scalechat.load.histogram import Ints

MOST_REFUSED: Final = 20_000
"""Refused messages that wait, some 10 MB: a server that refuses all must not fill the memory."""


class Stragglers:
    """The caller asks only about rows that are here (`in`)."""

    __slots__ = ("_completed", "_messages", "_refused")

    def __init__(self) -> None:
        self._messages: dict[int, Broadcast] = {}
        self._completed: set[int] = set()
        """Rows of those that have become complete."""
        self._refused: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, row: int) -> bool:
        return row in self._messages

    def __getitem__(self, row: int) -> Broadcast:
        return self._messages[row]

    def add(self, row: int, message: Broadcast) -> None:
        """It was not complete in time."""
        self._messages[row] = message
        if message.refused:
            self._keep(row)
        else:
            self._look(row)  # complete it is if only its ack did not come

    def acknowledge(self, row: int, *, at_ns: int, room_seq: int | None) -> tuple[int, int] | None:
        """See `Broadcasts.acknowledge`."""
        message = self._messages[row]
        if not message.unacked:
            return None
        message.acked_ns, message.room_seq, message.unacked = at_ns, room_seq, False
        return message.sent_ns, message.phase

    def reject(self, row: int) -> Broadcast | None:
        """The server refused the message; None for one that waits for no answer."""
        message = self._messages[row]
        if not message.unacked:
            return None
        message.unacked, message.refused = False, True
        self._completed.discard(row)
        self._keep(row)
        return message

    def excuse(self, room: int, until: Sequence[int], *, rooms: int, apart: bool, after_ns: int = 0) -> int:
        """See `Broadcasts.excuse`."""
        excused = 0
        for row, message in self._messages.items():
            if message.refused or message.room != room or message.sent_ns < after_ns:
                continue
            if message.expected and message.number > until[message.publisher // rooms]:
                message.expected -= 1
                message.expected_apart -= apart
                excused += 1
                self._look(row)
        return excused

    def late(self, row: int, arrived: Ints) -> int:
        """First deliveries at these times; returns how many of them nobody had promised."""
        message = self._messages[row]
        for at_ns in arrived.tolist():
            message.late(max(0, at_ns - message.intended_ns))
        self._look(row)
        owed = len(arrived) if message.refused else 0
        message.expected += owed
        return owed

    def late_apart(self, row: int) -> int:
        """The same of one to a member whose latencies are not in the figures here."""
        message = self._messages[row]
        message.delivered += 1
        message.delivered_apart += 1
        message.expected += message.refused
        message.expected_apart += message.refused
        self._look(row)
        return int(message.refused)

    def retire(self, limit: int) -> list[Broadcast]:
        """Up to `limit` of those that have become complete; they leave."""
        closed: list[Broadcast] = []
        while self._completed and len(closed) < limit:
            closed.append(self._messages.pop(self._completed.pop()))
        return closed

    def unacknowledged(self) -> list[tuple[int, int, int]]:
        """(publisher, number, when it was sent) of each that waits for its acknowledgement."""
        waiting = (message for message in self._messages.values() if message.unacked)
        return [(message.publisher, message.number, message.sent_ns) for message in waiting]

    def finish(self) -> list[Broadcast]:
        """All of them; they leave."""
        left = list(self._messages.values())
        self._messages.clear()
        self._completed.clear()
        return left

    def _keep(self, row: int) -> None:
        self._refused.append(row)
        if len(self._refused) > MOST_REFUSED:
            oldest = self._refused.popleft()
            if oldest in self._messages:
                self._completed.add(oldest)

    def _look(self, row: int) -> None:
        message = self._messages[row]
        if not message.missing and not message.refused:
            self._completed.add(row)
