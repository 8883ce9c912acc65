"""When a worker that has ended is started again: the decision alone, without a clock or a process."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_WAIT_S = 0.1
"""One crash is repaired before clients that were cut come back (they wait half a second on average)."""
LONGEST_WAIT_S = 10.0
"""A worker that keeps crashing costs a start of an interpreter (half a second of CPU) every so often, not more."""
STABLE_S = 10.0
"""A worker that served so long is no failed start: the waits begin anew."""
FAILED_STARTS = 5
"""So many ends before the worker ever served, one after the other, and the next would end as well."""


@dataclass(slots=True)
class Restarts:
    """The memory of one worker's ends. Times are seconds."""

    total: int = 0
    _in_a_row: int = 0
    _failed_starts: int = 0

    def left(self) -> None:
        """It was told to go, and went."""
        self.total += 1

    def ended(self, served_s: float | None) -> float | None:
        """Seconds to wait before the next start; None: give up. `served_s` is None when it never came to serve."""
        self.total += 1
        self._failed_starts = self._failed_starts + 1 if served_s is None else 0
        if self._failed_starts >= FAILED_STARTS:
            return None
        if served_s is not None and served_s >= STABLE_S:
            self._in_a_row = 0
        self._in_a_row += 1
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._in_a_row - 1, 30))
