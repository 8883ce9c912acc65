"""When a fleet begins, goes on and ends: decided here, carried out elsewhere.

    standing → Go → ready → Begin → (accounts are passed on) → report → over

Each arrow waits for every worker that is not lost. Before `Go` nothing was done yet, so a lost worker ends the attempt;
afterwards the others go on, and the run says whom it lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scalechat.load.fleet.messages import (
    Account,
    Asking,
    Begin,
    Clock,
    End,
    Failed,
    Forlorn,
    FromCoordinator,
    FromWorker,
    Go,
    Lost,
    Others,
    Ping,
    Pong,
    Ready,
    Report,
    Sent,
    Standing,
)
from scalechat.load.pacing import NowNs
from scalechat.load.part import Part

GO_IN_NS: Final = 300_000_000
BEGIN_IN_NS: Final = 500_000_000
"""Word must have reached everybody by then: through Redis that takes some ms, through a busy machine some more. A plain
server also needs that long after the last handshake, see `run.SETTLE_NS`."""

Letter = tuple[int, FromCoordinator]
"""(worker, what to tell it)."""


class Agreement:
    """The decisions of one run with `count` workers. Each method returns what is to be sent."""

    def __init__(self, count: int, clock: NowNs, unix_ns: Callable[[], int]) -> None:
        self._count = count
        self._clock = clock
        self._unix_ns = unix_ns
        self._standing: set[int] = set()
        self._ready: set[int] = set()
        self._forlorn: set[int] = set()
        self._has_begun = False
        self._has_ended = False
        self.has_started = False
        """`Go` was said."""
        self.parts: dict[int, Part] = {}
        self.lost: dict[int, str] = {}
        """Worker → what became of it."""

    @property
    def living(self) -> list[int]:
        """The workers that are not lost."""
        return [index for index in range(self._count) if index not in self.lost]

    @property
    def is_over(self) -> bool:
        """Everybody has reported or is lost."""
        return all(index in self.parts for index in self.living)

    def hear(self, index: int, message: FromWorker) -> list[Letter]:
        """A worker has said something; what is none of the agreement's business changes nothing."""
        match message:
            case Standing():
                self._standing.add(index)
            case Ready():
                self._ready.add(index)
            case Forlorn(why=why):
                self._forlorn.add(index)
                return self._next(why)
            case Account():
                return [(other, Others(index, message)) for other in self.living if other != index]
            case Asking() | Sent():
                return [(other, message) for other in self.living if other != index]
            case Report(part=part):
                self.parts[index] = part
            case Failed(text=text):
                return self.lose(index, text)
            case Ping(offset_ns=offset_ns, error_ns=error_ns):
                now_ns = self._clock()
                letters: list[Letter] = [(index, Pong(message.asked_ns, now_ns, now_ns))]
                if offset_ns and error_ns is not None:
                    clock = Clock(index, offset_ns, error_ns)
                    letters += [(other, clock) for other in self.living if other != index]
                return letters
            case _:
                return []
        return self._next()

    def lose(self, index: int, why: str) -> list[Letter]:
        """The worker is gone. One that had reported is not missed."""
        if index in self.lost or index in self.parts:
            return []
        self.lost[index] = why
        return [*((other, Lost(index)) for other in self.living), *self._next()]

    def _next(self, why: str = "") -> list[Letter]:
        living = self.living
        if not self.has_started:
            if self.lost or not self._standing.issuperset(living):
                return []
            self.has_started = True
            go = Go(self._clock() + GO_IN_NS, self._unix_ns() + GO_IN_NS)
            return [(index, go) for index in living]
        letters: list[Letter] = []
        if not self._has_begun and living and self._ready.issuperset(living):
            self._has_begun = True
            begin = Begin(self._clock() + BEGIN_IN_NS)
            letters += [(index, begin) for index in living]
        if not self._has_ended and living and self._forlorn.issuperset(living):
            self._has_ended = True
            letters += [(index, End(why or "every connection was lost")) for index in living]
        return letters
