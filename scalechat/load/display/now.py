"""What a snapshot says, in words: the curves and the lines of the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from scalechat.load.display.curve import Curve, ms_text
from scalechat.load.display.sparkline import Values
from scalechat.load.display.story import Story
from scalechat.load.live import Snapshot
from scalechat.load.slo import Slo
from scalechat.load.verdict import MAX_CPU_RATIO, MAX_SEND_LAG_NS, allowed_loop_lag_ns
from scalechat.palette import FAINT, SIGNS, WARN

_LATE_NS: Final = 10_000_000
"""Without an objective: a load client this late is one to look at."""

Words = tuple[str, Sequence[Text]]
"""A label and the parts of what there is to say."""


def curves(story: Story, now: Snapshot) -> list[list[Curve]]:
    """Load, latencies, machines."""

    def past(name: str) -> Values:
        return [getattr(window, name) for window in story.windows]

    clients = f"{now.clients:,} of {now.target_clients:,}"
    messages = f"{now.published_per_s:,.0f} of {now.offered_per_s:,.0f}"
    load = [
        Curve("clients", flagged(clients, now.clients < now.target_clients), past("clients")),
        Curve("messages/s", flagged(messages, story.is_behind), past("published_per_s")),
        Curve("deliveries/s", Text(f"{now.delivered_per_s:,.0f}"), past("delivered_per_s")),
    ]
    latencies = [
        Curve(f"delivery {name}", Text(ms_text(value)), past(field), is_latency=True, limit=_limit(story.slos, name))
        for name, value, field in (
            ("p50", now.p50_ms, "p50_ms"),
            ("p99", now.p99_ms, "p99_ms"),
            ("p99.9", now.p99_9_ms, "p99_9_ms"),
        )
    ]
    own = flagged(_cores(now.cpu_ratio), now.cpu_ratio >= MAX_CPU_RATIO)
    machines = [Curve("load client", own, past("generator_cpu"), top=1.0)]
    if now.server is not None:
        if now.server.cpu_cores is not None:
            machines.append(Curve("server", Text(_cores(now.server.cpu_cores)), past("server_cpu"), top=1.0))
        if (frames := now.server.queue_frames) is not None:
            machines.append(Curve("server queue", Text(f"{frames:,.0f} frames"), past("queue_frames")))
    return [load, latencies, machines]


def words(story: Story, now: Snapshot) -> Iterator[Words]:
    """Objectives, ledger, and how load client and server are."""
    if now.is_closed_loop:
        yield "closed loop", [flagged("each client waits for its answer: stalls are hidden", True)]
    if story.slos:
        yield "objectives", [_objective(slo, now) for slo in story.slos]
    yield "ledger", list(_ledger(now))
    yield "load client", list(_generator(now, story.slos))
    if server := list(_server(now)):
        yield "server", server


def flagged(text: str, worth_a_look: bool) -> Text:
    """A sign as well as a colour: not everybody sees it."""
    return Text(f"! {text}", style=WARN) if worth_a_look else Text(text)


def _objective(slo: Slo, now: Snapshot) -> Text:
    judged = slo.judge(now.measured.get(slo.subject), now.counted)
    if judged.ok is None:
        return Text(f"· {slo.expression}: not known yet", style=FAINT)
    sign, style = SIGNS[judged.ok]
    unit = f" {judged.unit}" if slo.is_latency else ""
    return Text(f"{sign} {slo.expression}: {judged.observed:,.4g}{unit}", style=style)


def _ledger(now: Snapshot) -> Iterator[Text]:
    if now.expected:
        yield Text(f"{now.delivered:,} of {now.expected:,} deliveries")
    for count, what in (
        (now.missing, "missing"),
        (now.duplicated, "twice"),
        (now.reordered, "out of order"),
        (now.corrupted, "corrupted"),
        (now.errors, "errors"),
    ):
        yield flagged(f"{count:,} {what}", count > 0)


def _generator(now: Snapshot, slos: Sequence[Slo]) -> Iterator[Text]:
    late_ns = allowed_loop_lag_ns(slos) or _LATE_NS
    if (lag_ms := now.loop_lag_p99_ms) is not None:
        yield flagged(f"loop lag {ms_text(lag_ms)}", lag_ms * 1e6 > late_ns)
    if (lag_ms := now.send_lag_p50_ms) is not None:
        yield flagged(f"send lag {ms_text(lag_ms)}", lag_ms * 1e6 > MAX_SEND_LAG_NS)
    if now.rss_bytes is not None:
        yield Text(f"{now.rss_bytes / 1e6:,.0f} MB")


def _server(now: Snapshot) -> Iterator[Text]:
    server = now.server
    if server is None:
        return
    if server.connections is not None:
        yield Text(f"{server.connections:,.0f} connections")
    if server.rss_bytes is not None:
        yield Text(f"{server.rss_bytes / 1e6:,.0f} MB")
    if server.queue_bytes is not None:
        yield Text(f"queue {server.queue_bytes / 1e3:,.0f} kB")
    if server.queue_age_s:
        yield Text(f"oldest {ms_text(server.queue_age_s * 1e3)}")


def _limit(slos: Sequence[Slo], statistic: str) -> float | None:
    """The tightest upper bound in ms that an objective puts on this percentile of the deliveries."""
    bounds = [slo.bound / 1e6 for slo in slos if (slo.subject, slo.statistic) == ("delivery", statistic)]
    return min(bounds, default=None)


def _cores(cores: float) -> str:
    return f"{cores:.0%} of a core"
