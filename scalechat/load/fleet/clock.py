"""How far two machines' monotonic clocks are apart, and how wrong that may be.

Each ping is one measurement as NTP makes it (RFC 5905, section 8): with t1 asked, t2 heard, t3 answered, t4 back, the
offset is ((t2 - t1) + (t3 - t4)) / 2, and whatever the way there and the way back took, it is wrong by no more than
half of the round trip (t4 - t1) - (t3 - t2). Of the last measurements the one with the shortest round trip counts, the
clock filter of the same RFC (section 10); its bound grows with its age, because clocks drift.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from scalechat.load.fleet.messages import Ping, Pong
from scalechat.load.pacing import NowNs

ENOUGH: Final = 5
"""Measurements before an offset is worth using: the first ones find sleeping machinery."""
KEPT: Final = 32
"""Measurements to choose from: half a minute of them."""
DRIFT_PPM: Final = 15
"""How fast an undisciplined quartz may wander: PHI of RFC 5905. Two clocks wander apart twice as fast."""


class ClockOffset:
    """This process' clock against the coordinator's. With a clock in common there is nothing to measure."""

    def __init__(self, clock: NowNs, *, shared: bool) -> None:
        self._clock = clock
        self.is_shared = shared
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=KEPT)
        """(error bound when it was measured, offset, when)."""
        self.worst_error_ns = 0
        """The largest error bound since `begin`."""

    def begin(self) -> None:
        """From now on the offset is used."""
        self.worst_error_ns = self.error_ns

    def ask(self) -> Ping:
        """The next question."""
        if self.is_shared:
            return Ping(self._clock(), 0, 0)
        if not self.is_known:
            return Ping(self._clock())
        self.worst_error_ns = max(self.worst_error_ns, self.error_ns)
        return Ping(self._clock(), self.offset_ns, self.error_ns)

    def take(self, pong: Pong) -> None:
        """The answer, now."""
        back_ns = self._clock()
        out_ns, in_ns = pong.heard_ns - pong.asked_ns, pong.answered_ns - back_ns
        round_trip_ns = (back_ns - pong.asked_ns) - (pong.answered_ns - pong.heard_ns)
        self._samples.append((round_trip_ns // 2 + 1, -(out_ns + in_ns) // 2, back_ns))

    @property
    def is_known(self) -> bool:
        """Whether there is an offset at all."""
        return self.is_shared or len(self._samples) >= ENOUGH

    @property
    def offset_ns(self) -> int:
        """This clock minus the coordinator's."""
        return 0 if self.is_shared else self._best()[1]

    @property
    def error_ns(self) -> int:
        """The offset is wrong by no more than this."""
        return 0 if self.is_shared else self._best()[0]

    def _best(self) -> tuple[int, int]:
        now_ns = self._clock()
        return min((error + (now_ns - at) * 2 * DRIFT_PPM // 1_000_000, offset) for error, offset, at in self._samples)
