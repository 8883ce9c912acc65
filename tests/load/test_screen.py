"""The live screen, drawn at several sizes: what it says, what it leaves out, and that it never breaks."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scalechat.load.live import ServerGlimpse, Snapshot
from scalechat.load.screen import Story, sparkline

from . import worlds

STEADY = replace(
    worlds.STEADY,
    delivered_per_s=1_020_012.2,
    p99_9_ms=31.0,
    loop_lag_p99_ms=1.5,
    send_lag_p50_ms=0.3,
    rss_bytes=95_000_000,
    server=ServerGlimpse(cpu_cores=0.38, rss_bytes=61e6, connections=1000, queue_frames=12, queue_bytes=3_400),
)


def drawn(story: Story, width: int, *, encoding: str = "utf-8", color: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(
        file=stream, force_terminal=color, width=width, legacy_windows=False, color_system="standard" if color else None
    ).print(story)
    stream.seek(0)
    return stream.read()


def story_of(*snapshots: Snapshot) -> Story:
    story = Story()
    for snapshot in snapshots:
        story.see(snapshot)
    return story


def test_a_screen_of_80_columns_says_it_all_in_few_lines() -> None:
    """Phase and what is left of it, rates, percentiles, ledger, the load client's health, the server's."""
    story = story_of(
        *(replace(STEADY, elapsed_s=float(s), phase_left_s=30.0 - s, p99_ms=5.0 + s) for s in range(1, 13))
    )
    lines = drawn(story, 80).splitlines()
    assert len(lines) == 7
    text = "\n".join(lines)
    for words in (
        "steady",
        "18 s left",
        "1,000 of 1,000",
        "1,020,012",
        "1.25 ms",
        "17 ms",
        "31 ms",
        "0 missing, 0 twice, 0 out of order, 0 corrupted, 0 errors",
        "41% of a core, loop lag 1.50 ms, send lag 0.30 ms, 95 MB",
        "38% of a core, 61 MB, queue 12 frames (3 kB)",
        "▁",
        "█",
    ):
        assert words in text


@pytest.mark.parametrize("width", [30, 40, 60, 76, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """What does not fit is folded or left out; resizing only draws it anew."""
    lines = drawn(story_of(*[STEADY] * 150), width).splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    assert len(lines) < 24


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Sparklines and bars in characters that every terminal has."""
    text = drawn(story_of(STEADY, STEADY), 80, encoding="ascii")
    assert text.isascii()
    assert "1,000 of 1,000" in text


def test_what_is_worth_a_look_stands_out_in_colour_and_in_words() -> None:
    """Yellow repeats a number that is not zero, a rate that is behind, a load client that is late."""
    bad = replace(STEADY, missing=3, published_per_s=500.0, cpu_ratio=0.93, loop_lag_p99_ms=40.0)
    text = drawn(story_of(bad), 100, color=True)
    for words in ("3 missing", "500 of 1,000", "93% of a core", "loop lag 40 ms"):
        assert f"\x1b[33m{words}" in text
    assert "\x1b[33m" not in drawn(story_of(replace(STEADY, server=None)), 100, color=True)
    closed = drawn(story_of(replace(STEADY, is_closed_loop=True)), 100, color=True)
    assert "\x1b[33meach client waits for its answer: stalls are hidden" in closed


def test_before_the_first_window_and_without_a_server_there_is_less_to_see() -> None:
    """Nothing is drawn of nothing, and no server's line of a server that shows no metrics."""
    assert drawn(Story(), 80).strip() == ""
    ramp = replace(STEADY, phase="ramp", phase_left_s=None, clients=10, p50_ms=None, p99_ms=None, server=None)
    text = drawn(story_of(ramp), 80)
    assert "10 of 1,000" in text
    assert "server" not in text
    assert "waiting" in drawn(story_of(replace(ramp, phase="drain")), 80)


def test_the_next_probe_of_a_search_begins_a_new_story() -> None:
    """Its clock starts again, and the latencies of the probe before are gone."""
    story = story_of(*[replace(STEADY, p99_ms=900.0)] * 20, replace(STEADY, elapsed_s=1.0, p99_ms=5.0))
    p99 = next(line for line in drawn(story, 80).splitlines() if " p99 " in line)
    assert sum(p99.count(bar) for bar in "▁▂▃▄▅▆▇█") == 1


@given(st.lists(st.none() | st.floats(0, 1e9)))
def test_a_sparkline_has_a_character_for_every_value(values: list[float | None]) -> None:
    """Gaps are gaps, the highest is never below another."""
    line = sparkline(values)
    assert len(line) == len(values)
    assert all((mark == " ") == (value is None or value <= 0) for mark, value in zip(line, values, strict=True))
    marks = [(value, mark) for value, mark in zip(values, line, strict=True) if mark != " " and value is not None]
    ranks = [mark for _, mark in sorted(marks)]
    assert ranks == sorted(ranks)
