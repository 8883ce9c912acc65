"""The pictures and tables of a capacity search; the first one answers how many, at what latency, limited by what."""

from __future__ import annotations

import html

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from scalechat.load.results import SearchRow

from . import diagnosis, findings
from .search import SearchFrames, knee
from .style import (
    COLORS,
    Html,
    canvas,
    count_axis,
    empty,
    latency_axis,
    legend,
    limit_line,
    name_at_top,
    note,
    panel_title,
    picture,
)
from .tables import table
from .units import MISSING, count_text, duration_text, percent_text, rate_text, significant

__all__ = ["course", "headline", "limits", "load_of", "probes", "resources", "verdict"]

_MARKS = (
    (("held",), "held", "o", COLORS["good"]),
    (("failed",), "failed", "X", COLORS["limit"]),
    (("unsteady",), "unsteady", "D", COLORS["load"]),
    (("generator", "unclear", "sparse", "disturbed"), "no answer", "s", COLORS["faint"]),
)
_WORDS = {
    "found": "pass",
    "ceiling": "pass",
    "none": "fail",
    "generator": "invalid",
    "unclear": "invalid",
    "unfinished": "unfinished",
}


def load_number(value: float) -> str:
    """A load without its unit: ``12,800``, ``0.5``."""
    return count_text(value) if value >= 100 or value == int(value) else significant(value)


def load_of(search: SearchFrames, value: float) -> str:
    """A load with its unit: ``12,800 clients``."""
    return f"{load_number(value)} {search.quantity}"


def verdict(search: SearchFrames) -> Html:
    """The answer in a line, and what was asked."""
    answer = search.answer
    word = "unfinished" if answer is None else _WORDS[answer.kind]
    text = "The search was not written to its end; its probes are shown." if answer is None else answer.text
    listed = ""
    if answer is not None:
        manifest = search.run.manifest
        slo = manifest.config["slo"].value if manifest is not None and "slo" in manifest.config else []
        asked = slo if isinstance(slo, list) else [str(slo)]
        how = (
            f"bracket narrower than {percent_text(answer.resolution)}, confirmed {answer.confirm} of "
            f"{answer.confirm_of} times, {answer.probes} probes"
        )
        cautions = [] if answer.caution is None else [answer.caution]
        listed = "".join(f"<li>{html.escape(line)}</li>" for line in [*asked, how, *cautions])
    return Html(
        f'<div class="verdict {word}"><span class="badge">{word}</span><span>{html.escape(text)}</span>'
        f"{f'<ul>{listed}</ul>' if listed else ''}</div>"
    )


def headline(search: SearchFrames) -> Html:
    """Every probe as a point over its load, the bracket of the answer, the objective, the knee."""
    rows = search.probes
    name, column, bound_ms = search.latency
    if rows.empty:
        return note("No probe was finished.")
    with canvas(3.8) as (figure, (axes,)):
        _points(axes, search, column, 1e6)
        if rows[column].notna().any():
            curve = rows.groupby("value")[column].median().dropna()
            axes.plot(curve.index, curve * 1e6, color=COLORS["main"], lw=1.0, alpha=0.35, zorder=1)
            latency_axis(axes)
            if not np.isnan(bound_ms):
                limit_line(axes, bound_ms * 1e6, f"{name} < {duration_text(bound_ms * 1e6)}")
        else:
            empty(axes, f"no probe had enough deliveries for a {name}")
        _load_axis(axes, search)
        _bracket(axes, search)
        bend = knee(rows["value"], rows[column])
        if bend is not None:
            axes.axvline(bend, color=COLORS["faint"], lw=0.8, ls=":")
            name_at_top(axes, bend, f"knee {load_number(bend)}", beside=True, row=1)  # below "holds …", often beside it
        panel_title(axes, f"{name} of the deliveries")
        legend(axes)
        return picture(figure, _title(search))


