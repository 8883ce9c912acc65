"""Whether members are served alike: slopes, completeness and the worst served, with known answers."""

from __future__ import annotations

import pandas as pd
import pytest

from scalechat.analysis import member_plots, members
from scalechat.analysis.frames import RunFrames

from .conftest import Analyse
from .synthetic import Case


def title(html: str) -> str:
    return html[html.index("<strong>") + 8 : html.index("</strong>")].replace("\N{NO-BREAK SPACE}", " ")


def test_a_room_that_is_served_in_order_of_joining_is_found(analyse: Analyse) -> None:
    """4 µs a place, 49 places: the slope is found within its interval, and the picture's title says who hears first."""
    frames = analyse(Case(later_by_place_us=4.0))
    fair = members.fairness(frames)
    assert fair is not None
    assert fair.in_order
    assert fair.low_ns < 4_000 < fair.high_ns
    assert fair.first_to_last_ns == pytest.approx(49 * 4_000, rel=0.1)
    assert "Who joins first hears first: " in title(member_plots.spread(frames).html)


def test_a_room_that_is_served_alike_has_no_order(healthy: RunFrames) -> None:
    """Without a slope the interval holds zero, and nobody is said to be first."""
    fair = members.fairness(healthy)
    assert fair is not None
    assert not fair.in_order
    assert "Who joins first does not hear first" in title(member_plots.spread(healthy).html)


def test_two_members_prove_nothing(analyse: Analyse) -> None:
    """With fewer than eight connections there is no slope."""
    assert members.fairness(analyse(Case(clients=6, rooms=1))) is None


def test_a_message_is_complete_when_all_load_processes_together_say_so(healthy: RunFrames) -> None:
    """Deliveries of one message are put together over the workers that received it, then judged."""
    healthy.__dict__["broadcasts"] = pd.DataFrame(
        [
            ("a", "steady", 5, 5),
            ("a", "steady", 3, 3),
            ("b", "steady", 5, 5),
            ("b", "steady", 3, 1),
            ("c", "steady", 8, 0),
            ("d", "warmup", 8, 0),
        ],
        columns=["msg_id", "phase", "expected", "delivered"],
    )
    found = members.completeness(healthy)
    assert (found.messages, found.complete, found.partly, found.nobody, found.lost) == (3, 1, 1, 1, 10)
    text = member_plots.completeness(healthy).html
    assert "33" in text
    assert "10 deliveries are missing" in text
    del healthy.__dict__["broadcasts"]


def test_the_worst_served_come_first(healthy: RunFrames) -> None:
    """Ten connections, by their own p99."""
    rows = members.worst(healthy)
    assert len(rows) == 10
    assert rows["delivery_p99_ns"].is_monotonic_decreasing
    assert rows["delivery_p99_ns"].iloc[0] == healthy.connections["delivery_p99_ns"].max()
