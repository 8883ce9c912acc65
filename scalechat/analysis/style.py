"""The visual language of all pictures: one place for colour, type, grid and time axes.

Colours are Okabe and Ito's, which the common kinds of colour blindness tell apart, and each has
one meaning everywhere.  Text stays text in the SVG, so that it prints and can be searched.
"""

from __future__ import annotations

import html
import io
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from scalechat.load.results import Phase

from .units import duration_text

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

__all__ = [
    "COLORS",
    "OVER_LINES",
    "Html",
    "canvas",
    "count_axis",
    "drawing",
    "empty",
    "latency_axis",
    "legend",
    "limit_line",
    "name_at_top",
    "note",
    "panel_title",
    "picture",
    "time_axis",
]

COLORS = {
    "main": "#0072B2",  # blue: what the clients got, the p99
    "light": "#56B4E9",  # sky blue: the median of the same thing
    "good": "#009E73",  # green: the server
    "load": "#E69F00",  # orange: the load generator
    "limit": "#D55E00",  # vermillion: limits and what went over them
    "plan": "#555555",  # grey: what was intended
    "extra": "#CC79A7",  # purple: a second quantity of the same side
    "ink": "#1a1a1a",
    "soft": "#444444",
    "faint": "#8a8a8a",
    "rule": "#e4e4e4",
    "shade": "#f1f1ee",
}

_WIDTH = 9.6  # inches; the page scales the drawing to its own width

_RC: dict[RcKeyType, object] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": COLORS["faint"],
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLORS["rule"],
    "grid.linewidth": 0.7,
    "xtick.color": COLORS["faint"],
    "ytick.color": COLORS["faint"],
    "xtick.labelcolor": COLORS["soft"],
    "ytick.labelcolor": COLORS["soft"],
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.3,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.0,
    "legend.borderpad": 0.0,
    "text.color": COLORS["ink"],
    "axes.labelcolor": COLORS["soft"],
}

_PHASE_NAMES = {"warmup": "warm-up"}


@dataclass(frozen=True, slots=True)
class Html:
    """A piece of the report; Jupyter shows it as it is."""

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Html, {len(self.html)} characters>"


def note(text: str) -> Html:
    """One line in place of a picture or table that this run has no data for."""
    return Html(f'<p class="note">{html.escape(text)}</p>')


