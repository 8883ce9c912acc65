"""Python's garbage collector during a run: what lives as long as the run is not looked at."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FREEZE_EVERY: Final = 500
"""Clients begun between two freezes of the heap, see `quiet_collector`."""
YOUNG: Final = 10_000
"""New objects before a collection of the young, instead of Python's 700: at full load they were 6 % of the CPU time."""
RARELY: Final = 70
"""Collections of the middle generation before a full one, instead of Python's 10."""


@contextmanager
def quiet_collector() -> Iterator[None]:
    """What is frozen during the body stays out of garbage collection until its end.

    A full collection looks at every object: 200 ms with 5,000 clients, several times in a ramp, and 10 ms for what came
    since. It is rare therefore; what it alone can free, cycles that live for long, hardly comes into being here.
    """
    young, middle, old = gc.get_threshold()
    gc.set_threshold(YOUNG, middle, RARELY)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
        gc.unfreeze()
