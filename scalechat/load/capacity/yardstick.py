"""How fast the machine is at the moment: the CPU time of a piece of work that is always the same.

A guest shares its host. While a neighbour is busy every instruction and every system call takes longer, a server holds
a third less, and no counter of the guest says so: steal is time without a core, and this is a slower core. So before
each probe, and after one that did not hold, the search does what servers and load clients do most, a small send, its
receive and a look at the bytes, and measures that, on one core after the other: a server on this machine has another
one than we. It is no benchmark: it compares the machine with itself. What did not hold on a machine that was slow then
says nothing; what held would have held on a faster one as well.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import trio

Yardstick = Callable[[], float]
"""Do the work, and say how long it took, in ms of CPU time."""

_PARTS: Final = 3
"""The middle one counts: a first one warms the caches up, and one of three may be interrupted."""
_EXCHANGES: Final = 2_000
"""Some 6 ms of work a part."""
_MESSAGE: Final = bytes(range(256))
AGAIN_S: Final = 1.0
"""Between two looks at a machine that is slower than it was."""
_MOST_CORES: Final = 8
"""More would make the work longer than its use."""
STEADY: Final = 1.15
"""The slowest in terms of the fastest. Two searches of a machine that varies by more may be 15 % apart, which is what
they are to agree within."""


@dataclass(slots=True)
class Machine:
    """Remembers how fast the machine can be. A busy host mostly is so for some seconds or a minute."""

    lay: Yardstick
    timeout_s: float
    fastest_ms: float = math.inf

    async def when_steady_ms(self, tell: Callable[[str], None]) -> float:
        """What the work takes, as soon as that is near the fastest; after `timeout_s` all the same."""
        told, deadline_s = False, trio.current_time() + self.timeout_s
        while True:
            took_ms = self.look_ms()
            if not self.is_slow(took_ms) or trio.current_time() >= deadline_s:
                return took_ms
            if not told:
                told = True
                tell(f"the machine is slower than it was ({took_ms:.1f} to {self.fastest_ms:.1f} ms): waiting")
            await trio.sleep(AGAIN_S)

    def look_ms(self) -> float:
        """What the work takes now."""
        took_ms = self.lay()
        self.fastest_ms = min(self.fastest_ms, took_ms)
        return took_ms

    def is_slow(self, took_ms: float) -> bool:
        """Whether that is far from the fastest so far."""
        return took_ms > STEADY * self.fastest_ms


def lay() -> float:
    """See `Yardstick`: on the slowest core. Blocks for some 20 ms a core; nothing is measured meanwhile."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return max(median([_part_ms(ours, theirs) for _ in range(_PARTS)]) for _core in _cores())


def caution(measured_ms: Sequence[float]) -> str | None:
    """What a person should know of a machine that was not the same all along."""
    if not measured_ms or max(measured_ms) <= STEADY * min(measured_ms):
        return None
    return (
        f"the machine's own speed changed: the same work took {min(measured_ms):.1f} to {max(measured_ms):.1f} ms "
        "beside probes that did not hold; search again when it is quiet"
    )


def _cores() -> Iterator[int]:
    """This thread is on one core after the other; in the end it is where it was."""
    if sys.platform != "linux":
        yield 0  # wherever that is
        return
    allowed = os.sched_getaffinity(0)
    try:
        for core in range(min(_MOST_CORES, os.cpu_count() or 1)):
            try:
                os.sched_setaffinity(0, {core})
            except OSError:  # not ours to use, as in a container
                continue
            yield core
    finally:
        os.sched_setaffinity(0, allowed)


def _part_ms(ours: socket.socket, theirs: socket.socket) -> float:
    began_ns = time.thread_time_ns()
    for _ in range(_EXCHANGES):
        ours.send(_MESSAGE)
        zlib.crc32(theirs.recv(4096))
    return (time.thread_time_ns() - began_ns) / 1e6
