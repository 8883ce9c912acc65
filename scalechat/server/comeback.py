"""When the clients of a draining node are asked to come back: each at a moment of its own, no faster than was measured.

Whoever takes them (the other nodes, or this one's next process) is of the same kind, so what this node has been seen to
accept in its worst seconds is what can be asked of the next. Pure: no clock, no I/O.
"""

from __future__ import annotations

FLOOR_PER_S = 200.0
"""What any node takes in passing: at 0.3 ms of CPU for a handshake and a join, a sixteenth of a core."""
CEILING_PER_S = 2000.0
"""Two thirds of what one core accepts when it does nothing else; the next node also serves those it has."""
EARLIEST_MS = 500
"""The time in which a supervisor starts the next process, where there is no other node."""
LONGEST_S = 60.0
"""A person does not wait longer; so many clients come faster than was measured, and each still at a time of its own."""
BURDENED_S = 0.1
"""A loop that is so late has been asked too much."""


class AcceptRate:
    """The highest rate of handshakes that this node took without falling behind; from one sample a second.

    A second in which it did fall behind lowers what is believed, half way to the rate of that second.
    """

    def __init__(self) -> None:
        self._proven_per_s = 0.0

    def note(self, accepted_per_s: float, loop_lag_s: float) -> None:
        """The rate of the last second, and the longest that the loop was late in it."""
        if loop_lag_s < BURDENED_S:
            self._proven_per_s = max(self._proven_per_s, accepted_per_s)
        elif 0 < accepted_per_s < self._proven_per_s:
            self._proven_per_s = (self._proven_per_s + accepted_per_s) / 2

    @property
    def per_s(self) -> float:
        """What may be asked of a node, clients per second."""
        return min(CEILING_PER_S, max(FLOOR_PER_S, self._proven_per_s))


def slots_ms(clients: int, per_s: float) -> list[int]:
    """For each of `clients` the milliseconds until it should come back, evenly spaced."""
    spacing_ms = min(1000 / per_s, LONGEST_S * 1000 / max(1, clients))
    return [EARLIEST_MS + int(slot * spacing_ms) for slot in range(clients)]
