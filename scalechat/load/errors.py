"""What went wrong, by kind: how often, when first and last, and one example. The rows of ``errors.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

USUAL: Final = (
    *("connect_refused", "connect_timeout", "connect_rejected", "connect_local", "connect_other"),
    *("closed_1006", "closed_4008", "connection", "send_refused", "server_error", "scrape"),
)
"""What is counted from the start, as zero: a counter that appears with its first error has no rate of it."""


@dataclass(slots=True)
class ErrorKind:
    """All errors of one kind. Times are of the run's clock."""

    first_ns: int
    phase: int
    last_ns: int
    example: str
    count: int = 0


class ErrorLog:
    """Counts errors; kinds are a fixed few, chosen by us, so the log cannot grow."""

    __slots__ = ("kinds", "total")

    def __init__(self) -> None:
        self.kinds: dict[str, ErrorKind] = {}
        self.total = 0

    def note(self, kind: str, example: str, *, at_ns: int, phase: int) -> None:
        """One more error of this kind."""
        self.total += 1
        entry = self.kinds.setdefault(kind, ErrorKind(at_ns, phase, at_ns, example[:200]))
        entry.count += 1
        entry.last_ns = at_ns
