"""Connections that do not get in, or late: the accept queue, open files, the cap on connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from scalechat.analysis.units import count_text, counted, duration_text

from .finding import Evidence, Finding, Strength
from .seen import Seen
from .usage import FULL_RATIO, usages

__all__ = ["accept_queue", "files", "places"]

Floats = npt.NDArray[np.float64]

RETRANSMITTED_S: Final = ((0.95, 1.4), (2.9, 3.6), (6.8, 7.8))
"""When TCP's SYN is repeated: after 1 s, then after 2 s and 4 s more (RFC 6298, 2.1 and 5.5)."""
RETRANSMITTED_RATIO: Final = 0.01
RESERVE: Final = 64
"""Descriptors that the server keeps for itself: a cap so close to the limit of open files is made of it."""


def accept_queue(seen: Seen) -> Iterator[Finding]:
    """Connects that took exactly as long as TCP waits before it asks again, or drops that the kernel counted."""
    took_s = seen.frames.connections["tcp_ns"].dropna().to_numpy(np.float64) / 1e9
    again = sum(int(((took_s >= low) & (took_s <= high)).sum()) for low, high in RETRANSMITTED_S)
    dropped = seen.grown("scalechat_accept_drops_total")
    said = []
    if dropped > 0:
        said.append(Evidence(f"the kernel dropped {counted(dropped, 'connection')}", "scalechat_accept_drops_total"))
    if again >= max(5, RETRANSMITTED_RATIO * len(took_s)) and np.median(took_s) < RETRANSMITTED_S[0][0]:
        text = (
            f"{count_text(again)} of {count_text(len(took_s))} connects took as long as TCP waits before it asks again "
            f"(p99 {_quantile_text(took_s, 0.99)}, median {_quantile_text(took_s, 0.5)})"
        )
        said.append(Evidence(text, "tcp_ns in connections.csv"))
    if not said:
        return
    timeouts = seen.counted("connect_failures_timeout_total")
    if timeouts:
        said.append(Evidence(f"{counted(timeouts, 'connect')} timed out", "timeseries.csv"))
    step = "a longer accept queue (--backlog, net.core.somaxconn), or connections that come more slowly"
    strength: Strength = "certain" if dropped > 0 else "likely"
    yield Finding(
        "the accept queue",
        "server",
        strength,
        tuple(said),
        step,
        "accept-queue.md",
    )


def files(seen: Seen) -> Iterator[Finding]:
    """Every connection is an open file."""
    refused, none_left = _refused(seen, "max_connections"), _refused(seen, "no_descriptor")
    limit, cap = seen.most("max_fds"), seen.limit("max_connections")
    usage = {usage.resource: usage for usage in usages(seen.frames)}.get("server's open files")
    full = usage is not None and usage.at_limit
    if not (full or none_left > 0 or (refused > 0 and limit - cap <= RESERVE)):
        return
    said = [
        Evidence(f"a limit of {count_text(limit)} open files leaves {count_text(cap)} connections", "process_max_fds")
    ]
    if usage is not None:
        said.insert(0, Evidence(usage.text, "process_open_fds"))
    for count, text in ((refused, "refused for it"), (none_left, "closed for want of a descriptor")):
        if count > 0:
            said.append(Evidence(f"{counted(count, 'connection')} {text}", "scalechat_refusals_total"))
    step = "raise the limit of open files (ulimit -n, LimitNOFILE=) of the server"
    explained = frozenset({"the server's connections"})
    yield Finding("the server's open files", "server", "certain", tuple(said), step, "open-file-limit.md", explained)


def places(seen: Seen) -> Iterator[Finding]:
    """A cap that was chosen."""
    refused = _refused(seen, "max_connections")
    usage = {usage.resource: usage for usage in usages(seen.frames)}.get("server's connections")
    if not (refused > 0 or (usage is not None and usage.ratio >= FULL_RATIO)):
        return
    said = [Evidence(usage.text, "scalechat_connections")] if usage is not None else []
    if refused > 0:
        said.append(Evidence(f"{counted(refused, 'connection')} refused", "scalechat_refusals_total"))
    step = "raise --max-connections, or add nodes"
    yield Finding("the server's connections", "server", "certain", tuple(said), step, "open-file-limit.md")


def _quantile_text(took_s: Floats, rank: float) -> str:
    return duration_text(1e9 * float(np.quantile(took_s, rank)))


def _refused(seen: Seen, reason: str) -> float:
    return seen.grown("scalechat_refusals_total", f'reason="{reason}"')
