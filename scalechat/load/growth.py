"""How much a counter of another process grew from one look to the next."""

from __future__ import annotations


class Growth:
    """A counter that is smaller than before began anew with its process: what grew between the looks is not known."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None
        """(when, value)."""

    def look(self, at_ns: int, value: float) -> tuple[int, float] | None:
        """(ns, growth) since the last look; None when there was none, or the counter began anew."""
        before, self._before = self._before, (at_ns, value)
        if before is None or at_ns <= before[0] or value < before[1]:
            return None
        return at_ns - before[0], value - before[1]

    def forget(self) -> None:
        """The next look is a first one."""
        self._before = None
