"""The ramp: those who are there from the beginning dial, each at its planned time."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from scalechat.load.collector import FREEZE_EVERY
from scalechat.load.ending import Ending
from scalechat.load.pacing import NowNs, sleep_until
from scalechat.load.plan import Plan
from scalechat.load.virtual_client import VirtualClient

STARTS_PER_TURN: Final = 16
"""Connections begun before everybody else gets a turn, when the ramp is behind its plan."""


async def dial_as_planned(
    clients: Sequence[VirtualClient], load: trio.Nursery, plan: Plan, ending: Ending, clock: NowNs, *, start_ns: int
) -> None:
    """Start them as tasks of `load`, from `start_ns` on; return when the last has begun, or the run ends."""
    for client in clients:
        at_ns = start_ns + plan.connect_ns(client.number)
        if at_ns > clock():
            await ending.unless_over(partial(sleep_until, at_ns, clock))
        elif client.number % STARTS_PER_TURN == 0:
            await trio.lowlevel.checkpoint()
        if ending.is_early:
            return
        if client.number % FREEZE_EVERY == 0:
            gc.freeze()
        load.start_soon(client.run, at_ns)