@contextmanager
def canvas(
    height: float, rows: int = 1, columns: int = 1, *, widths: Sequence[float] | None = None
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure as wide as the page with rows by columns axes, in reading order.

    Margins are fixed, not fitted, so that the axes of all pictures stand on the same two lines.
    """
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(_WIDTH, height))
        figure.subplots_adjust(
            left=0.58 / _WIDTH,
            right=1 - 0.2 / _WIDTH,
            top=1 - 0.3 / height,
            bottom=0.48 / height,
            wspace=0.2 if columns < 3 else 0.24,
            hspace=0.42,
        )
        axes = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
        yield figure, list(itertools.chain.from_iterable(axes.tolist()))


def picture(figure: Figure, title: str, caption: str = "") -> Html:
    """The figure as inline SVG under a title that states the finding."""
    svg = _svg(figure, title)
    # The page scales it: only the viewBox is kept of the size.
    head, rest = svg.split(">", 1)
    size = head[head.index("viewBox") :].split('"')[1]
    label = html.escape(title, quote=True)
    head = f'<svg viewBox="{size}" role="img" aria-label="{label}" xmlns:xlink="http://www.w3.org/1999/xlink"'
    below = f"<p>{html.escape(caption)}</p>" if caption else ""
    return Html(f"<figure><figcaption><strong>{html.escape(title)}</strong>{below}</figcaption>{head}>{rest}</figure>")


def drawing(figure: Figure, title: str) -> str:
    """The figure as an SVG file that stands alone, its title inside; half an inch of its height is the title's."""
    height = figure.get_figheight()
    figure.subplots_adjust(top=1 - 0.8 / height)
    lines = textwrap.fill(title, 108)
    figure.text(0.012, 1 - 0.1 / height, lines, va="top", fontsize=10.5, fontweight="bold", linespacing=1.25)
    # Where that face is not installed, one as wide.
    return _svg(figure, title).replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def _svg(figure: Figure, salt: str) -> str:
    out = io.StringIO()
    with mpl.rc_context({**_RC, "svg.hashsalt": salt}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def panel_title(axes: Axes, text: str) -> None:
    """What the vertical axis shows, with its unit, written horizontally above it."""
    axes.set_title(text, loc="left", fontsize=8.5, color=COLORS["soft"], pad=7)


def legend(axes: Axes) -> None:
    """A legend in one line above the axes, at their right end."""
    shown = len(axes.get_legend_handles_labels()[0])
    if shown:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=shown, borderaxespad=0.5)


def empty(axes: Axes, text: str) -> None:
    """Say inside the axes why nothing is drawn; a scale of nothing would look like one of zeros."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=COLORS["faint"])


def limit_line(axes: Axes, value: float, text: str) -> None:
    """A bound, named at its right end; the axes, whose scale must be set, reach beyond it."""
    axes.axhline(value, color=COLORS["limit"], lw=1.0, ls=(0, (4, 3)))
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        low = min(low, value / 2)
        axes.set_ylim(low, max(high, value * (value / low) ** 0.2))
        _log_ticks(axes)
    else:
        axes.set_ylim(low, max(high, 1.25 * value))
    axes.annotate(
        text,
        (1.0, value),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=7.5,
        color=COLORS["limit"],
    )


OVER_LINES: Final = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
"""Behind words that a line may cross."""


def name_at_top(
    axes: Axes, place: float, text: str, color: str = COLORS["faint"], *, beside: bool = False, row: int = 0
) -> None:
    """Words at the upper edge: over `place`, or on the left of a line that stands there; `row` 0 is the topmost."""
    axes.annotate(
        text,
        (place, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if beside else 0, -3 - 11 * row),
        textcoords="offset points",
        ha="right" if beside else "center",
        va="top",
        fontsize=7.5,
        color=color,
        bbox=OVER_LINES if beside else None,
    )


def time_axis(axes: Axes, phases: Sequence[Phase], end_s: float, *, label: bool = True, names: bool = True) -> None:
    """Seconds since the start; everything but the measured phases shaded and, if asked, named.

    Call it last: it makes room for the names above the data.
    """
    axes.set_xlim(0, max(end_s, 1.0))
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.set_xlabel("time since the start of the run (s)" if names else "time (s)")
    if not label:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)
    for phase in phases:
        wide = phase.end_s - phase.start_s
        if phase.measured or wide <= 0:
            continue
        axes.axvspan(phase.start_s, phase.end_s, color=COLORS["shade"], lw=0, zorder=0)
        if names and wide >= 0.09 * end_s:
            name_at_top(axes, phase.start_s + wide / 2, _PHASE_NAMES.get(phase.name, phase.name))


def latency_axis(axes: Axes) -> None:
    """A logarithmic vertical axis in ns with room above the data, labelled `100 µs, 1 ms, 10 ms`."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.14)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ns, _: _short(duration_text(ns))))
    _log_ticks(axes)


def _log_ticks(axes: Axes) -> None:
    """A tick at each power of ten, and at 2 and 5 between them while there are few."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 30 else (1.0, 2.0, 5.0), numticks=12))


def count_axis(axes: Axes) -> None:
    """A vertical axis from 0 with room above the data, and `k` and `M` in its numbers."""
    high = max(axes.dataLim.y1, 0.0) if axes.lines else 0.0
    axes.set_ylim(0, 1.2 * high if high > 0 else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value, axes.get_ylim()[1])))


def _thousands(value: float, top: float) -> str:
    """One unit for all numbers of an axis that ends at `top`."""
    factor, letter = (1e6, " M") if top >= 1e7 else (1e3, " k") if top >= 1e4 else (1.0, "")
    return f"{value / factor:,g}{letter}" if value else "0"


def _short(text: str) -> str:
    """`10.0 ms` reads `10 ms` on an axis."""
    number, _, unit = text.partition("\N{NO-BREAK SPACE}")
    return f"{float(number.replace(',', '')):g} {unit}"
