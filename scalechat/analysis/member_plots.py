"""Pictures of how alike members are served, and of both sides on one axis of time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import facts, latency, members
from .frames import RunFrames
from .style import COLORS, Html, canvas, count_axis, empty, latency_axis, legend, note, panel_title, picture, time_axis
from .tables import table
from .units import count_text, counted, duration_text, percent_text

__all__ = ["both_sides", "completeness", "last_member", "spread", "worst"]

_ENDS = (
    ("broadcast_first", "first member", COLORS["light"]),
    ("delivery", "all members", COLORS["main"]),
    ("broadcast_last", "last member", COLORS["extra"]),
)


def last_member(frames: RunFrames) -> Html:
    """When the first and the last member of a room heard a message: second by second, and over all messages."""
    names = [phase.name for phase in frames.measured]
    merged = {metric: latency.merge(frames.histograms, metric, names) for metric, _, _ in _ENDS}
    if not latency.total(merged["broadcast_last"]):
        return note("No time to the last member: no broadcast was measured.")
    width = max(1.0, np.ceil(frames.end_s / 300))
    with canvas(2.9, 1, 2, widths=(1.5, 1)) as (figure, (over_time, curve)):
        for metric, label, color in _ENDS:
            windows = latency.over_time(frames.histograms, metric, width)
            over_time.plot(windows["t_s"], windows["0.5"], ".-", ms=2, color=color, label=label)
            points = latency.curve(merged[metric], nines=3.0)
            curve.plot(points["nines"], points["latency_ns"], color=color)
        for axes, text in ((over_time, "median of each second"), (curve, "percentiles")):
            axes.set_yscale("log")
            low, high = axes.get_ylim()
            axes.set_ylim(low / 1.5, 1.5 * high)  # small differences are to look small
            latency_axis(axes)
            panel_title(axes, text)
        curve.set_xlim(0, 3)
        curve.set_xticks([0, -np.log10(0.5), 1, 2, 3], ["0", "50", "90", "99", "99.9"])
        curve.set_xlabel("percentile (%)")
        time_axis(over_time, frames.phases, frames.end_s)
        legend(over_time)
        first, last = (latency.quantile(merged[metric], 0.5) for metric in ("broadcast_first", "broadcast_last"))
        everybody = latency.quantile(merged["broadcast_last"], 0.99)
        title = (
            f"A message reached its first member after {duration_text(first)}, its last after {duration_text(last)} "
            f"(medians); 99 % had reached everybody after {duration_text(everybody)}"
        )
        return picture(figure, title)


def spread(frames: RunFrames) -> Html:
    """Each member's median over its place in the order of joining, and the members' own p99 in order of size."""
    rows = members.measured_members(frames)
    if rows.empty:
        return note("No latency by connection: none was recorded.")
    fair = members.fairness(frames)
    with canvas(2.9, 1, 2, widths=(1.5, 1)) as (figure, (order, sizes)):
        order.plot(rows["join_order"], rows["delivery_p50_ns"] / 1e6, ".", ms=4, color=COLORS["main"], alpha=0.6, mew=0)
        if fair is not None:
            ends = np.array([0.0, fair.places])
            middle = fair.median_ns + fair.slope_ns * (ends - rows["join_order"].median())
            # Wide and below: equal medians lie on it in a row, and a thin line over them would hide them all.
            order.plot(
                ends, middle / 1e6, color=COLORS["limit"], alpha=0.45, lw=4, zorder=1, label="trend (Theil and Sen)"
            )
        count_axis(order)
        panel_title(order, "median delivery of each member (ms)")
        order.set_xlabel("place in the order of joining its room (0 = first)")
        legend(order)
        tails = np.sort(rows["delivery_p99_ns"].dropna().to_numpy(np.float64))
        if len(tails):
            sizes.plot(
                100 * (np.arange(len(tails)) + 1) / len(tails), tails / 1e6, color=COLORS["main"], drawstyle="steps-pre"
            )
            count_axis(sizes)
        else:
            empty(sizes, "too few deliveries for a p99 of each")
        panel_title(sizes, "p99 of each member (ms)")
        sizes.set_xlim(0, 100)
        sizes.set_xlabel("share of the members (%)")
        return picture(figure, _fair_title(fair, tails))


def worst(frames: RunFrames) -> Html:
    """The ten connections that were served worst."""
    rows = members.worst(frames)
    if rows.empty:
        return note("No latency by connection: none was recorded.")
    columns: list[list[str]] = [rows[name].astype("str").to_list() for name in ("client_id", "kind", "room")]
    for name, text in (
        ("join_order", count_text),
        ("delivery_p50_ns", duration_text),
        ("delivery_p99_ns", duration_text),
        ("longest_gap_ns", duration_text),
        ("received", count_text),
        ("missed", count_text),
    ):
        columns.append([text(value) for value in rows[name].to_numpy(np.float64)])
    head = ("served worst", "kind", "room", "joined as no.", "p50", "p99", "longest silence", "received", "missed")
    return table(head, zip(*columns, strict=True), numeric=range(3, 9))


def completeness(frames: RunFrames) -> Html:
    """How many messages reached everybody."""
    found = members.completeness(frames)
    if not found.messages:
        return note("No message was due in the measured phases.")
    whole = found.complete / found.messages
    text = f"{percent_text(whole)} of the {counted(found.messages, 'measured message')} reached every member."
    if found.lost:
        text += (
            f" {counted(found.partly, 'message')} reached some, {count_text(found.nobody)} nobody: "
            f"{count_text(found.lost)} deliveries are missing."
        )
    return Html(f"<p>{text}</p>")


def both_sides(frames: RunFrames) -> Html:
    """What clients felt, what the server did and what the generator did, one above the other."""
    server, load = frames.server_series, frames.generator_series
    if frames.timeseries.empty:
        return note("No picture: this run has no time series.")
    windows = facts.latency_windows(frames)
    with canvas(6.4, 5, 1) as (figure, (delay, cores, lag, age, memory)):
        for column, label, color in (("0.99", "p99", COLORS["main"]), ("0.5", "median", COLORS["light"])):
            delay.plot(windows["t_s"], windows[column], ".-", ms=2, color=color, label=label)
        latency_axis(delay)
        _lines(cores, server, load, "busiest_core", "cpu_cores", 100.0)
        _lines(lag, server, load, "loop_lag_p99_s", "loop_lag_p99_ns", 1e3, 1e-6)
        _lines(age, server, None, "queue_age_s", "", 1e3)
        _lines(memory, server, load, "rss_bytes", "rss_bytes", 1e-6)
        named = (
            (delay, "delivery latency"),
            (cores, "CPU of the busiest process (% of a core)"),
            (lag, "loop lag, p99 (ms)"),
            (age, "oldest frame in a queue of the server (ms)"),
            (memory, "resident memory (MB)"),
        )
        for axes, text in named:
            panel_title(axes, text)
            time_axis(axes, frames.phases, frames.end_s, label=axes is memory, names=axes is delay)
            legend(axes)
        memory.set_xlabel("time since the start of the run (s)")
        return picture(figure, _together(frames, windows))


def _lines(
    axes: Axes,
    server: pd.DataFrame,
    load: pd.DataFrame | None,
    of_server: str,
    of_load: str,
    factor: float,
    factor_of_load: float | None = None,
) -> None:
    sides = [(server, "node", of_server, factor, COLORS["good"], "server")]
    if load is not None:
        sides.append((load, "worker_id", of_load, factor_of_load or factor, COLORS["load"], "generator"))
    for rows, by, column, scale, color, label in sides:
        for number, (_, part) in enumerate(rows.dropna(subset=[column]).groupby(by)):
            axes.plot(part["t_s"], part[column] * scale, color=color, lw=1.3, label=label if number == 0 else None)
    count_axis(axes)
    if not axes.lines:
        empty(axes, "not shown by the target")


def _fair_title(fair: members.Fairness | None, tails: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    parts = []
    if fair is None:
        parts.append("Too few members to tell whether join order matters")
    elif not fair.in_order:
        parts.append("Who joins first does not hear first: join order makes no difference that can be told")
    else:
        gap = duration_text(abs(fair.first_to_last_ns))
        who = "first" if fair.slope_ns > 0 else "last"
        low, high = (duration_text(edge) for edge in (fair.low_ns, fair.high_ns))
        parts.append(
            f"Who joins {who} hears first: {gap} from the first place to the last "
            f"({duration_text(fair.slope_ns)} a place, {low} … {high})"
        )
    if len(tails):
        parts.append(f"members' own p99 from {duration_text(tails[0])} to {duration_text(tails[-1])}")
    return "; ".join(parts)


def _together(frames: RunFrames, windows: pd.DataFrame) -> str:
    rows = frames.in_measured(windows).dropna(subset=["0.99"])
    if rows.empty:
        return "Both sides on one axis of time"
    at = float(rows["t_s"].to_numpy()[rows["0.99"].argmax()])
    parts = [f"When the latency was highest, at {at:.0f} s"]
    for name, series, by, column in (
        ("server", frames.server_series, "node", "busiest_core"),
        ("generator", frames.generator_series, "worker_id", "cpu_cores"),
    ):
        near = series.dropna(subset=[column])
        near = near[(near["t_s"] - at).abs() <= 1.0]
        if len(near):
            parts.append(f"the {name} used {percent_text(float(near.groupby(by)[column].mean().max()))} of a core")
    return f"{parts[0]}, {' and '.join(parts[1:])}" if len(parts) > 1 else parts[0]
