"""The pictures and tables of a comparison; the first one shows every effect with its interval."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from . import facts, latency
from .comparing_table import change_text, value_text
from .comparison import Comparison, Effect
from .conditions import Differences
from .frames import RunFrames
from .style import COLORS, Html, canvas, empty, latency_axis, legend, note, panel_title, picture
from .tables import table
from .units import count_text, counted, duration_text

__all__ = ["conditions", "curves", "effects", "headline", "over_time", "verdict"]

_COLORS = {"better": COLORS["good"], "worse": COLORS["limit"], "same": COLORS["plan"], "cannot tell": COLORS["faint"]}
_WORDS = {"better": "pass", "same": "pass", "worse": "fail", "cannot tell": "invalid"}


def verdict(comparison: Comparison) -> Html:
    """The answer, and what it rests on."""
    rests_on = (
        f"{comparison.base_runs} against {comparison.new_runs} runs; {comparison.confidence:.0%} confidence for all "
        f"intervals together; changes below {comparison.margin:.0%} do not count"
    )
    lines = [rests_on]
    if comparison.within_runs_only:
        lines.append("One run on a side: what differs from run to run is not in the intervals.")
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    text = html.escape(_count(comparison))
    return Html(
        f'<div class="verdict {_WORDS[comparison.answer]}"><span class="badge">{comparison.answer}</span>'
        f"<span>{text}</span><ul>{listed}</ul></div>"
    )


def headline(comparison: Comparison) -> Html:
    """Each relative effect with its interval, beside no change at all and the margin."""
    shown = [effect for effect in comparison.effects if effect.relative and not math.isnan(effect.change)]
    if not shown:
        return note("No figure was measured on both sides.")
    with canvas(0.9 + 0.42 * len(shown)) as (figure, (axes,)):
        figure.subplots_adjust(left=0.2)
        margin = 100 * comparison.margin
        axes.axvspan(-margin, margin, color=COLORS["shade"], lw=0, zorder=0)
        axes.axvline(0, color=COLORS["ink"], lw=0.8)
        for place, effect in enumerate(reversed(shown)):
            color = _COLORS[effect.answer]
            if not math.isnan(effect.low):
                axes.plot([100 * effect.low, 100 * effect.high], [place, place], color=color, lw=2.2)
            hollow = math.isnan(effect.low)
            axes.plot([100 * effect.change], [place], "o", ms=6, color=color, mfc="white" if hollow else color)
        axes.set_yticks(range(len(shown)), [effect.figure for effect in reversed(shown)])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -2.2 * margin), max(high, 2.2 * margin))
        axes.set_xlabel("change from base to new (%)")
        panel_title(axes, "effect and interval; grey: does not matter; hollow: one run has no interval of it")
        return picture(figure, _finding(comparison))


def effects(comparison: Comparison) -> Html:
    """Every figure of both sides."""
    rows = [
        (
            effect.figure,
            value_text(effect.base, effect.unit),
            value_text(effect.new, effect.unit),
            change_text(effect).replace(" ", "\N{NO-BREAK SPACE}"),
            effect.answer,
            effect.why or "",
        )
        for effect in comparison.effects
    ]
    return table(("", "base", "new", "change (interval)", "answer", ""), rows, numeric={1, 2})


def conditions(found: Differences) -> Html:
    """What is not the same on both sides."""
    rows = [("differs, and was allowed", line) for line in found.against]
    rows += [("the subject", line) for line in found.besides]
    return table(("", ""), rows, breakable=True) if rows else note("Machine, Python, load and target are the same.")


def curves(base: Sequence[RunFrames], new: Sequence[RunFrames]) -> Html:
    """The percentile curves of all runs of both sides."""
    sides = (("base", base, COLORS["plan"]), ("new", new, COLORS["main"]))
    with canvas(3.2) as (figure, (axes,)):
        for label, runs, color in sides:
            for number, run in enumerate(runs):
                points = latency.curve(facts.delivery_buckets(run))
                shown = points[points["latency_ns"] > 0]
                if len(shown):
                    name = label if number == 0 else None
                    axes.plot(shown["nines"], shown["latency_ns"], color=color, lw=1.5, alpha=0.8, label=name)
        if not axes.lines:
            empty(axes, "no delivery was measured")
        else:
            latency_axis(axes)
        axes.set_xlim(0, 4)
        axes.set_xticks([0, -np.log10(0.5), 1, 2, 3, 4], ["0", "50", "90", "99", "99.9", "99.99"])
        axes.grid(True, axis="x")
        axes.set_xlabel("percentile of deliveries (%)")
        panel_title(axes, "delivery latency, a line for each run")
        legend(axes)
        old, now = (_median_p99(runs) for runs in (base, new))
        title = f"99 % came within {duration_text(old)} on the old system, {duration_text(now)} on the new"
        return picture(figure, title)


def over_time(base: Sequence[RunFrames], new: Sequence[RunFrames]) -> Html:
    """The p99 of each second of all runs, from the beginning of the measured phase."""
    with canvas(2.6) as (figure, (axes,)):
        for label, runs, color in (("base", base, COLORS["plan"]), ("new", new, COLORS["main"])):
            for number, run in enumerate(runs):
                windows = run.in_measured(facts.latency_windows(run)).dropna(subset=["0.99"])
                if len(windows) and run.measured:
                    at = windows["t_s"] - run.measured[0].start_s
                    name = label if number == 0 else None
                    axes.plot(at, windows["0.99"], ".-", ms=2.5, lw=1.1, color=color, alpha=0.8, label=name)
        if not axes.lines:
            return note("No second had enough deliveries for a p99.")
        latency_axis(axes)
        axes.set_xlabel("time in the measured phase (s)")
        panel_title(axes, "p99 of the deliveries of each second")
        legend(axes)
        return picture(figure, _lasting(base, new))


def _lasting(base: Sequence[RunFrames], new: Sequence[RunFrames]) -> str:
    """Whether a difference lasts or is one bad moment: in how many seconds the new one was above the old usual."""
    old, now = (
        pd.concat([run.in_measured(facts.latency_windows(run))["0.99"] for run in runs]) for runs in (base, new)
    )
    usual, seconds = float(old.median()), now.dropna()
    above = int((seconds > usual).sum())
    return (
        f"The new system's p99 was above the old one's usual {duration_text(usual)} in {count_text(above)} of "
        f"{counted(len(seconds), 'second')}"
    )


def _count(comparison: Comparison) -> str:
    """How many figures have which answer."""
    answers = [effect.answer for effect in comparison.effects]
    parts = (f"{answers.count(kind)} {kind}" for kind in dict.fromkeys(answers))
    return f"Of {len(answers)} figures: {', '.join(parts)}."


def _finding(comparison: Comparison) -> str:
    """What changed, in a sentence."""
    parts = []
    for answer in ("worse", "better"):
        some = [effect for effect in comparison.effects if effect.answer == answer]
        if some:
            parts.append(f"{answer}: {', '.join(_said(effect) for effect in some)}")
    if parts:
        text = "; ".join(parts)
        return text[:1].upper() + text[1:]
    if comparison.answer == "same":
        return "No figure differs by more than what does not matter"
    return "These runs do not tell the two systems apart"


def _said(effect: Effect) -> str:
    return f"{effect.figure} {change_text(effect)}"


def _median_p99(runs: Sequence[RunFrames]) -> float:
    return float(pd.Series([facts.delivery_quantile(run, 0.99) for run in runs]).median())
