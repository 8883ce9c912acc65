"""The page to keep open: what comes in, what goes out, how late, and what runs short first."""

from __future__ import annotations

from typing import Final

from configs.grafana.load_client import LOAD_CLIENT
from configs.grafana.model import Bars, Choice, Heatmap, Limit, Lines, Page, Row, Series, Stat
from configs.grafana.queries import PROCESSES, SERVERS, allowed, quantile, quantile_now, rate, total

FANOUT: Final = "scalechat_fanout_duration_seconds"
LOOP_LAG: Final = "scalechat_loop_lag_seconds"
CPU: Final = f"rate(process_cpu_seconds_total{{{PROCESSES}}}[$__rate_interval])"

GLANCE = Row(
    "At a glance",
    [
        Stat("Servers", "short", "Servers that answer Prometheus.", total("up", where='job="scalechat"')),
        Stat(
            "Connections",
            "short",
            "Open WebSockets.",
            total("scalechat_connections", where=f'{SERVERS},dialect!="http"'),
        ),
        Stat("Published", "mps", "Messages accepted into a room.", rate("scalechat_publications_total")),
        Stat(
            "Delivered",
            "mps",
            "Messages handed to members: publications times members.",
            rate("scalechat_deliveries_total"),
        ),
        Stat("Fan-out p99", "s", "From publication to the last outbox.", quantile(0.99, FANOUT), warn=0.05, bad=0.2),
        Stat("Loop lag p99", "s", "How late timers fire.", quantile(0.99, LOOP_LAG), warn=0.01, bad=0.05),
        Stat(
            "CPU of the busiest",
            "percentunit",
            "Share of one core; a process cannot use more.",
            f"max({CPU})",
            warn=0.7,
            bad=0.9,
        ),
        Stat(
            "Evictions",
            "short",
            "Connections that the server ended in the time shown: slow, silent or too talkative.",
            f"sum(increase(scalechat_evictions_total{{{SERVERS}}}[$__range]))",
            warn=1,
            bad=10,
        ),
    ],
)

TRAFFIC = Row(
    "Traffic",
    [
        Lines(
            "Connections by dialect",
            "short",
            "Open connections. HTTP is short-lived: pages, API calls, scrapes.",
            [Series(total("scalechat_connections", "dialect"), "{{dialect}}")],
            stacked=True,
        ),
        Lines(
            "Publications",
            "mps",
            "Messages accepted into rooms, by server.",
            [Series(rate("scalechat_publications_total", "instance"), "{{instance}}")],
        ),
        Lines(
            "Deliveries",
            "mps",
            "Messages handed to members, by server. In one room they grow with the square of those who talk.",
            [Series(rate("scalechat_deliveries_total", "instance"), "{{instance}}")],
        ),
        Lines(
            "Messages in by kind",
            "mps",
            "What clients send; 'bad' was refused.",
            [Series(rate("scalechat_messages_in_total", "kind"), "{{kind}}")],
        ),
        Lines(
            "Bytes on the wire",
            "Bps",
            "Read from and written to clients.",
            [
                Series(rate("scalechat_bytes_in_total"), "in"),
                Series(rate("scalechat_bytes_out_total"), "out"),
            ],
        ),
        Lines(
            "Rooms and members",
            "short",
            "A connection is a member of every room it joined.",
            [Series(total("scalechat_rooms"), "rooms"), Series(total("scalechat_members"), "members")],
        ),
    ],
)

