"""Heartbeats that a server expects of its clients, where a template says so: one task for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import trio

from scalechat.load.dialects import Reply
from scalechat.load.virtual_client import VirtualClient

_SLICE_S: Final = 0.1
"""Clients do not beat together: each tenth of a second it is another slice of them."""


async def beat_for_ever(clients: Sequence[VirtualClient], every_s: int, heartbeat: Reply) -> None:
    """Let each client beat once every so many seconds, until cancelled."""
    slices = round(every_s / _SLICE_S)
    for turn in itertools.count():
        await trio.sleep(_SLICE_S)
        for client in clients[turn % slices :: slices]:
            client.beat(heartbeat)
