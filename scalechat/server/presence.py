"""Who comes and goes, told to those who asked: not at once, and not one by one in a crowd.

Theory of operation: changes of a room are collected for a moment. A client that left and came back in it (a page that
is loaded again, a connection that was lost) has not moved. What remains is one event a client, or, where the room is
large or the changes are many, one event with the count alone: a thousand who join in a second would otherwise be a
million frames.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from scalechat.bus.base import BusError, PresenceChange
from scalechat.wire.codec import encode
from scalechat.wire.frames import text_frame
from scalechat.wire.messages import PresenceCount, PresenceEvent

MANY_CHANGES = 50
"""Nobody reads so many names of one moment."""


def event_frame(change: PresenceChange) -> bytes:
    """One client's move as a frame."""
    event = "join" if change.entered else "leave"
    return text_frame(encode(PresenceEvent(room=change.room, client_id=change.client_id, event=event)))


class PresenceBoard:
    """`tell` sends a frame to the watchers of a room, `population` counts its clients on all nodes.

    With `debounce_s` 0 every change is told at once.
    """

    def __init__(
        self,
        *,
        debounce_s: float,
        limit: int,
        population: Callable[[str], Awaitable[int]],
        tell: Callable[[str, bytes], None],
    ) -> None:
        self._debounce_s = debounce_s
        self._limit = limit
        self._population = population
        self._tell = tell
        self._changes: dict[str, dict[str, PresenceChange]] = {}
        self._changed = trio.Event()

    def note(self, change: PresenceChange) -> None:
        """A client has entered or left a room that has watchers."""
        if not self._debounce_s:
            self._tell(change.room, event_frame(change))
            return
        changes = self._changes.setdefault(change.room, {})
        before = changes.get(change.client_id)
        if before is not None and before.entered != change.entered:
            del changes[change.client_id]
        else:
            changes[change.client_id] = change
        self._changed.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._changed.wait()
            await trio.sleep(self._debounce_s)
            self._changed = trio.Event()
            rooms, self._changes = self._changes, {}
            for room, changes in rooms.items():
                if changes:
                    await self._tell_of(room, list(changes.values()))

    async def _tell_of(self, room: str, changes: list[PresenceChange]) -> None:
        try:
            count = await self._population(room)
        except BusError:
            return  # Nobody knows now, and whoever wants to can ask later.
        if count > self._limit or len(changes) > MANY_CHANGES:
            self._tell(room, text_frame(encode(PresenceCount(room=room, count=count))))
            return
        for change in changes:
            self._tell(room, event_frame(change))
