"""The picture of coordinated omission in docs/discussion/measuring.md, from one run of each kind.

    python -m benchmarks.coordinated_omission docs/images/coordinated-omission.svg

An open and a closed loop of the load client meet the same server of the tests, which stands still for two seconds.
Time is virtual, so nothing but the stall can be seen in the picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
import trio
from matplotlib.figure import Figure
from trio.testing import MockClock

from scalechat.load.results import BroadcastRow, read_run
from tests.load.broadcaster import Broadcaster
from tests.load.lies import Lies
from tests.load.worlds import virtual_run

STALL = (8.0, 10.0)
MEASURED_S = 20.0
CLIENTS, PERIOD_S = 10, 0.1
QUANTILES = (0.5, 0.9, 0.99, 0.999)
# Okabe and Ito's palette, made for every kind of colour vision; marker and label say the same.
OPEN, CLOSED = "#0072B2", "#D55E00"

Points = list[tuple[float, float]]
"""(when, latency) in seconds."""


async def _points(loop: str) -> Points:
    with TemporaryDirectory() as out:
        outcome = await virtual_run(
            Broadcaster(lies=Lies(stalls=(STALL,))).serve,
            Path(out),
            clients=CLIENTS,
            msg_frequency_ms=PERIOD_S * 1000,
            arrivals="fixed",
            loop=loop,
            target="plain",
            duration_s=MEASURED_S,
        )
        rows = [row for row in read_run(outcome.run_dir).rows(BroadcastRow) if row.phase == "steady"]
    return [(row.t_s, row.delivery_last_ns / 1e9) for row in rows if row.delivery_last_ns is not None]


def draw(opened: Points, closed: Points, path: Path) -> None:
    """Left each message by its time, right the quantiles that follow."""
    with mpl.rc_context({"svg.hashsalt": "scalechat", "font.size": 10, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
        left.axvspan(*STALL, color="0.92", zorder=0)
        left.text(sum(STALL) / 2, 2.08, "server stands still", ha="center", va="bottom", fontsize=8)
        for points, colour, marker, name in (
            (opened, OPEN, ".", f"open loop: {len(opened):,} messages,\nby when they were due"),
            (closed, CLOSED, "x", f"closed loop: {len(closed):,} messages,\nby when they were sent"),
        ):
            when, latency = np.array(points).T
            left.plot(when, latency, marker, color=colour, markersize=5, label=name)
            values = np.quantile(latency, QUANTILES)
            right.plot(range(len(QUANTILES)), values, marker + "-", color=colour, markersize=8)
            at = 2
            above = points is opened
            right.annotate(
                f"p99 {values[at] * 1000:,.0f} ms",
                (at, values[at]),
                textcoords="offset points",
                xytext=(-8, 4 if above else 8),
                ha="right",
                color=colour,
            )
        left.set(xlabel="seconds", ylabel="delivery latency (s)", xlim=(6, 15), ylim=(-0.05, 2.25))
        left.legend(loc="upper right", bbox_to_anchor=(1.0, 0.85), fontsize=8, frameon=False)
        right.set_xticks(range(len(QUANTILES)), ["p50", "p90", "p99", "p99.9"])
        right.set_xlim(-0.2, len(QUANTILES) - 0.8)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle("The same stall of two seconds, measured twice", x=0.01, ha="left", fontweight="bold")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Run both and draw them."""
    opened = trio.run(_points, "open", clock=MockClock(autojump_threshold=0))
    closed = trio.run(_points, "closed", clock=MockClock(autojump_threshold=0))
    draw(opened, closed, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
