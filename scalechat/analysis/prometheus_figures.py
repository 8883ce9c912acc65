"""The pictures and tables of what a Prometheus knows; the servers' resources and the diagnosis are those of a run."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import diagnosis, facts
from .prometheus import PrometheusFrames
from .saturation import counter_rate
from .style import COLORS, Html, canvas, count_axis, empty, latency_axis, legend, note, panel_title, picture, time_axis
from .tables import table
from .units import bytes_text, count_text, counted, duration_text, percent_text, rate_text

__all__ = ["about", "headline", "load_clients", "nodes"]

_RANKS = ((0.99, "p99", COLORS["main"]), (0.5, "median", COLORS["light"]))


def about(frames: PrometheusFrames) -> Html:
    """Which Prometheus, which minutes, and how far its samples are apart."""
    apart = frames.server_series.groupby("node")["t_s"].diff().median()
    parts = [
        frames.url,
        f"{frames.start:%Y-%m-%d %H:%M:%S} UTC and {frames.length_s / 60:g} minutes on",
        "one sample of each server" if np.isnan(apart) else f"a sample every {apart:.0f} s",
    ]
    return Html(f'<p class="about">{html.escape(" · ".join(parts))}</p>')


def headline(frames: PrometheusFrames) -> Html:
    """Clients, deliveries, the fan-out's latency and the oldest frame in a queue, a line for each server."""
    series = frames.server_series
    with canvas(4.6, 2, 2) as (figure, (clients, deliveries, fanout, age)):
        _lines(clients, frames.clients, "value", 1.0, COLORS["main"])
        _lines(deliveries, series, "deliveries_per_s", 1.0, COLORS["main"])
        _delay(fanout, {rank: frames.quantiles("scalechat_fanout_duration_seconds", rank) for rank, _, _ in _RANKS})
        _lines(age, series, "queue_age_s", 1e3, COLORS["good"])
        named = (
            (clients, "clients connected"),
            (deliveries, "deliveries/s"),
            (fanout, "fan-out, publication to last queue"),
            (age, "oldest frame in a queue (ms)"),
        )
        _finish(named, frames, lowest=2)
        return picture(figure, _title(frames))


def nodes(frames: PrometheusFrames) -> Html:
    """Each server's own figures: the most that nine in ten samples stayed below, of memory and clients the most."""
    p99 = frames.quantiles("scalechat_fanout_duration_seconds", 0.99)
    clients = frames.clients.groupby("node")["value"].max()
    lines = [
        (
            str(node),
            count_text(clients[node]),
            rate_text(rows["deliveries_per_s"].mean()),
            duration_text(1e9 * facts.most_of(p99[p99["node"] == node]["value"])),
            duration_text(1e9 * facts.most_of(rows["loop_lag_p99_s"])),
            duration_text(1e9 * facts.most_of(rows["queue_age_s"])),
            percent_text(facts.most_of(rows["busiest_core"])),
            bytes_text(rows["rss_bytes"].max()),
        )
        for node, rows in frames.server_series.groupby("node")
    ]
    head = ("server", "clients", "deliveries", "fan-out p99", "loop lag p99", "queue age", "of a core", "memory")
    return table(head, lines, numeric=range(1, 8))


def load_clients(frames: PrometheusFrames) -> Html:
    """What load clients with `--metrics-port` felt, and whether they were late themselves."""
    rows = frames.load
    if rows.empty:
        return note("No load client was scraped (load --metrics-port): what clients felt is not known.")
    delivered = counter_rate(rows, "scalechat_load_deliveries_total")
    delays = {
        rank: frames.quantiles("scalechat_load_delivery_latency_seconds", rank, of_load=True) for rank, _, _ in _RANKS
    }
    late = frames.quantiles("scalechat_load_send_lag_seconds", 0.5, of_load=True)
    with canvas(2.5, 1, 3) as (figure, (felt, got, lag)):
        _delay(felt, delays)
        _lines(got, delivered, "value", 1.0, COLORS["main"])
        _lines(lag, late, "value", 1e3, COLORS["load"])
        named = ((felt, "delivery latency"), (got, "deliveries/s"), (lag, "median send lag (ms)"))
        _finish(named, frames, lowest=0)
        mean_per_s = delivered.groupby("node")["value"].mean().sum()
        worst, median_late = float(delays[0.99]["value"].max()), float(late["value"].median())
        title = (
            f"Load clients got {rate_text(mean_per_s, 'deliveries')}, in the worst interval "
            f"99 % within {duration_text(1e9 * worst)}; half of the messages left within "
            f"{duration_text(1e9 * median_late)} of their time"
        )
        return picture(figure, title)


# ---- parts ----------------------------------------------------------------------------------


def _title(frames: PrometheusFrames) -> str:
    servers = counted(frames.server_series["node"].nunique(), "server")
    p99 = frames.quantiles("scalechat_fanout_duration_seconds", 0.99)["value"]
    parts = [
        f"{servers} with {counted(frames.figure('clients'), 'client')}",
        rate_text(frames.figure("delivered_per_s"), "deliveries"),
    ]
    if p99.notna().any():
        parts.append(f"fan-out p99 {duration_text(1e9 * facts.most_of(p99))} nine times in ten")
    found = diagnosis.diagnose(frames)
    limit = f"limited by {found[0].cause} ({found[0].evidence[0]})" if found else "nothing was at its limit"
    return f"{', '.join(parts)}; {limit}"


def _lines(axes: Axes, rows: pd.DataFrame, column: str, factor: float, color: str) -> None:
    """A line for each server or load process; a dot as well, since one sample alone has no line."""
    known = rows.dropna(subset=[column])
    for _, part in known.groupby("node"):
        axes.plot(part["t_s"], part[column] * factor, ".-", ms=2, color=color, lw=1.3)
    count_axis(axes)
    if known.empty:
        empty(axes, "no sample")


def _delay(axes: Axes, by_rank: dict[float, pd.DataFrame]) -> None:
    """Median and p99 in seconds, as times on a logarithmic axis."""
    for rank, label, color in _RANKS:
        for number, (_, part) in enumerate(by_rank[rank].dropna(subset=["value"]).groupby("node")):
            name = label if number == 0 else None
            axes.plot(part["t_s"], 1e9 * part["value"], ".-", ms=2, color=color, label=name)
    if axes.lines:
        latency_axis(axes)
        legend(axes)
    else:
        empty(axes, "nothing was measured")


def _finish(named: tuple[tuple[Axes, str], ...], frames: PrometheusFrames, *, lowest: int) -> None:
    """Names and axes of time; those from number `lowest` on are the picture's lowest row."""
    for number, (axes, text) in enumerate(named):
        panel_title(axes, text)
        time_axis(axes, frames.phases, frames.length_s, label=number >= lowest)
        if number >= lowest:
            axes.set_xlabel(f"time since {frames.start:%H:%M:%S} UTC (s)")
