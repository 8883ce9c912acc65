"""The top of the screen: how far the run is and how long it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalechat.config import LoadConfig
from scalechat.load.display.heading import clock_text, phases, title
from scalechat.load.display.programme import Programme
from scalechat.scenario import Step

from .stories import CONFIG, STEADY, story_of

RAMP = replace(STEADY, phase="ramp", elapsed_s=1.0, phase_left_s=None, clients=500, p50_ms=None, p99_ms=None)
DRAIN = replace(STEADY, phase="drain", elapsed_s=35.5, phase_left_s=None, offered_per_s=0.0)
DAY = LoadConfig(
    clients=500,
    phases=(
        Step(name="morning", duration_s=3600, rate=0.5),
        Step(name="pause", duration_s=60, measured=False),
        Step(name="day", duration_s=7200),
    ),
)


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (10_800, "3:00:00")]
)
def test_times_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_a_run_knows_from_the_beginning_how_long_it_takes() -> None:
    """1,000 clients at 500 a second, 3 s of warm-up, 30 s measured; what the drain takes depends on the server."""
    programme = Programme.of(CONFIG)
    assert programme.duration_s == 35
    assert programme.left_s(RAMP) == 34
    assert programme.left_s(replace(STEADY, phase="warmup", phase_left_s=2.0)) == 32
    assert programme.left_s(STEADY) == 18
    assert programme.left_s(DRAIN) == 0


def test_the_phase_that_goes_on_has_a_bar_of_what_is_done() -> None:
    assert phases(story_of(RAMP), 80).plain == (
        "▶ ramp    warm-up    steady    drain  ━━━━━━━━━━━━━━━━────────────────  1 s left"
    )
    assert phases(story_of(DRAIN), 80).plain.startswith("✓ ramp  ✓ warm-up  ✓ steady  ▶ drain  ━━━━━")


def test_what_depends_on_the_server_says_what_is_waited_for() -> None:
    """A ramp that is late, deliveries that are under way, and then nothing any more."""
    assert phases(story_of(replace(RAMP, elapsed_s=9.0)), 80).plain.endswith("  connections are late")
    assert phases(story_of(DRAIN), 80).plain.endswith("  100 under way")
    assert phases(story_of(replace(DRAIN, delivered=240_100)), 80).plain.endswith("  everything has come")


def test_when_everything_is_over_the_run_is_written() -> None:
    story = story_of(DRAIN)
    story.wait("writing the run")
    assert phases(story, 60).plain == "✓ ramp  ✓ warm-up  ✓ steady  ✓ drain       writing the run …"
    assert title(story, 60).plain.endswith("  0:36")


def test_phases_of_a_scenario_have_their_names_and_count_or_not() -> None:
    story = story_of(replace(STEADY, phase="pause", phase_left_s=30.0), config=DAY)
    assert phases(story, 80).plain.startswith("✓ ramp  ✓ warm-up  ✓ morning  ▶ pause    day    drain  ━━━━")
    assert [window.measured for window in story.windows] == [False]
    assert Programme.of(DAY).left_s(story_of(replace(STEADY, phase="morning", phase_left_s=1.0)).now or STEADY) == 7261


def test_where_not_all_phases_fit_the_present_one_says_which_it_is() -> None:
    story = story_of(replace(STEADY, phase="day"), config=DAY)
    assert phases(story, 50).plain.startswith("day (5 of 6)  ━")


def test_a_long_address_is_cut_and_the_times_are_not() -> None:
    story = story_of(STEADY, config=replace(CONFIG, server_url="wss://a.very.long.name.example.org/ws"))
    assert title(story, 50).plain == "wss://a.very.long.name.exa…  0:17, about 0:18 left"


def test_what_is_secret_in_an_address_is_not_shown() -> None:
    story = story_of(config=replace(CONFIG, server_url="ws://me:secret@host/ws?token=secret"))
    assert "secret" not in title(story, 200).plain
    assert "secret" not in phases(story, 200).plain
