"""The projection as a table, a picture, and the list of what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from .projection import INPUTS, OUTPUTS, Input, Interval, drivers, project
from .style import COLORS, Html, canvas, legend, panel_title, picture
from .tables import table
from .units import count_text, significant

__all__ = ["answer", "growth", "rests_on"]

_NOTICED: Final = 0.01
"""Less is within the noise of 4,000 trials."""


def answer(users: float = 1e6, inputs: Mapping[str, Input] = INPUTS) -> Html:
    """What so many users need, each figure with the range of nine trials in ten."""
    found = project(users, inputs)
    rows = [
        (OUTPUTS[name], _short(one.middle), f"{_short(one.low)} \N{EN DASH} {_short(one.high)}")
        for name, one in found.items()
    ]
    return table((f"for {count_text(users)} users", "middle", "nine trials in ten"), rows, numeric={1, 2})


def growth(users: float = 1e6, inputs: Mapping[str, Input] = INPUTS) -> Html:
    """Nodes, Redis shards and money from a thousandth of the users to all of them."""
    grid = users * np.logspace(-3, 0, 13)
    found = [project(float(one), inputs) for one in grid]
    shown = (
        ("nodes", "nodes", COLORS["good"]),
        ("redis_shards", "Redis shards", COLORS["extra"]),
        ("egress_per_month", "traffic, $/month", COLORS["load"]),
    )
    with canvas(2.8, 1, 3) as (figure, cells):
        for axes, (name, title, color) in zip(cells, shown, strict=True):
            low, middle, high = np.array([(one[name].low, one[name].middle, one[name].high) for one in found]).T
            axes.fill_between(grid, low, high, color=color, alpha=0.2, lw=0, label="9 in 10")
            axes.plot(grid, middle, color=color, label="middle")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("users")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            panel_title(axes, title)
            legend(axes)
        return picture(figure, _title(users, found[-1]))


def rests_on(users: float = 1e6, inputs: Mapping[str, Input] = INPUTS) -> Html:
    """Every input with its range, how much of the spread of the nodes is its, and where it comes from."""
    parts = drivers(users, inputs)
    order = sorted(inputs, key=lambda name: -parts[name])
    rows = [
        (
            inputs[name].unit,
            f"{inputs[name].low:,g} \N{EN DASH} {inputs[name].high:,g}",
            f"{100 * parts[name]:.0f}\N{NO-BREAK SPACE}%" if parts[name] >= _NOTICED else "",
            inputs[name].source,
        )
        for name in order
    ]
    return table(("input", "range", "of the nodes' spread", "from"), rows, numeric={1, 2})


def _title(users: float, found: Mapping[str, Interval]) -> str:
    nodes, shards, money = found["nodes"], found["redis_shards"], found["egress_per_month"]
    return (
        f"{count_text(users)} users need about {_short(nodes.middle)} nodes "
        f"({_short(nodes.low)} to {_short(nodes.high)}) and {_short(shards.middle)} Redis shards "
        f"({_short(shards.low)} to {_short(shards.high)}); the bill for traffic is uncertain by a factor of "
        f"{significant(money.high / money.low)}"
    )


def _short(value: float) -> str:
    return count_text(value) if value >= 100 or value == int(value) else significant(value)
