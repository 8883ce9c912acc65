"""The live screen, drawn at several sizes: what it says, what it leaves out, and that it never breaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalechat.config import LoadConfig
from scalechat.load.display.story import Story
from scalechat.palette import BAD, WARN

from .stories import CONFIG, STEADY, delivery, drawn, plain, story_of, style_of


def test_a_screen_of_80_by_24_says_it_all() -> None:
    """What the run is and how far; quantities with their last seconds; objectives, ledger, health, the server."""
    story = story_of(
        *(replace(STEADY, elapsed_s=float(s), phase_left_s=40.0 - s, p99_ms=5.0 + s) for s in range(1, 23))
    )
    assert plain(story) == [
        "ws://localhost:8080/ws  1,000 clients in 20 rooms          0:22, about 0:18 left",
        "✓ ramp  ✓ warm-up  ▶ steady    drain  ━━━━━━━━━━━━───────────────────  18 s left",
        "",
        "clients          1,000 of 1,000                    ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇",
        "messages/s       1,000 of 1,000                    ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇",
        "deliveries/s             20,012                    ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇",
        "",
        "delivery p50            1.25 ms    1.25 … 1.25 ms  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁",
        "delivery p99              27 ms      6.00 … 27 ms  ▁▁▂▂▃▃▄▄▄▅▅▅▆▆▆▆▇▇▇▇▇▇",
        "delivery p99.9            31 ms        31 … 31 ms  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁",
        "",
        "load client       41% of a core                    ▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃",
        "server            38% of a core                    ▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃",
        "server queue          12 frames                    ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇",
        "",
        "objectives     ✓ p99(delivery) < 15ms: 10 ms, ✓ missing == 0: 0",
        "ledger         240,000 of 240,100 deliveries, 0 missing, 0 twice,",
        "               0 out of order, 0 corrupted, 0 errors",
        "load client    loop lag 1.20 ms, send lag 0.30 ms, 95 MB",
        "server         1,000 connections, 61 MB, queue 3 kB",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [10, 24, 40, 50])
def test_no_line_is_wider_than_the_terminal(width: int, height: int) -> None:
    """What does not fit is folded or left out; resizing only draws it anew."""
    story = story_of(*[STEADY] * 150)
    lines = plain(story, width, height)
    assert all(len(line) <= width for line in lines) or width < 40
    if width >= 80 and height >= 24:
        assert len(lines) < height


def test_a_tall_screen_has_higher_curves_of_the_latencies() -> None:
    """And a low one no empty lines."""
    story = story_of(STEADY, replace(STEADY, p99_ms=4.0))
    tall, usual, low = (plain(story, 120, height) for height in (50, 24, 12))
    assert len(tall) == len(usual) + 3 * 3
    assert "" in usual
    assert "" not in low
    at = next(number for number, line in enumerate(tall) if line.startswith("delivery p99 "))
    assert [line[40:] for line in tall[at : at + 4]] == [
        "    12 ms  ▇",
        "           █",
        "           █",
        "  4.00 ms  █▁",
    ]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Bars, signs and the rest in characters that every terminal has."""
    text = "\n".join(plain(story_of(STEADY, STEADY), ascii_only=True))
    assert text.isascii()
    assert "+ ramp  + warm-up  > steady    drain  ====" in text
    assert "1,000 of 1,000" in text


def test_what_is_worth_a_look_has_a_sign_and_a_colour() -> None:
    """A number that is not zero, a rate that is behind, a load client that is late."""
    bad = replace(STEADY, missing=3, published_per_s=500.0, cpu_ratio=0.93, loop_lag_p99_ms=40.0, clients=998)
    story = story_of(*[bad] * 5)
    for words in ("! 3 missing", "! 500 of 1,000", "! 93% of a core", "! loop lag 40 ms", "! 998 of 1,000"):
        assert style_of(words, story) == WARN
    assert not any("!" in line for line in plain(story_of(*[STEADY] * 5)))
    closed = story_of(replace(STEADY, is_closed_loop=True))
    assert style_of("! each client waits for its answer: stalls are hidden", closed) == WARN


def test_a_second_below_the_rate_is_chance_and_five_are_not() -> None:
    short = replace(STEADY, published_per_s=950.0)
    assert not any("! 9" in line for line in plain(story_of(*[STEADY] * 5, short)))
    assert any("! 950 of 1,000" in line for line in plain(story_of(*[short] * 5)))
    burst = replace(STEADY, offered_per_s=3000.0, published_per_s=1500.0)
    assert not any("! 1,500" in line for line in plain(story_of(*[STEADY] * 5, burst)))


def test_the_lag_that_is_worth_a_look_is_a_tenth_of_the_tightest_objective() -> None:
    """As for the verdict; without an objective about latency it is 10 ms."""
    late = replace(STEADY, loop_lag_p99_ms=2.0)
    assert any("! loop lag 2.00 ms" in line for line in plain(story_of(late)))
    assert not any("!" in line for line in plain(story_of(late, config=LoadConfig(clients=1000))))


def test_objectives_are_judged_by_what_was_measured_so_far() -> None:
    """Met, missed, and not known yet, each with a sign of its own."""
    story = story_of(replace(STEADY, measured={"delivery": delivery(40)}, counted={"missing": None}))
    assert style_of("✗ p99(delivery) < 15ms: 40", story) == BAD
    assert style_of("· missing == 0: not known yet", story) == "dim"
    assert not any("objectives" in line for line in plain(story_of(STEADY, config=LoadConfig(clients=1000))))


def test_seconds_that_break_an_objective_are_red_and_those_that_do_not_count_are_pale() -> None:
    warm, good, bad = replace(STEADY, phase="warmup"), STEADY, replace(STEADY, p99_ms=90.0)
    (line,) = (line for line in drawn(story_of(warm, good, bad), 120) if line.plain.startswith("delivery p99 "))
    assert [str(span.style) for span in line.spans[-3:]] == ["dim #0a84d0", "#0a84d0", BAD]


def test_before_the_first_window_and_without_a_server_there_is_less_to_see() -> None:
    """Nothing is drawn of nothing; then what is waited for; and no server's line of one that shows no metrics."""
    assert plain(Story()) == []
    assert plain(story_of()) == [
        "ws://localhost:8080/ws  1,000 clients in 20 rooms               takes about 0:35",
        "connecting to ws://localhost:8080/ws …",
    ]
    text = "\n".join(plain(story_of(replace(STEADY, server=None, p50_ms=None))))
    assert "server" not in text


def test_the_next_run_of_a_search_begins_a_new_story() -> None:
    story = story_of(*[STEADY] * 20)
    story.begin(CONFIG)
    story.see(STEADY)
    (line,) = (line for line in plain(story) if line.startswith("delivery p99 "))
    assert sum(line.count(bar) for bar in "▁▂▃▄▅▆▇█") == 1
