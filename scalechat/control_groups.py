"""Where the limits of a container stand: the control groups that this process is in, of either version.

Linux, admin-guide/cgroup-v2 and admin-guide/cgroup-v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["OWN", "ROOT", "groups_around"]

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")


def groups_around(controller: str, root: Path = ROOT, own: Path = OWN) -> Iterator[Path]:
    """Our group of a controller and those around it. In a container the path is often the host's, and only the tree's
    top is there.

    Raises:
        OSError: there are none (not Linux), or no descriptor is left.
    """
    for line in own.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            top = root / controller if controllers else root
            group = top / path.strip("/")
            yield from (group, *(around for around in group.parents if around.is_relative_to(top)))
