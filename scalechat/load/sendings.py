"""When each message was sent: eight bytes a message, kept only where a room is dealt out over several processes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

PORTION: Final = 32 * 1024
"""Messages whose times are told at once: 256 kB."""
_WIRE: Final = np.dtype("<i8")


class Sendings:
    """Of publishers here and in other processes; times of a publisher are by the clock of its process, ascending."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[int, array[int]] = {}

    def add(self, publisher: int, sent_ns: int) -> None:
        """It has sent its next message."""
        self._of(publisher).append(sent_ns)

    def known(self, publisher: int) -> int:
        """Of how many of its messages the times are known: the first ones."""
        return len(self._times.get(publisher, ()))

    def at(self, publisher: int, number: int) -> int | None:
        """When it sent this message, if that is known."""
        times = self._times.get(publisher, ())
        return times[number - 1] if number <= len(times) else None

    def before(self, publisher: int, moments: Sequence[int]) -> list[int]:
        """For each moment how many of the known ones had been sent."""
        counts: list[int] = np.searchsorted(np.array(self._times.get(publisher, ()), dtype=np.int64), moments).tolist()
        return counts

    # --- from one process to another ---------------------------------------------------------------------------------

    def told(self, done: dict[int, int]) -> Iterator[list[tuple[int, bytes]]]:
        """What has come since this was asked last, in portions of (publisher, times of its next messages).

        `done` is the caller's, empty at first: publisher → how many were told.
        """
        portion: list[tuple[int, bytes]] = []
        room = PORTION
        for publisher, times in self._times.items():
            while (begin := done.get(publisher, 0)) < len(times):
                part = times[begin : begin + room]
                portion.append((publisher, np.array(part, dtype=_WIRE).tobytes()))
                done[publisher] = begin + len(part)
                room -= len(part)
                if not room:
                    yield portion
                    portion, room = [], PORTION
        if portion:
            yield portion

    def hear(self, portion: Sequence[tuple[int, bytes]]) -> None:
        """What another process has told; portions come in order."""
        for publisher, times in portion:
            self._of(publisher).extend(np.frombuffer(times, dtype=_WIRE).tolist())

    def _of(self, publisher: int) -> array[int]:
        times = self._times.get(publisher)
        if times is None:
            times = self._times[publisher] = array("q")
        return times
