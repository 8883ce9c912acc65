"""Snapshots and stories of runs that are shown."""

from __future__ import annotations

from rich.text import Text

from scalechat.config import LoadConfig
from scalechat.load.display.screen import lines
from scalechat.load.display.story import Story
from scalechat.load.histogram import Histogram
from scalechat.load.live import ServerGlimpse, Snapshot

CONFIG = LoadConfig(clients=1000, rooms=20, duration_s=30.0, slo=("p99(delivery) < 15ms", "missing == 0"))


def delivery(*values_ms: int, count: int = 1000) -> Histogram:
    histogram = Histogram()
    for value_ms in values_ms:
        histogram.add_many(value_ms * 1_000_000, count)
    return histogram


STEADY = Snapshot(
    phase="steady",
    elapsed_s=17.0,
    phase_left_s=18.0,
    window_s=1.0,
    clients=1000,
    target_clients=1000,
    offered_per_s=1000,
    published_per_s=999.6,
    delivered_per_s=20_012.2,
    p50_ms=1.25,
    p99_ms=12.4,
    missing=0,
    duplicated=0,
    reordered=0,
    errors=0,
    cpu_ratio=0.41,
    p99_9_ms=31.0,
    loop_lag_p99_ms=1.2,
    send_lag_p50_ms=0.3,
    rss_bytes=95_000_000,
    delivered=240_000,
    expected=240_100,
    measured={"delivery": delivery(10)},
    counted={"missing": 0},
    server=ServerGlimpse(cpu_cores=0.38, rss_bytes=61e6, connections=1000, queue_frames=12, queue_bytes=3_400),
)


def story_of(*snapshots: Snapshot, config: LoadConfig = CONFIG) -> Story:
    story = Story()
    story.begin(config)
    for snapshot in snapshots:
        story.see(snapshot)
    return story


def drawn(story: Story, width: int = 80, height: int = 24, *, ascii_only: bool = False) -> list[Text]:
    return list(lines(story, width, height, ascii_only=ascii_only))


def plain(story: Story, width: int = 80, height: int = 24, *, ascii_only: bool = False) -> list[str]:
    return [line.plain.rstrip() for line in drawn(story, width, height, ascii_only=ascii_only)]


def style_of(words: str, story: Story, width: int = 120) -> str:
    """Of what is written there."""
    for line in drawn(story, width):
        if (at := line.plain.find(words)) >= 0:
            return next((str(span.style) for span in line.spans if span.start <= at < span.end), "")
    raise AssertionError(f"nothing says {words}")
