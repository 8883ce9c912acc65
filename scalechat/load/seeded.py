"""Chance that can be repeated: each draw is a pure function of (seed, what for, client, number).

No generator object per client: nothing to keep (a `random.Random` weighs 2.5 kB), and a draw does not depend on how
many draws came before it, so the plan is the same however the clients are spread over processes.
"""

from __future__ import annotations

import enum
import hashlib
import struct

_PACK = struct.Struct("<BIQ").pack
_UNIT = 2.0**-53


class Draw(enum.IntEnum):
    """What a draw decides; draws for different purposes are independent."""

    PHASE = 1
    ARRIVAL = 2
    SIZE = 3
    CHURN = 4
    STORM = 5
    RETURN = 6


class Chance:
    """Uniform numbers in [0, 1), about 1 µs each."""

    __slots__ = ("_keyed",)

    def __init__(self, seed: int) -> None:
        self._keyed = hashlib.blake2b(digest_size=8, key=seed.to_bytes(8, "little", signed=False))

    def uniform(self, draw: Draw, client: int, number: int = 0) -> float:
        """The draw's value; 53 bits, as many as a float holds."""
        state = self._keyed.copy()
        state.update(_PACK(draw, client, number))
        return float(int.from_bytes(state.digest(), "little") >> 11) * _UNIT