QUEUES = Row(
    "Fan-out and queues",
    [
        Lines(
            "Fan-out duration",
            "s",
            "From a batch's oldest publication to its last member's outbox, over all rooms.",
            [
                Series(quantile(0.5, FANOUT), "p50"),
                Series(quantile(0.9, FANOUT), "p90"),
                Series(quantile(0.99, FANOUT), "p99"),
            ],
        ),
        Heatmap(
            "Fan-out duration, all of it",
            "s",
            "Where a quantile hides two humps, this shows both.",
            rate(f"{FANOUT}_bucket", "le"),
        ),
        Lines(
            "Oldest waiting frame",
            "s",
            "A client whose oldest frame reaches --queue-age is cut off.",
            [Series(total("scalechat_queue_age_seconds", "instance"), "{{instance}}")],
        ),
        Lines(
            "Frames waiting",
            "short",
            "In all outboxes together, and in the fullest hundredth of them against the limit of one.",
            [
                Series(total("scalechat_queue_frames"), "all outboxes"),
                Series(quantile_now(0.99, "scalechat_queue_frames_per_connection"), "one outbox, p99"),
                Limit(allowed("queue_frames"), "limit of one"),
            ],
        ),
        Lines(
            "Bytes waiting",
            "bytes",
            "Memory held for slow clients, and in the fullest hundredth of outboxes against the limit of one.",
            [
                Series(total("scalechat_queue_bytes"), "all outboxes"),
                Series(quantile_now(0.99, "scalechat_queue_bytes_per_connection"), "one outbox, p99"),
                Limit(allowed("queue_bytes"), "limit of one"),
            ],
        ),
        Bars(
            "Evictions by reason",
            "cps",
            "Connections that the server ended. queue_full and queue_age are slow clients; they may resume.",
            [Series(rate("scalechat_evictions_total", "reason"), "{{reason}}")],
        ),
    ],
)

DOOR = Row(
    "Coming and going",
    [
        Lines(
            "Accepts by kind",
            "cps",
            "Connections let in. A wave here is a reconnect storm.",
            [Series(rate("scalechat_accepts_total", "kind"), "{{kind}}")],
        ),
        Bars(
            "Refusals by reason",
            "cps",
            "Turned away at the door: limits, token, origin, name, drain.",
            [Series(rate("scalechat_refusals_total", "reason"), "{{reason}}")],
        ),
        Bars(
            "Closes by reason",
            "cps",
            "How connections ended. 'internal' is a fault of ours.",
            [Series(rate("scalechat_closes_total", "reason"), "{{reason}}")],
        ),
        Bars(
            "Connection errors by kind",
            "cps",
            "What peers did that no protocol allows. Each cost only its own connection.",
            [Series(rate("scalechat_connection_errors_total", "kind"), "{{kind}}")],
        ),
    ],
)

PROCESS = Row(
    "The process",
    [
        Lines(
            "Event loop lag",
            "s",
            "How late a timer fires: every message waits this long on top.",
            [
                Series(quantile(0.5, LOOP_LAG, "instance"), "p50 {{instance}}"),
                Series(quantile(0.99, LOOP_LAG, "instance"), "p99 {{instance}}"),
            ],
        ),
        Lines(
            "CPU",
            "percentunit",
            "Share of one core. A server is one process on one core: 100 % is the end.",
            [Series(CPU, "{{instance}}")],
            most=1.0,
        ),
        Lines(
            "Garbage collector",
            "percentunit",
            "Share of time in which the collector holds everything else up, by generation.",
            [Series(rate("scalechat_gc_pause_seconds_sum", "generation"), "generation {{generation}}")],
        ),
        Lines(
            "Resident memory",
            "bytes",
            "Grows with connections, history and waiting frames, and should shrink with them.",
            [Series(total("process_resident_memory_bytes", "instance", where=PROCESSES), "{{instance}}")],
        ),
        Lines(
            "File descriptors",
            "short",
            "One for each connection, and the limit near which new ones are refused.",
            [
                Series(total("process_open_fds", "instance", where=PROCESSES), "{{instance}}"),
                Limit(f"min(process_max_fds{{{PROCESSES}}})", "limit"),
            ],
        ),
        Lines(
            "Tasks",
            "short",
            "Trio tasks. Those that stay when their connections have left are a leak.",
            [Series(total("scalechat_tasks", "instance"), "{{instance}}")],
        ),
    ],
)

OVERVIEW = Page(
    uid="scalechat-overview",
    title="Scale-Chat overview",
    description="What comes in, what goes out, how late, and what runs short first.",
    choice=Choice("instance", "scalechat_build_info"),
    rows=[GLANCE, TRAFFIC, QUEUES, DOOR, PROCESS, LOAD_CLIENT],
)
