"""Why a message is late: the sweep itself, the queue of its receiver, or the event loop under both."""

from __future__ import annotations

from configs.grafana.model import Bars, Heatmap, Limit, Lines, Page, Row, Series
from configs.grafana.overview import FANOUT, LOOP_LAG
from configs.grafana.queries import CHOSEN, allowed, choices_of, cores, highest, quantile, quantile_now, rate, total

SWEEPS = Row(
    "Fan-out: how long does a message take to reach everybody?",
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
            bad=0.2,
            docs="discussion/engine.md",
        ),
        Heatmap(
            "Fan-out duration, all of it",
            "s",
            "Where a quantile hides two humps (small rooms and one large one), this shows both.",
            rate(f"{FANOUT}_bucket", "le"),
        ),
        Lines(
            "Deliveries by server",
            "mps",
            "Is the work shared? Messages handed to members.",
            [Series(rate("scalechat_deliveries_total", "instance"), "{{instance}}")],
        ),
        Lines(
            "Deliveries for each publication",
            "short",
            "How large are the rooms that talk? Twice as many members cost twice as much.",
            [
                Series(
                    f"{rate('scalechat_deliveries_total')} / ({rate('scalechat_publications_total')} > 0)",
                    "members reached",
                )
            ],
            docs="scale-problems/everyone-in-one-room.md",
        ),
        Lines(
            "Sweeps and publications",
            "ops",
            "Do messages travel together? Each worker with members sweeps; a busy room's messages share a sweep.",
            [
                Series(rate(f"{FANOUT}_count"), "sweeps"),
                Series(rate("scalechat_publications_total"), "publications"),
            ],
            docs="scale-problems/a-system-call-per-message.md",
        ),
        Lines(
            "Bytes for each delivery",
            "bytes",
            "Has the message grown? Bytes written over messages delivered.",
            [
                Series(
                    f"{rate('scalechat_bytes_out_total')} / ({rate('scalechat_deliveries_total')} > 0)",
                    "written",
                )
            ],
            docs="scale-problems/message-size.md",
        ),
    ],
)

QUEUES = Row(
    "Queues: who does not read?",
    [
        Lines(
            "Oldest waiting frame",
            "s",
            "A client whose oldest frame reaches --queue-age is cut off.",
            [
                Series(highest("scalechat_queue_age_seconds", "instance"), "{{instance}}"),
                Limit(allowed("queue_age_s"), "limit"),
            ],
            docs="scale-problems/head-of-line-blocking.md",
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
            docs="scale-problems/hidden-queues.md",
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
            docs="scale-problems/slow-consumer-memory.md",
        ),
        Bars(
            "Slow clients cut off, by reason",
            "cps",
            "Who was ended because of a queue? They come back and resume.",
            [
                Series(
                    rate(
                        "scalechat_evictions_total",
                        "reason",
                        where=f'{CHOSEN},reason=~"queue_.+|resync|log_reset"',
                    ),
                    "{{reason}}",
                )
            ],
            docs="scale-problems/slow-consumer-memory.md",
        ),
        Bars(
            "Deliveries dropped, by policy",
            "mps",
            "What do members miss? Only rooms whose policy says so drop; clients see the gap by seq.",
            [Series(rate("scalechat_drops_total", "policy"), "{{policy}}")],
            docs="scale-problems/silent-loss.md",
        ),
        Lines(
            "Resident memory and what waits",
            "bytes",
            "Do slow clients fill the memory? If both rise together, yes.",
            [
                Series(total("process_resident_memory_bytes"), "resident"),
                Series(total("scalechat_queue_bytes"), "waiting for clients"),
            ],
            docs="scale-problems/memory-limit.md",
        ),
    ],
)

LOOP = Row(
    "The event loop: what holds everything up?",
    [
        Lines(
            "Event loop lag",
            "s",
            "How late does a timer fire? Every message waits this long on top.",
            [
                Series(quantile(0.5, LOOP_LAG, "instance"), "p50 {{instance}}"),
                Series(quantile(0.99, LOOP_LAG, "instance"), "p99 {{instance}}"),
            ],
            bad=0.05,
        ),
        Lines(
            "CPU of each event loop",
            "percentunit",
            "Is a core full? Share of one core, by server or by worker: 100 % is the end.",
            [Series(cores(), "{{instance}} {{worker}}")],
            most=1.0,
            bad=0.9,
            docs="scale-problems/single-core.md",
        ),
        Lines(
            "Waiting for a core",
            "percentunit",
            "Do others take its core? Share of time ready to run without one: other programs, or a CPU quota.",
            [Series(rate("scalechat_cpu_wait_seconds_total", "instance"), "{{instance}}")],
            docs="scale-problems/cpu-quota.md",
        ),
        Lines(
            "Garbage collector",
            "percentunit",
            "Does the collector hold everything up? Share of time, by generation.",
            [Series(rate("scalechat_gc_pause_seconds_sum", "generation"), "generation {{generation}}")],
        ),
    ],
)

FANOUT_AND_QUEUES = Page(
    uid="scalechat-fanout",
    title="Scale-Chat fan-out and queues",
    description="Why a message is late: the sweep, the receiver's queue, or the event loop under both.",
    choices=choices_of("scalechat_build_info"),
    rows=[SWEEPS, QUEUES, LOOP],
)
