"""A cause that limited a run, as a person is told it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = ["AWAY", "CORE", "HIDDEN", "LOOP", "SHARED", "STRENGTHS", "Evidence", "Finding", "Side", "Strength"]

Side = Literal["server", "generator"]
Strength = Literal["certain", "likely", "possible"]
"""*certain*: it was counted. *likely*: several signs agree. *possible*: it fits, and other causes would too."""
CORE: Final = "the server's core"
SHARED: Final = "other programs on the server's core"
LOOP: Final = "the server's event loop"
HIDDEN: Final = "queues outside the server's sight"
AWAY: Final = "clients that were away"
"""Causes that others explain."""
STRENGTHS: Final[tuple[Strength, ...]] = get_args(Strength)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen."""

    figure: str
    source: str
    """The table or the metric it was read from."""
    when: str = ""

    def __str__(self) -> str:
        return f"{self.figure} {self.when}".rstrip()


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that limited the run: what, on which side, how sure, how it is known, what to try."""

    cause: str
    side: Side
    strength: Strength
    evidence: tuple[Evidence, ...]
    next_step: str
    page: str | None
    """Of the catalogue of scaling problems, below ``docs/scale-problems/``; None where it has no page of it."""
    explains: frozenset[str] = frozenset()
    """Causes that are no more than symptoms of this one."""