def course(search: SearchFrames) -> Html:
    """How the search went: one load after another, until two that are close enough stand on either side."""
    rows = search.probes
    if rows.empty:
        return note("No probe was finished.")
    with canvas(2.6) as (figure, (axes,)):
        axes.plot(rows["probe"], rows["value"], color=COLORS["rule"], lw=1.2, zorder=1)
        for outcomes, label, mark, color in _MARKS:
            some = rows[rows["outcome"].isin(outcomes)]
            if len(some):
                axes.plot(some["probe"], some["value"], mark, ms=6, color=color, label=label, lw=0)
        if rows["value"].max() > 20 * rows["value"].min():
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(lambda value, _: load_number(value))
        else:
            count_axis(axes)
        axes.set_xlim(0.5, max(len(rows), 2) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("probe")
        panel_title(axes, search.quantity)
        legend(axes)
        took = float(rows["t_s"].iloc[-1])
        return picture(figure, f"{len(rows)} probes in {took:,.0f} s closed in on the answer")


def resources(search: SearchFrames) -> Html:
    """Throughput, the server's core and memory, and the load client's core, over the load."""
    rows = search.probes
    if rows.empty:
        return note("No probe was finished.")
    shown = (
        ("delivered_per_s", "deliveries/s", 1.0),
        ("server_cpu_cores", "server's CPU (% of a core)", 100.0),
        ("server_rss_bytes", "server's memory (MB)", 1e-6),
        ("generator_cpu_cores", "load client's CPU (% of a core)", 100.0),
    )
    with canvas(4.4, 2, 2) as (figure, cells):
        for place, (axes, (column, title, factor)) in enumerate(zip(cells, shown, strict=True)):
            _points(axes, search, column, factor)
            count_axis(axes)
            if rows[column].isna().all():
                empty(axes, "not shown by the target")
            _load_axis(axes, search)
            axes.set_xlabel(search.quantity if place >= 2 else "")
            panel_title(axes, title)
        return picture(figure, _resources_title(search))


def probes(search: SearchFrames) -> Html:
    """Every probe with what it showed."""
    if search.probes.empty:
        return note("No probe was finished.")
    lines = [
        (
            str(row.probe),
            row.step or "",
            load_number(row.value),
            row.outcome or row.verdict,
            _ms(row.delivery_p50_ms),
            _ms(row.delivery_p99_ms),
            MISSING if row.delivered_per_s is None else rate_text(row.delivered_per_s),
            MISSING if row.missing is None else count_text(row.missing),
            "" if row.outcome == "held" else row.reason or "",
        )
        for row in search.run.rows(SearchRow)
    ]
    head = ("probe", "step", search.quantity, "outcome", "p50", "p99", "deliveries", "missing", "why")
    return table(head, lines, numeric={0, 2, 4, 5, 6, 7})


def limits(search: SearchFrames) -> Html:
    """The causes that can be seen, with their evidence."""
    if search.limits:
        return findings.limits(search.limits)
    if search.beyond:
        return findings.told(search.beyond[0])
    failed = search.answer is not None and search.answer.failed is not None
    return note("The runs of the load that failed were not kept." if failed else "Nothing failed.")


# ---- parts ----------------------------------------------------------------------------------


def _title(search: SearchFrames) -> str:
    answer = search.answer
    name, column, _ = search.latency
    if answer is None:
        return f"An unfinished search of {len(search.probes)} probes"
    parts = []
    if answer.held is None:
        parts.append(answer.text[:1].upper() + answer.text[1:])
    else:
        values = search.at(answer.held, ("held",))[column].dropna()
        within = f" at a {name} of {duration_text(float(values.iloc[0]) * 1e6)}" if len(values) else ""
        least = "" if answer.kind == "found" else "at least "
        parts.append(f"The server holds {least}{load_of(search, answer.held)}{within}")
    if answer.held is not None and answer.failed is not None:
        over = search.at(answer.failed, ("failed", "unsteady"))[column].dropna()
        told = f" ({name} {duration_text(float(over.iloc[0]) * 1e6)})" if len(over) else ""
        parts.append(
            f"{load_of(search, answer.failed)} {'did not' if answer.kind == 'found' else 'could not be judged'}{told}"
        )
    if answer.kind == "generator":
        parts.append("limited by the load generator")
    elif search.limits:
        finding = search.limits[0]
        parts.append(f"limited by {finding.cause} ({finding.evidence[0]})")
    elif answer.failed is not None:
        parts.append(_unseen(search))
    return "; ".join(parts)


def _unseen(search: SearchFrames) -> str:
    """Why no limit is named: nothing can be seen of the target, or what can be seen was not at its limit."""
    used = diagnosis.usages(search.beyond[0]) if search.beyond else []
    nearest = max((usage for usage in used if usage.side == "server"), key=lambda usage: usage.ratio, default=None)
    if nearest is None:
        return "what limited it cannot be seen from here"
    return f"no limit that can be seen was reached (nearest: {nearest.resource}, {nearest.text})"


def _resources_title(search: SearchFrames) -> str:
    held = search.at(None if search.answer is None else search.answer.held, ("held",))
    if held.empty:
        return "What each load took"
    delivered, server, load = (
        float(held[column].iloc[0]) for column in ("delivered_per_s", "server_cpu_cores", "generator_cpu_cores")
    )
    parts = [
        text
        for value, text in (
            (delivered, rate_text(delivered, "deliveries")),
            (server, f"{percent_text(server)} of the server's core"),
            (load, f"{percent_text(load)} of the load client's"),
        )
        if not np.isnan(value)
    ]
    return f"The load that holds is {', '.join(parts)}"


def _ms(value_ms: float | None) -> str:
    return MISSING if value_ms is None else duration_text(value_ms * 1e6)


def _points(axes: Axes, search: SearchFrames, column: str, factor: float) -> None:
    rows = search.probes.dropna(subset=[column])
    for outcomes, label, mark, color in _MARKS:
        some = rows[rows["outcome"].isin(outcomes)]
        if len(some):
            axes.plot(some["value"], some[column] * factor, mark, ms=6, color=color, label=label, lw=0, mew=0, zorder=3)


def _load_axis(axes: Axes, search: SearchFrames) -> None:
    values = search.probes["value"]
    if values.max() > 20 * values.min():
        axes.set_xscale("log")
        axes.set_xlim(values.min() / 1.3, values.max() * 1.3)
    else:
        axes.set_xlim(0, values.max() * 1.08)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    axes.set_xlabel(search.quantity)


def _bracket(axes: Axes, search: SearchFrames) -> None:
    answer = search.answer
    if answer is None:
        return
    if answer.held is not None and answer.failed is not None:
        axes.axvspan(answer.held, answer.failed, color=COLORS["limit"], alpha=0.13, lw=0, zorder=0)
    if answer.held is not None:
        axes.axvline(answer.held, color=COLORS["good"], lw=1.0)
        name_at_top(axes, answer.held, f"holds {load_number(answer.held)}", COLORS["good"], beside=True)
