"""The findings that stand above the pictures, as sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import diagnosis, facts, latency
from .frames import RunFrames
from .units import bytes_text, count_text, counted, duration_text, percent_text, rate_text

__all__ = ["connections", "generator", "headline", "latency_curve", "latency_over_time", "server", "throughput"]


def headline(frames: RunFrames) -> str:
    """How many clients, at what latency, limited by what."""
    buckets = facts.delivery_buckets(frames)
    who = counted(facts.clients(frames), "client")
    if latency.total(buckets) == 0:
        return f"{who}, but no delivery was measured; {_limited_by(frames)}"
    delivered = facts.rate(frames, "delivered_total", "delivered_per_s")
    p99 = facts.delivery_quantile(frames, 0.99)
    within = (
        f"the slowest within {duration_text(facts.delivery_quantile(frames, 1.0))}"
        if np.isnan(p99)
        else f"99 % of them within {duration_text(p99)}"
    )
    return f"{who} got {rate_text(delivered, 'messages')}, {within}; {_limited_by(frames)}"


def throughput(frames: RunFrames) -> str:
    """How much of the plan was carried out, and what became of it."""
    offered = facts.rate(frames, "intended_total", "offered_per_s")
    published = facts.rate(frames, "published_total", "published_per_s")
    delivered = facts.rate(frames, "delivered_total", "delivered_per_s")
    if not offered > 0:
        return "No message was due in the measured phases"
    # A phase cuts through messages under way; what counts as all is what was due in the whole run.
    everything = facts.sum_of_last(frames, "published_total") >= facts.sum_of_last(frames, "intended_total")
    share = 1.0 if everything else min(published / offered, 1.0)
    carried = (
        f"All of the {rate_text(offered, 'messages')}"
        if share == 1.0
        else (f"{'Only ' if share < 0.98 else ''}{percent_text(share)} of the {rate_text(offered, 'messages')}")
    )
    return f"{carried} on offer were published and made {rate_text(delivered, 'deliveries')}"


def latency_over_time(frames: RunFrames, windows: pd.DataFrame) -> str:
    """The worst second beside the typical one."""
    measured = frames.in_measured(windows)
    rows = measured if len(measured) else windows
    known = rows["0.99"].dropna()
    if known.empty:
        return f"The slowest delivery took {duration_text(float(rows['max'].max()))}"
    worst, typical = float(known.max()), float(known.median())
    if worst < 1.5 * typical:
        return f"Steady: the p99 of a typical second was {duration_text(typical)}, of the worst {duration_text(worst)}"
    at = float(rows["t_s"].to_numpy()[rows["0.99"].argmax()])
    return (
        f"The worst second, at {at:.0f} s, had a p99 of {duration_text(worst)}; "
        f"a typical one had {duration_text(typical)}"
    )


def latency_curve(frames: RunFrames) -> str:
    """What the far end of the distribution looks like."""
    count = latency.total(facts.delivery_buckets(frames))
    parts = [
        f"{text} % came within {duration_text(value)}"
        for rank, text in ((0.5, "50"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99"))
        if not np.isnan(value := facts.delivery_quantile(frames, rank))
    ]
    # One figure from the middle and the last one that the samples carry.
    shown = [*parts[:1], *parts[1:][-1:]]
    slowest = f"the slowest after {duration_text(facts.delivery_quantile(frames, 1.0))}"
    return f"Of {count_text(count)} deliveries {', '.join([*shown, slowest])}"


def connections(frames: RunFrames, took_ns: pd.Series[float]) -> str:
    """Who got in, how fast, and who was lost."""
    rows = frames.connections
    first = rows[rows["reconnect_of"].isna()]
    wanted = facts.sum_of_last(frames, "connections_target")
    opened = float(first["opened_s"].notna().sum()) if len(rows) else facts.clients(frames)
    lost = facts.sum_of_last(frames, "disconnects_total")
    evicted = facts.sum_of_last(frames, "evicted_total")
    everybody = opened == wanted
    who = "The only client" if wanted == 1 else f"All {count_text(wanted)} clients"
    parts = [f"{who if everybody else f'{count_text(opened)} of {count_text(wanted)} clients'} connected"]
    if len(took_ns):
        parts.append(f"99 % of the connections were open within {duration_text(float(took_ns.quantile(0.99)))}")
    ended = f"{counted(lost, 'connection')} lost" if lost else "none was lost"
    parts.append(f"{ended} ({count_text(evicted)} as too slow)" if evicted else ended)
    return ", ".join(parts)


def server(frames: RunFrames) -> str:
    """What the server needed."""
    rows = frames.in_measured(frames.server_series)
    cpu, memory, lag = facts.server_cpu(frames), float(rows["rss_bytes"].max()), float(rows["loop_lag_p99_s"].max())
    parts = [
        text
        for value, text in (
            (cpu, f"{percent_text(cpu)} of a core"),
            (memory, f"{bytes_text(memory)} of memory"),
            (lag, f"a loop lag p99 of at most {duration_text(lag * 1e9)}"),
        )
        if not np.isnan(value)
    ]
    if not parts:
        return "The server's metrics say nothing about the measured phases"
    return f"The server had {_listed(parts)}"


def generator(frames: RunFrames) -> str:
    """Whether the load generator was fit to measure."""
    rows = frames.in_measured(frames.generator_series)
    cpu = facts.generator_cpu(frames)
    lag, late = float(rows["loop_lag_p99_ns"].max()), facts.send_lag(frames)
    parts = [
        text
        for value, text in (
            (cpu, f"{percent_text(cpu)} of a core"),
            (lag, f"a loop lag p99 of at most {duration_text(lag)}"),
            (late, f"half of the messages sent within {duration_text(late)} of their time"),
        )
        if not np.isnan(value)
    ]
    limited = any(finding.side == "generator" for finding in diagnosis.diagnose(frames))
    state = "was not fit to measure" if limited else "was fit to measure"
    return f"The generator {state}: {_listed(parts)}" if parts else f"The generator {state}"


def _limited_by(frames: RunFrames) -> str:
    found = diagnosis.diagnose(frames)
    if found:
        # Why a generator is doubted takes a sentence, and stands with the verdict.
        return f"limited by {found[0].cause}" + (f" ({found[0].evidence[0]})" if found[0].side == "server" else "")
    server_cpu = facts.server_cpu(frames)
    if not np.isnan(server_cpu):
        return f"nothing was at its limit (server at {percent_text(server_cpu)} of a core)"
    if not np.isnan(facts.generator_cpu(frames)):
        return "the server shows no metrics; the generator was not at its limit"
    return "what limited it cannot be seen"


def _listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
