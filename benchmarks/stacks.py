"""Sampled stacks to a small table: in which function, and in which part, the time went. Pure; no I/O.

Input is py-spy's raw format with native frames, one line a stack: ``outer (file:line);…;inner (file:line) count``. A
sample is charged to its innermost Python function, because that is what somebody can change; inside a system call it is
charged to the call, because that is the kernel's time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

SYSTEM_CALLS = frozenset(
    (
        "send",
        "sendto",
        "sendmsg",
        "recv",
        "recvfrom",
        "accept4",
        "accept",
        "epoll_wait",
        "epoll_ctl",
        "close",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "getsockname",
        "getpeername",
        "ioctl",
        "fcntl",
        "getrandom",
        "read",
        "write",
        "mmap",
        "munmap",
        "brk",
        "madvise",
    )
)
COLLECTOR = {"gc_collect_main", "gc_collect_generations", "gc_collect_with_callback", "_PyGC_CollectNoFail"}
_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(?::\d+)?\)$")


@dataclass(frozen=True, slots=True)
class Spent:
    """A share of all samples."""

    part: str
    function: str
    share: float


def self_time(lines: Iterable[str]) -> list[Spent]:
    """Where samples ended, largest first."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        stack, _, times = line.rpartition(" ")
        if stack and times.isdigit():
            counts[_charge(stack.split(";"))] += int(times)
    total = counts.total()
    return [Spent(part, function, count / total) for (part, function), count in counts.most_common()]


def by_part(spent: Iterable[Spent]) -> list[tuple[str, float]]:
    """The same by part of the whole, largest first."""
    shares: dict[str, float] = {}
    for item in spent:
        shares[item.part] = shares.get(item.part, 0.0) + item.share
    return sorted(shares.items(), key=lambda entry: -entry[1])


def _charge(stack: list[str]) -> tuple[str, str]:
    frames = [(m["function"], m["file"]) for m in map(_FRAME.match, stack) if m]
    if any(function in COLLECTOR for function, _ in frames):
        return "garbage collector", "collection"
    for function, file in reversed(frames):
        if file.endswith(".py"):
            break
        # The C library has its own names for them: __libc_send, __fcntl64.
        call = function.lstrip("_").removeprefix("libc_").removesuffix("64")
        if call in SYSTEM_CALLS and file.startswith("libc"):
            return "kernel", f"{call}()"
    python = next(((function, file) for function, file in reversed(frames) if file.endswith(".py")), None)
    if python is None:
        return "interpreter", "start and end"
    function, file = python
    return _part_of(file), f"{function.replace('.<locals>', '')} ({file.removeprefix('scalechat/')})"


def _part_of(file: str) -> str:
    package = file.partition("/")[0]
    named = {"scalechat": "Scale-Chat", "trio": "Trio", "trio_websocket": "trio-websocket", "wsproto": "wsproto"}
    return named.get(package, "others")
