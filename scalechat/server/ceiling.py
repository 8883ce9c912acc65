"""How many connections a process may have: what its open files and its memory leave room for.

Without this a server in a small container takes connections until the kernel ends it, and everybody with it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from scalechat.control_groups import OWN, ROOT, groups_around

RESERVED_FDS: Final = 64
"""Descriptors kept for everything that is no client: the loop, listeners, files, a scrape."""
MOST: Final = 1_000_000
"""What "as many as the limit allows" means where a limit is infinite."""
CONNECTION_BYTES: Final = 32 * 1024
"""Of memory for one connection. Measured in a container with 4,000 members in rooms of 100: 16 kB, with the kernel's
part and the rooms' history; as much again for what waits in its queue and for bursts."""
KEPT_PART: Final = 8
"""One part in so many of the memory is for what no connection accounts for: large histories, queues of slow clients."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the limits allow. `because` names the nearer one, for people."""

    connections: int
    because: str


def ceiling(*, file_limit: int, memory_limit_bytes: int | None, held_bytes: int) -> Ceiling:
    """The most connections that a process may have which holds `held_bytes` without any; at least one."""
    by_files = Ceiling(max(1, min(file_limit, MOST) - RESERVED_FDS), "open files")
    if memory_limit_bytes is None:
        return by_files
    free_bytes = memory_limit_bytes - memory_limit_bytes // KEPT_PART - held_bytes
    by_memory = Ceiling(max(1, free_bytes // CONNECTION_BYTES), "memory")
    return min(by_memory, by_files, key=lambda limit: limit.connections)


def ceiling_here(file_limit: int, *, processes: int = 1) -> Ceiling:
    """The ceiling of this process, which shares the memory there is with others like it, so many in all."""
    limit_bytes = memory_limit_bytes()
    return ceiling(
        file_limit=file_limit,
        memory_limit_bytes=None if limit_bytes is None else limit_bytes // processes,
        # With the files it maps: without them, 64 MiB seemed to hold 333 clients, and the kernel ended the server.
        held_bytes=psutil.Process().memory_info().rss,
    )


def memory_limit_bytes(root: Path = ROOT, own: Path = OWN) -> int | None:
    """The least memory that a control group around this process allows; None without one (and where there are none)."""
    with suppress(OSError):
        return min(filter(None, map(_limit, groups_around("memory", root, own))), default=None)
    return None


def _limit(group: Path) -> int | None:
    """None: it sets no limit. Version 2 says "max" then, version 1 a number beyond any memory."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int((group / name).read_text(encoding="ascii"))
            return limit if limit < 2**60 else None
    return None
