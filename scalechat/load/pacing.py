"""Release each message at its intended time: `start + offset`, an absolute grid that no lateness moves.

One dispatcher serves all clients of the process. A task per client would cost two scheduler hops a message; this one
takes everything that is due, hands it out, and sleeps until the next time of the plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio

from scalechat.load.plan import SECOND_NS, Schedule

NowNs = Callable[[], int]
"""A monotonic clock in ns. `time.monotonic_ns` but in tests, where it follows Trio's virtual time."""
monotonic_ns: Final[NowNs] = time.monotonic_ns
"""The clock of real runs: CLOCK_MONOTONIC, the same for every process of a machine."""

SLICE_NS = 2_000_000
"""Longest work before everybody else gets a turn: far below the send lag that would make a run invalid (10 ms)."""
LOOK_EVERY = 16  # messages between two looks at the clock; one costs up to some 30 µs


async def dispatch(
    schedule: Schedule, *, start_ns: int, clock: NowNs, publish: Callable[[int, int, int], None]
) -> None:
    """Call ``publish(client, number, intended_ns)`` for each message of the schedule, never early; then return.

    A late wake-up releases everything that has become due meanwhile, each with its own intended time. Cancellation
    stops between two messages.
    """
    while (due := schedule.next_ns) is not None:
        wait_ns = start_ns + due - clock()
        # Also when nothing is left to wait for: a dispatcher that is behind must not starve the readers.
        await trio.sleep(max(0, wait_ns) / SECOND_NS)
        began_ns = clock()
        for count, (at, client, number) in enumerate(schedule.take_due(began_ns - start_ns), start=1):
            publish(client, number, start_ns + at)
            if count % LOOK_EVERY == 0 and clock() - began_ns > SLICE_NS:
                break


async def sleep_until(at_ns: int, clock: NowNs) -> None:
    """Return at `at_ns` of `clock`, or at once (after a checkpoint) when that is past."""
    while True:
        wait_ns = at_ns - clock()
        await trio.sleep(max(0, wait_ns) / SECOND_NS)
        if clock() >= at_ns:
            return
