"""One picture of a comparison: how much each server delivers from one core, and its noise."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.bars import OURS
from benchmarks.results import Comparison
from benchmarks.tables import number

# Okabe and Ito's palette, made for every kind of colour vision; shape and position say the same.
OURS_COLOUR, OTHERS_COLOUR = "#0072B2", "#7F7F7F"
LEAST = 0.05
"""Thousand a second; below that a server has stopped, and a logarithmic axis has no place for it."""
PANELS = ("fan-out", "many-publishers")
TITLES = {"fan-out": "4 publishers × 4 in flight", "many-publishers": "200 publishers × 1 in flight"}


def write_plot(record: Comparison, path: Path) -> None:
    """Draw it as SVG; equal records make equal files."""
    # Fixed salt and no date: a new picture in the history means new figures.
    with mpl.rc_context({"svg.hashsalt": "scalechat", "font.size": 10, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(9.0, 4.6), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True, sharex=True)
        names = _order(record)
        for axes, scenario in zip(panels, PANELS, strict=True):
            _panel(axes, record, scenario, names)
        figure.suptitle(finding(record), x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.supxlabel(
            "thousand deliveries per second from one core (logarithmic); 1 room × 1,000 members, 128-byte messages\n"
            "median and range of the rounds; ×: clients cut or messages not delivered; ◆: Scale-Chat",
            fontsize=8,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def finding(record: Comparison) -> str:
    """What the picture shows, in one sentence."""
    parts = []
    for peer, called in (("gorilla", "the Go hub"), ("websockets", "websockets on asyncio")):
        ours, theirs = record.of(PANELS[0], OURS), record.of(PANELS[0], peer)
        if ours and theirs and theirs.value:
            parts.append(f"{ours.value / theirs.value:.1f} × {called}")
    return f"One core of Scale-Chat delivers {', '.join(parts)}" if parts else "Deliveries from one core"


def _order(record: Comparison) -> list[str]:
    """Best at the top, by the first panel."""
    values = {s.name: record.of(PANELS[0], s.name) for s in record.servers}
    return [
        name for name, summary in sorted(values.items(), key=lambda item: item[1].value if item[1] else 0) if summary
    ]


def _panel(axes: Axes, record: Comparison, scenario: str, names: list[str]) -> None:
    for row, name in enumerate(names):
        summary = record.of(scenario, name)
        if summary is None:
            continue
        if summary.value < LEAST:
            axes.annotate("none", (0.01, row), xycoords=("axes fraction", "data"), fontsize=8, color=OTHERS_COLOUR)
            continue
        ours = name.startswith(OURS)
        colour = OURS_COLOUR if ours else OTHERS_COLOUR
        axes.plot([summary.low, summary.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        lost = summary.lost or summary.undelivered
        marker = "x" if lost else "D" if ours else "o"
        axes.plot(summary.value, row, marker, color=colour, markersize=6)
        text = ("≥ " if summary.meter_limited else "") + number(summary.value)
        axes.annotate(
            text, (summary.value, row), (0, 6), textcoords="offset points", ha="center", fontsize=8, color=colour
        )
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.set_ylim(-0.6, len(names) - 0.2)
    axes.set_yticks(range(len(names)), [record.title(name).replace("*", "").replace("`", "") for name in names])
    axes.set_title(TITLES[scenario], loc="left", fontsize=10)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
