"""What a capacity search says beyond its answer: the scalability law, two queues held against it, cost per delivery."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from . import queueing, scalability
from .capacity import load_number
from .scalability import Coefficient, Scalability
from .search import SearchFrames
from .style import COLORS, Html, canvas, count_axis, latency_axis, legend, name_at_top, note, panel_title, picture
from .tables import table
from .units import MISSING, bytes_text, count_text, duration_text, percent_text, rate_text, significant

__all__ = ["costs", "law", "law_table", "queues"]

_ALL: Final = 0.95
"""A server that works this part of what it may is taken to work always."""


def law(search: SearchFrames) -> Html:
    """Throughput over the load with the Universal Scalability Law through it and its 95 % interval."""
    found = _law(search)
    if found is None:
        return note("Too few loads for a scalability law: its three coefficients need four of them at least.")
    rows = _delivering(search)
    with canvas(3.4) as (figure, (axes,)):
        top = float(rows["value"].max())
        grid = np.linspace(found.unit, 1.5 * top, 200)
        low, high = found.band(grid)
        axes.fill_between(grid, low, high, color=COLORS["main"], alpha=0.15, lw=0, label="95 % interval")
        axes.plot(grid, found.at(grid), color=COLORS["main"], label="the law")
        axes.plot(grid, found.per_unit * grid / found.unit, color=COLORS["plan"], lw=0.9, ls=":", label="linear")
        axes.plot(rows["value"], rows["delivered_per_s"], "o", ms=5, color=COLORS["good"], label="probes")
        count_axis(axes)
        axes.set_ylim(0, 1.6 * float(rows["delivered_per_s"].max()))
        axes.set_xlim(0, 1.5 * top)
        axes.axvspan(top, 1.5 * top, color=COLORS["shade"], lw=0, zorder=0)
        name_at_top(axes, 1.25 * top, "nothing measured")
        axes.set_xlabel(search.quantity)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel_title(axes, "deliveries/s")
        legend(axes)
        return picture(figure, _law_title(search, found, top))


def law_table(search: SearchFrames) -> Html:
    """The coefficients with their intervals, and whether the probes determine them."""
    found = _law(search)
    if found is None:
        return note("No coefficients.")
    unit = f"{load_number(found.unit)} {search.quantity}"
    rows = (
        ("λ, throughput of " + unit, rate_text(found.per_unit, "deliveries"), "", ""),
        ("σ, contention", *_told(found, found.contention)),
        ("κ, coherency", *_told(found, found.coherency)),
        ("misfit, median", percent_text(found.misfit), "", "the law fits" if found.describes else "another curve"),
    )
    return table(("coefficient", "value", "95 % interval", ""), rows, numeric={1, 2})


def queues(search: SearchFrames) -> Html:
    """Latency as two queues have it beside what was measured, over the load."""
    rows = search.probes.dropna(subset=["server_cpu_cores", "published_per_s", "delivery_p50_ms", "delivery_p99_ms"])
    rows = rows[rows["published_per_s"] > 0]
    if rows.empty:
        return note("The target's CPU is not known, so no queue can be held against it.")
    limit = float(rows["server_cpu_cores"].max())
    busy = np.array([queueing.utilisation(cores, limit) for cores in rows["server_cpu_cores"]])
    service = busy / rows["published_per_s"].to_numpy(np.float64) * 1e3
    # That near to the limit the rest is the noise of the reading, and 1 / (1 - busy) is made of it.
    busy = np.where(busy > _ALL, 1.0, busy)
    alone = [queueing.md1_mean(work, part) for work, part in zip(service, busy, strict=True)]
    stays = rows.assign(alone=alone, batch=rows["delivery_p50_ms"].map(queueing.batch_p99))
    shown = stays.groupby("value")[["delivery_p50_ms", "delivery_p99_ms", "alone", "batch"]].median()
    with canvas(3.2, 1, 2) as (figure, cells):
        pairs = (
            ("delivery_p50_ms", "alone", "p50; each message alone (M/D/1)"),
            ("delivery_p99_ms", "batch", "p99; batches"),
        )
        for axes, (measured, predicted, title) in zip(cells, pairs, strict=True):
            axes.plot(shown.index, shown[measured] * 1e6, "o-", ms=4, color=COLORS["main"], label="measured")
            finite = shown[np.isfinite(shown[predicted])]
            axes.plot(finite.index, finite[predicted] * 1e6, "s--", ms=4, color=COLORS["extra"], label="predicted")
            latency_axis(axes)
            axes.set_xlim(0, 1.08 * float(shown.index.max()))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.set_xlabel(search.quantity)
            panel_title(axes, title)
            legend(axes)
        caption = (
            "M/D/1 takes the CPU per message as its work, and the most cores that a probe used as the server's limit; "
            "where it is about all used, M/D/1 has no point. Batches take the measured p50 and predict the p99."
        )
        return picture(figure, _queues_title(shown), caption)


def costs(search: SearchFrames) -> Html:
    """What one delivery and one further client cost the server, for each load that was tried."""
    rows = search.probes.dropna(subset=["server_cpu_cores", "delivered_per_s"])
    rows = rows[rows["delivered_per_s"] > 0]
    if rows.empty:
        return note("The target does not tell its CPU, so a delivery has no known cost.")
    per = rows.assign(
        cpu_ns=1e9 * rows["server_cpu_cores"] / rows["delivered_per_s"],
        message_ns=1e9 * rows["server_cpu_cores"] / rows["published_per_s"].replace(0, np.nan),
        memory=rows["server_rss_bytes"] / rows["clients"].replace(0, np.nan),
    )
    columns = ["delivered_per_s", "cpu_ns", "message_ns", "memory"]
    lines = [
        (
            load_number(float(str(value))),
            rate_text(group["delivered_per_s"].median()),
            _range(group["cpu_ns"]),
            duration_text(group["message_ns"].median()),
            bytes_text(group["memory"].median()),
        )
        for value, group in per.groupby("value")[columns]
    ]
    head = (search.quantity, "deliveries", "CPU per delivery", "CPU per message", "resident memory, all, per client")
    return table(head, lines, numeric=range(5))


# ---- parts ----------------------------------------------------------------------------------


def _delivering(search: SearchFrames) -> pd.DataFrame:
    """The probes that say something of the server: not those that say something of the load client or the machine."""
    rows = search.probes
    return rows[(rows["delivered_per_s"] > 0) & ~rows["outcome"].isin(("generator", "disturbed"))]


def _law(search: SearchFrames) -> Scalability | None:
    rows = _delivering(search)
    return scalability.fit(rows["value"], rows["delivered_per_s"])


def _law_title(search: SearchFrames, found: Scalability, top: float) -> str:
    if not found.describes:
        return f"The scalability law does not describe this load: it misses the probes by {percent_text(found.misfit)}"
    peak = found.peak
    if peak is None:
        return f"Throughput follows the load up to {load_number(top)} {search.quantity}; the data does not determine κ"
    where = "" if peak <= top else ", beyond what was measured"
    told = load_number(float(f"{peak:.2g}"))
    kappa = significant(found.coherency.value)
    return f"By the scalability law throughput peaks near {told} {search.quantity}{where}: κ = {kappa}"


def _told(found: Scalability, one: Coefficient) -> tuple[str, str, str]:
    interval = f"{_small(one.low)} \N{EN DASH} {_small(one.high)}"
    if not one.determined:
        words = "the data does not determine it: zero is within its interval"
    else:
        words = "determined" if found.describes else "means little: the law is not this curve"
    return _small(one.value), interval, words


def _small(value: float) -> str:
    return "0" if value < 1e-6 else significant(value)


def _queues_title(shown: pd.DataFrame) -> str:
    beyond = int(np.isinf(shown["alone"]).sum())
    off = float(np.median(np.abs(np.log(shown["batch"] / shown["delivery_p99_ms"]))))
    ratio = float(np.median(shown["delivery_p50_ms"] / shown["alone"].replace(np.inf, np.nan)))
    parts = [] if np.isnan(ratio) else [f"the median stay is {significant(ratio)} times that of M/D/1"]
    if beyond:
        parts.append(f"M/D/1 has no answer at {count_text(beyond)} of {count_text(len(shown))} loads")
    parts.append(f"batches are off by {percent_text(np.expm1(off))} in the p99")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _range(values: pd.Series[float]) -> str:
    if len(values) < 2:
        return duration_text(values.iloc[0]) if len(values) else MISSING
    return f"{duration_text(values.median())} ({duration_text(values.min())} \N{EN DASH} {duration_text(values.max())})"
