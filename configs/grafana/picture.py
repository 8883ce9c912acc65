"""``python -m configs.grafana.picture --prometheus URL --out FOLDER``: each page as an image, without a Grafana.

Same queries, same grid, same units, limits and words, drawn with Matplotlib: for the documentation, and to see a change
of a page before anybody loads it.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from PIL import Image

from configs.grafana.asking import Curve, NoAnswer, Prometheus
from configs.grafana.build import BY_NAME
from configs.grafana.layout import COLUMNS, Placed, laid_out
from configs.grafana.model import Bars, Heatmap, Limit, Lines, Page, Panel, Row, Series, Stat
from scalechat.analysis.style import COLORS
from scalechat.analysis.units import bytes_text, duration_text, significant

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

CELL_IN: Final = 0.58, 0.36
"""Width and height of a cell of the grid, in inches."""
TOP_IN: Final = 0.55
POINTS: Final = 180
CYCLE: Final = [COLORS[name] for name in ("main", "load", "good", "extra", "light", "plan", "limit")]
STYLE: Final[dict[RcKeyType, object]] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLORS["faint"],
    "axes.grid": True,
    "grid.color": COLORS["rule"],
    "legend.frameon": False,
}
_BASES: Final = {"mps": "msg/s", "cps": "/s", "ops": "/s", "short": ""}


def in_unit(value: float, unit: str) -> str:
    """A figure as the panel shows it."""
    match unit:
        case "s":
            return duration_text(value * 1e9) if value else "0 s"
        case "bytes" | "Bps":
            return (bytes_text(value) if value else "0 bytes") + ("/s" if unit == "Bps" else "")
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "bool_yes_no":
            return "yes" if value else "no"
        case _:
            factor, letter = (1000, " k") if value >= 10_000 else (1, "")
            value /= factor
            number = (f"{value:,.0f}" if value == int(value) else significant(value)) + letter
            return f"{number} {_BASES[unit]}".strip()


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A curve's name: the labels it has, put into the legend."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip()


@dataclass(frozen=True, slots=True)
class Shown:
    """The moment, the step between two points, and the Prometheus to ask."""

    prometheus: Prometheus
    end_unix_s: float

    def curves(self, series: Series) -> list[Curve]:
        step_s = self.prometheus.shown_s / POINTS
        return [curve for curve in self.prometheus.curves(series.expr, self.end_unix_s, step_s) if curve.points]

    def drawn(self, page: Page) -> Figure:
        """The whole page."""
        everything = list(laid_out(page.rows))
        rows = max(placed.y + placed.height for placed in everything)
        figure = Figure(figsize=(COLUMNS * CELL_IN[0], rows * CELL_IN[1] + TOP_IN))
        end = datetime.fromtimestamp(self.end_unix_s, UTC)
        figure.text(0.008, 1 - 0.2 / figure.get_figheight(), page.title, fontsize=13, weight="bold", va="top")
        figure.text(
            0.992,
            1 - 0.22 / figure.get_figheight(),
            f"{self.prometheus.shown_s / 60:.2g} min to {end:%Y-%m-%d %H:%M} UTC",
            ha="right",
            va="top",
            color=COLORS["faint"],
        )
        for placed in everything:
            if isinstance(placed.shown, Row):
                y = 1 - (TOP_IN + (placed.y + 0.75) * CELL_IN[1]) / figure.get_figheight()
                figure.text(0.008, y, placed.shown.title, fontsize=10, weight="bold", color=COLORS["soft"])
            else:
                self._draw(figure, placed, placed.shown)
        return figure

    def _draw(self, figure: Figure, placed: Placed, panel: Panel) -> None:
        wide, high = figure.get_figwidth(), figure.get_figheight()
        left, top = placed.x * CELL_IN[0], TOP_IN + placed.y * CELL_IN[1]
        width, height = placed.width * CELL_IN[0], placed.height * CELL_IN[1]
        number = isinstance(panel, Stat)
        inner = (0.08, 0.1, 0.08, 0.12) if number else (0.85, 0.62, 0.28, 0.32)  # left, bottom, right, top
        axes = figure.add_axes(
            (
                (left + inner[0]) / wide,
                1 - (top + height - inner[1]) / high,
                (width - inner[0] - inner[2]) / wide,
                (height - inner[1] - inner[3]) / high,
            )
        )
        if isinstance(panel, Stat):
            self._draw_stat(axes, panel)
            return
        figure.text((left + 0.1) / wide, 1 - (top + 0.2) / high, panel.title, fontsize=9, weight="bold")
        axes.set_xlim(-self.prometheus.shown_s / 60, 0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda minutes, _: f"{minutes:g} min" if minutes else "now"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_unit(value, panel.unit)))
        if isinstance(panel, Heatmap):
            self._draw_heatmap(axes, panel)
        elif isinstance(panel, Lines | Bars):
            self._draw_over_time(axes, panel)

    def _draw_stat(self, axes: Axes, stat: Stat) -> None:
        axes.set_facecolor(COLORS["shade"])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        values = self.prometheus.now(stat.expr)
        text, color = (in_unit(values[0], stat.unit), COLORS["ink"]) if values else (stat.without or "No data", "")
        if values and stat.warn is not None:
            bad = stat.bad is not None and values[0] >= stat.bad
            color = COLORS["limit"] if bad else COLORS["load"] if values[0] >= stat.warn else COLORS["good"]
        axes.text(
            0.5, 0.42, text, transform=axes.transAxes, ha="center", va="center", fontsize=15, color=color or "grey"
        )
        axes.text(0.04, 0.94, stat.title, transform=axes.transAxes, va="top", fontsize=8.5)

    def _draw_over_time(self, axes: Axes, panel: Lines | Bars) -> None:
        stacked = isinstance(panel, Bars) or panel.stacked
        found = [(series, curve) for series in panel.series for curve in self.curves(series)]
        free = iter(CYCLE * (1 + len(found) // len(CYCLE)))
        moments = sorted({moment for _, curve in found for moment, _ in curve.points})
        minutes = [(moment - self.end_unix_s) / 60 for moment in moments]
        base = np.zeros(len(moments))
        quiet = 0
        for series, curve in found:
            known = dict(curve.points)
            values = np.array([known.get(moment, math.nan) for moment in moments])  # A gap is a gap.
            name = named(series.legend, curve.labels)
            if isinstance(series, Limit):
                axes.plot(minutes, values, color=COLORS["limit"], ls="--", lw=1, label=name)
            elif not stacked:
                axes.plot(minutes, values, color=next(free), lw=1.2, label=name)
            elif np.nansum(values) > 0:
                upper = base + np.nan_to_num(values)
                step: Literal["mid"] | None = "mid" if isinstance(panel, Bars) else None
                axes.fill_between(minutes, base, upper, color=next(free), step=step, alpha=0.6, lw=0, label=name)
                base = upper
            else:
                quiet += 1
        if not found:
            text = textwrap.fill(panel.without or "No data", 34)
            axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=COLORS["faint"])
        elif quiet == len(found):
            axes.text(
                0.5, 0.5, "0 throughout", transform=axes.transAxes, ha="center", va="center", color=COLORS["faint"]
            )
        self._finish(axes, panel, quiet)

    def _finish(self, axes: Axes, panel: Lines | Bars, quiet: int) -> None:
        top = max([axes.dataLim.y1 if axes.has_data() else 0.0, 0.0])
        if isinstance(panel, Lines):
            top = max(top, panel.most or 0.0)
            if panel.bad is not None and panel.bad <= max(top, 1e-12) * 1.5:
                axes.axhline(panel.bad, color=COLORS["limit"], ls=(0, (4, 3)), lw=0.9)
        if isinstance(panel, Lines) and panel.log and top > 0:
            numbers = axes.yaxis.get_major_formatter()
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(numbers)
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.set_ylim(0, 1.08 * top if top > 0 else 1)
            whole = panel.unit == "bool_yes_no" or (panel.unit == "short" and not 0 < top < 1)
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole))
        if quiet and axes.has_data():
            axes.set_title(f"{quiet} more at 0", loc="right", fontsize=6.5, color=COLORS["faint"], pad=3)
        handles, names = axes.get_legend_handles_labels()
        names = [*names[:6], *([f"+ {len(names) - 6}"] if len(names) > 6 else [])]
        if names:
            shown, place = handles[: len(names)], (0, -0.15)
            axes.legend(shown, names, loc="upper left", bbox_to_anchor=place, ncols=4, fontsize=7, alignment="left")

    def _draw_heatmap(self, axes: Axes, panel: Heatmap) -> None:
        buckets = sorted(self.curves(panel.series[0]), key=lambda curve: float(curve.labels["le"]))
        counts = np.array([[value for _, value in curve.points] for curve in buckets])
        own = np.diff(counts, axis=0, prepend=0)
        minutes = [(moment - self.end_unix_s) / 60 for moment, _ in buckets[0].points]
        axes.pcolormesh(minutes, np.arange(len(buckets)), np.where(own > 0, own, np.nan), cmap="viridis")
        axes.grid(visible=False)
        edges = [curve.labels["le"] for curve in buckets]
        axes.set_yticks(range(0, len(edges), 3), [in_unit(float(edge), panel.unit) for edge in edges[::3]])


def save(figure: Figure, path: Path) -> None:
    """As a PNG of 128 colours: a third of the bytes, and the eye sees no difference."""
    pixels = io.BytesIO()
    figure.savefig(pixels, dpi=80, format="png")
    Image.open(pixels).convert("RGB").quantize(128).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw every page."""
    parser = argparse.ArgumentParser(
        prog="python -m configs.grafana.picture", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--prometheus", metavar="URL", default="http://localhost:9090", help="default %(default)s")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("docs/images"), help="default %(default)s")
    parser.add_argument("--minutes", type=float, default=15.0, help="how far back; default %(default)g")
    parser.add_argument(
        "--scrape", metavar="SECONDS", type=float, default=5.0, help="scrape interval; default %(default)g"
    )
    parser.add_argument("--page", action="append", choices=sorted(BY_NAME), help="only this one; may be given again")
    asked = parser.parse_args(arguments)
    prometheus = Prometheus(asked.prometheus, {"job": "scalechat"}, rate_s=4 * asked.scrape, shown_s=60 * asked.minutes)
    shown = Shown(prometheus, time.time())
    try:
        with mpl.rc_context(STYLE):
            for name in asked.page or BY_NAME:
                path = asked.out / f"grafana-{name}.png"
                save(shown.drawn(BY_NAME[name]), path)
                print(path)
    except NoAnswer as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
