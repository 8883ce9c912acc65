"""What `compare` prints: an answer for each figure with what it is based on, and the answer for all.

Nothing is wrapped or cut short where it fits, and never elsewhere than on a terminal, as somebody greps for it. On a
terminal that is too narrow, signs stand for the answers and reasons are told once, below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from scalechat.packing import packed
from scalechat.palette import BAD, FAINT, GOOD, WARN

from .comparison import Answer, Comparison, Effect
from .conditions import Differences
from .units import significant

__all__ = ["change_text", "print_comparison", "value_text"]

_STYLES: Final[dict[Answer, str]] = {"better": GOOD, "worse": BAD, "same": "", "cannot tell": WARN}
_SIGNS: Final[dict[Answer, str]] = {"better": "✓", "worse": "✗", "same": "=", "cannot tell": "?"}


def print_comparison(comparison: Comparison, found: Differences, console: Console) -> None:
    """For a person."""
    for line in found.against:
        console.print(Text(f"! differs, and you allowed it: {line}", style=WARN), soft_wrap=True)
    for line in found.besides:
        console.print(Text(f"differs: {line}", style=FAINT), soft_wrap=True)
    rows = list(_whole(comparison.effects))
    if console.is_terminal and max(row.cell_len for row in rows) > console.width:
        rows = list(_narrow(comparison.effects, console.width))
    for row in rows:
        console.print(row, soft_wrap=True)
    together = f"{comparison.confidence:.0%} for all intervals together; changes below {comparison.margin:.0%} are none"
    console.print(Text(f"{comparison.base_runs} against {comparison.new_runs} runs, {together}", style=FAINT))
    if comparison.within_runs_only:
        text = "one run on a side: what differs from run to run is not in these intervals; give several runs a side"
        console.print(Text(f"! {text}", style=WARN), soft_wrap=True)
    answer = Text(comparison.answer, style=_STYLES[comparison.answer])
    console.print(Text("answer    ", style=FAINT), answer, sep="")


def value_text(value: float, unit: str) -> str:
    """A figure with its unit; a dash where there is none."""
    return "-" if math.isnan(value) else f"{significant(value)} {unit}"


def change_text(effect: Effect) -> str:
    """``+20 % (+12 … +29)``, or a difference in the figure's unit."""
    if math.isnan(effect.change):
        return "-"
    factor, unit = (100, "%") if effect.relative else (1, effect.unit)
    text = f"{_signed(effect.change * factor)} {unit}"
    if math.isnan(effect.low):
        return text
    return f"{text} ({_signed(effect.low * factor)} … {_signed(effect.high * factor)})"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + (f"{value:,.0f}" if abs(value) >= 10 else f"{value:,.1f}")


def _whole(effects: Sequence[Effect]) -> Iterator[Text]:
    rows = [("", "base", "new", "change", "answer"), *map(_cells, effects)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    styles = [FAINT, *(_STYLES[effect.answer] for effect in effects)]
    for (name, old, now, change, answer), style in zip(rows, styles, strict=True):
        line = f"{name:<{widths[0]}}  {old:>{widths[1]}}  {now:>{widths[2]}}  {change:<{widths[3]}}  "
        yield Text.assemble((line, FAINT if name == "" else ""), (answer, style))


def _cells(effect: Effect) -> tuple[str, str, str, str, str]:
    return (
        effect.figure,
        value_text(effect.base, effect.unit),
        value_text(effect.new, effect.unit),
        change_text(effect),
        effect.answer + (f": {effect.why}" if effect.why else ""),
    )


def _narrow(effects: Sequence[Effect], width: int) -> Iterator[Text]:
    """A sign, the figure, both values with one unit, and the change where there is room for it."""
    rows = [
        (effect.figure, _number(effect.base), f"→ {value_text(effect.new, effect.unit)}", change_text(effect))
        for effect in effects
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    told_apart = 2 + sum(widths) + 4 > width
    for effect, (name, old, now, change) in zip(effects, rows, strict=True):
        sign = (f"{_SIGNS[effect.answer]} ", _STYLES[effect.answer])
        line = f"{name:<{widths[0]}}  {old:>{widths[1]}} {now:<{widths[2]}}"
        yield Text.assemble(sign, line, "" if told_apart else f" {change}")
        if told_apart:
            yield Text(f"  {'':<{widths[0]}}  {change}")
    legend = [Text(f"{_SIGNS[answer]} {answer}", style=style) for answer, style in _STYLES.items()]
    yield from packed(legend, width, ", ")
    for why in dict.fromkeys(effect.why for effect in effects if effect.why):
        yield from packed([Text(f"? {why}", style=WARN)], width, "")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else significant(value)
