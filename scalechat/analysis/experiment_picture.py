"""The picture of an experiment: the figure that reveals the problem as two bars, and both runs over time beside it.

What stands beside is said by words in the experiment's ``draws``:

- ``latency.METRIC``: the p99 of each second of a latency (`delivery`, `delivery_slow`, `connect`, …), the slowest where
  a second has too few for one;
- ``distribution.METRIC``: the percentile curve of all phases;
- ``rate.COLUMN``, ``gauge.COLUMN``: a column of ``timeseries.csv``, counted per second or as it is;
- ``server.METRIC``: a metric of the server; a counter per second, anything else as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from scalechat.config import UsageError
from scalechat.experiment.outcome import Outcome
from scalechat.experiment.spec import SIDES, SideName

from . import latency, saturation
from .experiment_figures import finding, label, value
from .frames import RunFrames, load_run
from .style import (
    COLORS,
    Html,
    canvas,
    count_axis,
    drawing,
    empty,
    latency_axis,
    panel_title,
    picture,
    time_axis,
)
from .units import bytes_text

__all__ = ["experiment_picture", "experiment_svg", "panel_of"]

Floats = npt.NDArray[np.float64]
Line = tuple[Floats, Floats]
Runs = dict[SideName, RunFrames]
_COLORS: Final = {"before": COLORS["limit"], "after": COLORS["main"]}
_DASHES: Final = {"before": "--", "after": "-"}  # not by colour alone
_HEIGHT: Final = 2.9


def experiment_picture(directory: Path, outcome: Outcome) -> Html:
    """For a report or a notebook."""
    with canvas(_HEIGHT, 1, _columns(outcome), widths=_widths(outcome)) as (figure, cells):
        _draw(cells, directory, outcome)
        return picture(figure, finding(outcome))


def experiment_svg(directory: Path, outcome: Outcome) -> str:
    """A file's content, with the title in it."""
    with canvas(_HEIGHT + 0.5, 1, _columns(outcome), widths=_widths(outcome)) as (figure, cells):
        _draw(cells, directory, outcome)
        return drawing(figure, finding(outcome))


def panel_of(word: str) -> tuple[str, Callable[[Axes, Runs], None]]:
    """A panel's title and how it is drawn. Raises `UsageError` for a word that means none."""
    kind, _, name = word.partition(".")
    match kind:
        case "latency":
            return f"{_latency_name(name)}, p99 of each second", functools.partial(_over_time, _latency, name, "ns")
        case "distribution":
            return f"{_latency_name(name)} by percentile (%)", functools.partial(_distribution, name)
        case "rate":
            return f"{label(name)} per second", functools.partial(_over_time, _rate, name, _unit(name))
        case "gauge":
            return label(name), functools.partial(_over_time, _gauge, name, "")
        case "server":
            return _server_title(name), functools.partial(_over_time, _server, name, _unit(name))
    raise UsageError(f"no panel of an experiment's picture is called {word!r}")


def _columns(outcome: Outcome) -> int:
    return 1 + len(outcome.experiment.draws)


def _widths(outcome: Outcome) -> list[float]:
    return [0.8, *(1.0 for _ in outcome.experiment.draws)]


def _draw(cells: list[Axes], directory: Path, outcome: Outcome) -> None:
    runs = {side: load_run(directory / outcome.runs[side]) for side in SIDES}
    _bars(cells[0], outcome)
    for axes, word in zip(cells[1:], outcome.experiment.draws, strict=True):
        title, draw = panel_of(word)
        draw(axes, runs)
        panel_title(axes, title)
        if not axes.lines:
            empty(axes, "not measured")


def _bars(axes: Axes, outcome: Outcome) -> None:
    """The figure of both runs, with what is different about them above each bar: the key to the lines beside."""
    name = outcome.experiment.reveals
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylim(-0.25, 2)
    numbers = {side: outcome.figure(side, name) for side in SIDES}
    axes.set_xlim(0, max([number or 0.0 for number in numbers.values()]) or 1.0)
    for place, (side, given) in zip((1, 0), outcome.experiment.sides, strict=True):
        number = numbers[side]
        axes.barh(place, number or 0.0, height=0.34, color=_COLORS[side], align="edge")
        axes.text(0, place + 0.42, f"{side}: {given.about}", va="bottom", wrap=False)
        inside = number is not None and number > 0.6 * axes.get_xlim()[1]
        axes.annotate(
            value(name, number),
            (number or 0.0, place + 0.17),
            xytext=(-4 if inside else 4, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontweight="bold",
            color="white" if inside else COLORS["ink"],
        )
    panel_title(axes, label(name))


def _over_time(line: Callable[[RunFrames, str], Line], name: str, unit: str, axes: Axes, runs: Runs) -> None:
    for side in SIDES:
        at, values = line(runs[side], name)
        if len(at):
            axes.plot(at, values, label=side, color=_COLORS[side], ls=_DASHES[side])
    if unit == "ns":
        latency_axis(axes)
    else:
        count_axis(axes)
        if unit == "bytes":
            axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _: bytes_text(size) if size else "0"))
    time_axis(axes, runs["after"].phases, max(run.end_s for run in runs.values()), names=False)


def _distribution(name: str, axes: Axes, runs: Runs) -> None:
    for side in SIDES:
        points = latency.curve(latency.merge(runs[side].histograms, name))
        shown = points[points["latency_ns"] > 0]
        if len(shown):
            axes.plot(shown["nines"], shown["latency_ns"], label=side, color=_COLORS[side], ls=_DASHES[side])
    if axes.lines:
        latency_axis(axes)
    axes.set_xlim(0, 4)
    axes.set_xticks([0, -np.log10(0.5), 1, 2, 3, 4], ["0", "50", "90", "99", "99.9", "99.99"])


def _latency(frames: RunFrames, name: str) -> Line:
    windows = latency.over_time(frames.histograms, name)
    return windows["t_s"].to_numpy(), windows["0.99"].fillna(windows["max"]).to_numpy()


def _rate(frames: RunFrames, name: str) -> Line:
    seconds = saturation.grid(frames.end_s)
    return (seconds[:-1] + seconds[1:]) / 2, saturation.per_second(frames.timeseries, name, seconds)


def _gauge(frames: RunFrames, name: str) -> Line:
    seconds = saturation.grid(frames.end_s)
    return seconds[1:], saturation.gauge(frames.timeseries, name, seconds)[1:]  # the first row is a second old


def _server(frames: RunFrames, name: str) -> Line:
    rows = frames.server[frames.server["metric"] == name]
    summed = rows.groupby("t_s")["value"].sum().sort_index()
    at, values = summed.index.to_numpy(float), summed.to_numpy(float)
    if _is_counter(name) and len(at) > 1:
        return at[1:], np.diff(values) / np.diff(at)
    return at, values


def _is_counter(name: str) -> bool:
    return name.endswith(("_total", "_sum", "_count"))


def _unit(name: str) -> str:
    return "bytes" if "_bytes" in name else ""


def _server_title(name: str) -> str:
    told = label(f"server.{name.removeprefix('scalechat_')}")
    if name == "process_cpu_seconds_total":
        return "server's CPU (cores)"
    if _is_counter(name):
        return f"{told} per second"
    return f"{told} (s)" if name.endswith("_seconds") else told


def _latency_name(name: str) -> str:
    return f"{name.replace('_', ' ')} latency"
