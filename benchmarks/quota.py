"""A part of a core for one process: what a container with that CPU limit gets.

A server that is faster than what loads it can only be measured to its limit when it has less of the machine. The
kernel's bandwidth control does that (cgroups, either version): so many microseconds of each period, and no more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from scalechat.experiment.cgroup import cgroups


class NoQuota(Exception):
    """This machine does not let us; the message says what it would need."""


@contextlib.contextmanager
def limited(pid: int, cores: float) -> Iterator[None]:
    """While entered the process has `cores` of a core. Raises `NoQuota`."""
    with contextlib.ExitStack() as made:
        try:
            groups = made.enter_context(cgroups("scalechat-benchmark", cpu_cores=cores))
            for group in groups:
                (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise NoQuota(f"needs cgroups that may be written ({error})") from error
        try:
            yield
        finally:
            # A group with processes cannot be removed, and the server is to end at full speed.
            for group in groups:
                with contextlib.suppress(OSError):
                    (group.parent / "cgroup.procs").write_text(str(pid))
