"""The parts that pictures are put together from: one panel each, drawn into given axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import diagnosis, facts, saturation
from .frames import RunFrames
from .style import COLORS, OVER_LINES, count_axis, empty, latency_axis, legend, limit_line, panel_title, time_axis

__all__ = ["clients_open", "delay_over_time", "limits_used", "objective_marks", "resource", "two_rates"]


def clients_open(axes: Axes, frames: RunFrames, *, label: bool = True) -> None:
    """Connections open beside the plan."""
    rows = frames.timeseries
    times = np.unique(np.insert(rows["t_s"].to_numpy(np.float64), 0, 0.0))
    target = saturation.gauge(rows, "connections_target", times)
    open_now = saturation.gauge(rows, "connections_open", times)
    open_now[0] = 0.0  # the first row is a second old; nobody was connected at the start
    axes.plot(times, target, color=COLORS["plan"], lw=3.0, alpha=0.35, label="planned")
    axes.plot(times, open_now, color=COLORS["main"], label="open")
    axes.fill_between(times, 0, open_now, color=COLORS["main"], alpha=0.08, lw=0)
    panel_title(axes, "clients connected")
    count_axis(axes)
    time_axis(axes, frames.phases, frames.end_s, label=label)
    legend(axes)


def delay_over_time(axes: Axes, frames: RunFrames, windows: pd.DataFrame, *, slowest: bool) -> None:
    """Delivery latency per second, with the objectives."""
    if slowest:
        axes.plot(windows["t_s"], windows["max"], ".", color=COLORS["faint"], ms=4.5, label="slowest")
    for column, label, color in (("0.99", "p99", COLORS["main"]), ("0.5", "median", COLORS["light"])):
        if windows[column].notna().any():
            # A dot as well: a window between two without a value would have no line.
            axes.plot(windows["t_s"], windows[column], ".-", ms=2, color=color, label=label)
    latency_axis(axes)
    for _, bound, text in facts.delivery_objectives(frames):
        limit_line(axes, bound, text)
    panel_title(axes, "delivery latency")
    time_axis(axes, frames.phases, frames.end_s)
    legend(axes)


def two_rates(axes: Axes, frames: RunFrames, title: str, planned: tuple[str, str], real: tuple[str, str]) -> None:
    """A cumulative column (with its label) as rate, beside the one that was planned."""
    seconds = saturation.grid(frames.end_s)
    middle = (seconds[:-1] + seconds[1:]) / 2
    for (column, label), color, width, alpha in (
        (planned, COLORS["plan"], 3.0, 0.35),
        (real, COLORS["main"], 1.5, 1.0),
    ):
        rate = saturation.per_second(frames.timeseries, column, seconds)
        if not np.isnan(rate).all():
            axes.plot(middle, rate, color=color, lw=width, alpha=alpha, label=label)
    panel_title(axes, title)
    count_axis(axes)
    time_axis(axes, frames.phases, frames.end_s)
    legend(axes)


def limits_used(axes: Axes, frames: RunFrames) -> None:
    """A bar per limit that can be seen, the fullest on top."""
    used = sorted(diagnosis.usages(frames), key=lambda usage: usage.ratio)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(0, 100)
    panel_title(axes, "share of each limit in use")
    if not used:
        empty(axes, "no limit can be seen from here")
        return
    slots = max(len(used), 4)
    axes.set_ylim(-0.2, slots)
    for place, usage in enumerate(used, start=slots - len(used)):
        color = COLORS["good"] if usage.side == "server" else COLORS["load"]
        axes.barh(place, 100, height=0.2, color=COLORS["rule"], align="edge")
        axes.barh(
            place,
            min(100 * usage.ratio, 100),
            height=0.2,
            color=COLORS["limit"] if usage.at_limit else color,
            align="edge",
        )
        axes.text(0, place + 0.3, usage.resource, va="bottom")
        axes.text(100, place + 0.3, usage.text, va="bottom", ha="right", color=COLORS["soft"])


def resource(
    axes: Axes,
    frames: RunFrames,
    rows: pd.DataFrame,
    column: str,
    *,
    by: str,
    title: str,
    factor: float,
    color: str,
    label: bool = True,
) -> None:
    """One resource over time, a line for each node or worker."""
    known = rows.dropna(subset=[column])
    for _, part in known.groupby(by):
        axes.plot(part["t_s"], part[column] * factor, color=color, lw=1.3)
    panel_title(axes, title)
    count_axis(axes)
    if known.empty:
        empty(axes, "not shown by the target")
    time_axis(axes, frames.phases, frames.end_s, label=label, names=False)


def objective_marks(axes: Axes, frames: RunFrames) -> None:
    """A mark on the percentile axis where each latency objective has its bound."""
    for percentile, bound, text in facts.delivery_objectives(frames):
        nines = min(-np.log10(max(1 - percentile / 100, 1e-4)), 4.0)
        axes.plot([nines], [bound], marker="v", color=COLORS["limit"], ms=7, lw=0)
        axes.annotate(
            text,
            (nines, bound),
            xytext=(-8, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7.5,
            color=COLORS["limit"],
            bbox=OVER_LINES,
            zorder=4,
        )
