"""The pictures of one run; every title is a finding computed from the same data.

Each function gives an `Html` with the picture, or one line that says why there is none.
"""

from __future__ import annotations

import numpy as np
from matplotlib.transforms import Bbox

from . import diagnosis, facts, latency, panels, titles
from .frames import RunFrames
from .style import COLORS, Html, canvas, empty, latency_axis, legend, limit_line, note, panel_title, picture

__all__ = ["connections", "generator", "headline", "latency_curve", "latency_over_time", "server", "throughput"]


def headline(frames: RunFrames) -> Html:
    """How many clients, at what latency, limited by what: the run in one picture."""
    if frames.timeseries.empty:
        return note("No picture: this run has no time series.")
    with canvas(3.6, 2, 2, widths=(2.3, 1)) as (figure, (clients, upper, delay, lower)):
        right = upper.get_position(), lower.get_position()
        upper.remove()
        lower.remove()
        panels.clients_open(clients, frames, label=False)
        panels.delay_over_time(delay, frames, facts.latency_windows(frames), slowest=False)
        tall = Bbox.union([box.frozen() for box in right])
        panels.limits_used(figure.add_axes(tall.bounds), frames)
        return picture(figure, titles.headline(frames))


def throughput(frames: RunFrames) -> Html:
    """Messages offered by the plan and published; deliveries expected and made."""
    if frames.timeseries.empty:
        return note("No throughput: this run has no time series.")
    with canvas(2.5, 1, 2) as (figure, (sent, got)):
        panels.two_rates(
            sent, frames, "messages/s", ("intended_total", "offered by the plan"), ("published_total", "published")
        )
        panels.two_rates(got, frames, "deliveries/s", ("expected_total", "expected"), ("delivered_total", "delivered"))
        return picture(figure, titles.throughput(frames))


def latency_over_time(frames: RunFrames) -> Html:
    """Median, 99th percentile and maximum of each second."""
    windows = facts.latency_windows(frames)
    if windows.empty:
        return note("No latency over time: no delivery was measured.")
    with canvas(2.9) as (figure, (axes,)):
        panels.delay_over_time(axes, frames, windows, slowest=True)
        return picture(figure, titles.latency_over_time(frames, windows))


def latency_curve(frames: RunFrames) -> Html:
    """The percentile curve of the measured phases up to 99.99, on a logarithmic axis."""
    names = [phase.name for phase in frames.measured]
    series = (
        ("delivery", "delivery", COLORS["main"], 2.0),
        ("broadcast_last", "last member of the room", COLORS["extra"], 1.3),
        ("ack_rtt", "acknowledgement", COLORS["good"], 1.3),
        ("send_lag", "generator's own lateness", COLORS["load"], 1.3),
    )
    if latency.total(facts.delivery_buckets(frames)) == 0:
        return note("No percentile curve: no delivery was measured in the measured phases.")
    with canvas(3.2) as (figure, (axes,)):
        for metric, label, color, width in series:
            points = latency.curve(latency.merge(frames.histograms, metric, names))
            shown = points[points["latency_ns"] > 0]
            if len(shown):
                axes.plot(shown["nines"], shown["latency_ns"], color=color, lw=width, label=label)
        panels.objective_marks(axes, frames)
        axes.set_xlim(0, 4)
        axes.set_xticks([0, -np.log10(0.5), 1, 2, 3, 4], ["0", "50", "90", "99", "99.9", "99.99"])
        axes.grid(True, axis="x")
        axes.set_xlabel("percentile of deliveries (%)")
        latency_axis(axes)
        panel_title(axes, "latency")
        legend(axes)
        return picture(figure, titles.latency_curve(frames))


def connections(frames: RunFrames) -> Html:
    """Connections open over time, and how long each took to open."""
    if frames.timeseries.empty:
        return note("No connections: this run has no time series.")
    opened = frames.connections.dropna(subset=["opened_s"])
    took_ns = ((opened["opened_s"] - opened["t_s"]) * 1e9).clip(lower=0).sort_values()
    with canvas(2.5, 1, 2) as (figure, (number, time)):
        panels.clients_open(number, frames)
        panel_title(time, "share of the connections that were open after… (%)")
        time.set_xlabel("time since it was due to be opened (ms)")
        if len(took_ns):
            place = np.linspace(0, len(took_ns) - 1, min(len(took_ns), 300)).round().astype(int)
            took_ms = took_ns.to_numpy(np.float64)[place] / 1e6
            end = 1.04 * took_ms[-1]
            share = 100 * np.concatenate([[0], place + 1, [len(took_ns)]]) / len(took_ns)
            after = np.concatenate([[0.0], took_ms, [end]])
            time.plot(after, share, color=COLORS["main"], drawstyle="steps-post")
            time.set_ylim(0, 104)
            time.set_xlim(0, end)
        else:
            empty(time, "no connection was opened")
        return picture(figure, titles.connections(frames, took_ns))


def server(frames: RunFrames) -> Html:
    """The server's CPU, memory, loop lag and queues, by its own metrics."""
    rows = frames.server_series
    if rows.empty:
        return note("No server metrics: the target shows none, so the server's side is not known.")
    shown = (
        ("cpu_cores", "CPU (% of a core)", 100.0),
        ("loop_lag_p99_s", "loop lag, p99 (ms)", 1e3),
        ("gc_ratio", "garbage collection (% of time)", 100.0),
        ("rss_bytes", "resident memory (MB)", 1e-6),
        ("queue_bytes", "queued for clients (kB)", 1e-3),
        ("queue_age_s", "oldest queued frame (ms)", 1e3),
    )
    with canvas(4.0, 2, 3) as (figure, cells):
        for index, (axes, (column, title, factor)) in enumerate(zip(cells, shown, strict=True)):
            panels.resource(
                axes,
                frames,
                rows,
                column,
                by="node",
                title=title,
                factor=factor,
                color=COLORS["good"],
                label=index >= 3,
            )
            if column == "cpu_cores":
                limit_line(axes, 100.0, "one core")
        return picture(figure, titles.server(frames))


def generator(frames: RunFrames) -> Html:
    """The load process's own health: whether its figures may be believed."""
    rows = frames.generator_series
    if rows.empty:
        return note("No generator health: this run recorded none.")
    shown = (
        ("cpu_cores", "CPU (% of a core)", 100.0),
        ("loop_lag_p99_ns", "loop lag, p99 (ms)", 1e-6),
        ("send_lag_p50_ns", "median send lag (ms)", 1e-6),
    )
    with canvas(2.3, 1, 3) as (figure, cells):
        for axes, (column, title, factor) in zip(cells, shown, strict=True):
            panels.resource(
                axes, frames, rows, column, by="worker_id", title=title, factor=factor, color=COLORS["load"]
            )
            if column == "cpu_cores":
                limit_line(axes, 100 * diagnosis.GENERATOR_CORE_RATIO, "trusted up to here")
        return picture(figure, titles.generator(frames))
