"""Clients whose connection was gone for a while: what was said meanwhile reaches them when they are back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scalechat.analysis.facts import clients
from scalechat.analysis.units import counted, duration_text

from .finding import AWAY, HIDDEN, Evidence, Finding
from .queues import LATE_S
from .seen import Seen

__all__ = ["away"]

_IN_THE_HEADLINE: Final = ("normal", "reader-only")
"""Kinds of clients whose deliveries are in `delivery`."""
_SHARE: Final = 0.01
"""Fewer clients than that do not make a p99."""
_AS_LONG: Final = 0.5
"""A delivery waits for the rest of an absence, on average for half of it."""


def away(seen: Seen) -> Iterator[Finding]:
    """Deliveries as late as clients were away, while the server was idle as to them."""
    rows = seen.frames.connections
    left = rows.set_index("connection_id")["closed_s"]
    back = rows[rows["reconnect_of"].notna() & rows["kind"].isin(_IN_THE_HEADLINE)]
    since_s = back["reconnect_of"].map(left[~left.index.duplicated(keep="last")])
    took_s = (back["opened_s"] - since_s).to_numpy(np.float64)
    late_s, some = seen.delivery_s("delivery", 0.99), clients(seen.frames)
    if not (len(back) >= _SHARE * some and late_s >= LATE_S and np.nanmax(took_s, initial=0) >= _AS_LONG * late_s):
        return
    longest, typical = duration_text(1e9 * float(np.nanmax(took_s))), duration_text(1e9 * float(np.nanmedian(took_s)))
    times = f"between {since_s.min():.0f} s and {back['opened_s'].max():.0f} s"
    said = (
        Evidence(f"{counted(len(back), 'connection')} lost and back", "connections.csv", times),
        Evidence(f"that took {typical} (median), {longest} at most", "opened_s, closed_s in connections.csv"),
        Evidence(f"1 % of the deliveries took longer than {duration_text(1e9 * late_s)}", "histograms.csv"),
    )
    step = "this is how long clients are without news: let them come back sooner, or find out why they went"
    yield Finding(AWAY, "server", "likely", said, step, "reconnect-storm.md", frozenset({HIDDEN}))
