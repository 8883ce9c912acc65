"""First in, first out, through a bounded Trio memory channel from which the middle can be given up.

Theory of operation: a channel only gives its front. A run of which nothing is left is taken out at once when it is the
front; elsewhere it stays as a shell until there are more shells than anything else, and then one turn takes them all
out. So giving up costs a step or two each time, and the channel holds at most twice what is in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

FEW_SHELLS = 8
"""Not worth a turn."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """What must be sent."""

    data: bytes
    frames: int
    queued_at_s: float
    begun: bool
    """The rest of what is partly on the wire: it must follow."""


class Run(msgspec.Struct, eq=False):
    """What may be dropped from either end: `batch` from `first` up to `stop`."""

    room: str
    batch: Sequence[bytes]
    first: int
    stop: int
    queued_at_s: float
    place: int = -1
    """Its number among all that ever went in."""


class Line:
    """Holds at most `most` entries besides shells."""

    __slots__ = ("_in", "_out", "_receive", "_send", "_shells")

    def __init__(self, most: int) -> None:
        self._send, self._receive = trio.open_memory_channel[Item | Run](2 * most + FEW_SHELLS)
        self._in = self._out = 0
        self._shells = 0

    def put(self, entry: Item | Run) -> None:
        """Behind everything else."""
        if isinstance(entry, Run):
            entry.place = self._in
        self._send.send_nowait(entry)
        self._in += 1

    def get(self) -> Item | Run | None:
        """The first that is no shell."""
        while self._in > self._out:
            entry = self._get()
            if isinstance(entry, Item) or entry.first < entry.stop:
                return entry
            self._shells -= 1
        return None

    def empty(self) -> list[Item | Run]:
        """Everything, shells as well, oldest first."""
        self._shells = 0
        return [self._get() for _ in range(self._in - self._out)]

    def note_empty(self, run: Run) -> None:
        """Nothing is left of `run`, which is in here."""
        if run.place == self._out:
            self._get()
            return
        self._shells += 1
        if 2 * self._shells > self._in - self._out + FEW_SHELLS:
            for entry in self.empty():
                if isinstance(entry, Item) or entry.first < entry.stop:
                    self.put(entry)

    def _get(self) -> Item | Run:
        self._out += 1
        return self._receive.receive_nowait()
