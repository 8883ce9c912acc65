"""The page to keep open: what comes in, what goes out, how late, and what runs short first."""

from __future__ import annotations

from typing import Final

from configs.grafana.model import Bars, Lines, Page, Row, Series, Stat
from configs.grafana.queries import CHOSEN, choices_of, cores, highest, or_none, quantile, rate, total, within_range

FANOUT: Final = "scalechat_fanout_duration_seconds"
LOOP_LAG: Final = "scalechat_loop_lag_seconds"
WEBSOCKETS: Final = f'{CHOSEN},dialect!="http"'

GLANCE = Row(
    "At a glance",
    [
        Stat("Servers", "short", "How many servers answer Prometheus.", f"count(scalechat_build_info{{{CHOSEN}}})"),
        Stat("Connections", "short", "Open WebSockets.", total("scalechat_connections", where=WEBSOCKETS)),
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
            "Busiest core",
            "percentunit",
            "CPU of the busiest event loop; it has one core and cannot use more.",
            f"max({cores()})",
            warn=0.7,
            bad=0.9,
        ),
        Stat(
            "Evictions",
            "short",
            "Connections that the server ended in the time shown: slow, silent or too talkative.",
            within_range("scalechat_evictions_total"),
            warn=1,
            bad=10,
        ),
    ],
)

TRAFFIC = Row(
    "Traffic: what is asked of it?",
    [
        Lines(
            "Connections by dialect",
            "short",
            "Who is here? HTTP is short-lived: pages, API calls, scrapes.",
            [Series(total("scalechat_connections", "dialect"), "{{dialect}}")],
            stacked=True,
        ),
        Lines(
            "Publications and deliveries",
            "mps",
            "How much does a message multiply? In one room deliveries grow with the square of those who talk.",
            [
                Series(rate("scalechat_publications_total"), "published"),
                Series(rate("scalechat_deliveries_total"), "delivered"),
            ],
            log=True,
            docs="scale-problems/everyone-in-one-room.md",
        ),
        Lines(
            "Bytes on the wire",
            "Bps",
            "Is the network the limit? Read from and written to clients.",
            [Series(rate("scalechat_bytes_in_total"), "in"), Series(rate("scalechat_bytes_out_total"), "out")],
            docs="scale-problems/message-size.md",
        ),
        Lines(
            "Rooms and members",
            "short",
            "How is the audience divided? A connection is a member of every room it joined.",
            [Series(total("scalechat_rooms"), "rooms"), Series(total("scalechat_members"), "members")],
        ),
    ],
)

HEALTH = Row(
    "Health: does anybody wait, and what runs short first?",
    [
        Lines(
            "Latency inside the server",
            "s",
            "Does anybody wait? If loop lag rises with fan-out, the core is full; if fan-out alone, a room is large.",
            [
                Series(quantile(0.5, FANOUT), "fan-out p50"),
                Series(quantile(0.99, FANOUT), "fan-out p99"),
                Series(quantile(0.99, LOOP_LAG), "loop lag p99"),
            ],
        ),
        Lines(
            "Nearness to limits",
            "percentunit",
            "What runs short first? Of the server that is nearest to each limit.",
            [
                Series(f"max({cores()})", "core"),
                Series(f"max(instance:scalechat_connections:ratio{{{CHOSEN}}})", "connections"),
                Series(f"max(instance:scalechat_fds:ratio{{{CHOSEN}}})", "file descriptors"),
                Series(f"max(instance:scalechat_queue_age:ratio{{{CHOSEN}}})", "queue age"),
            ],
            most=1.0,
            bad=0.9,
            docs="how-to/operate.md",
        ),
        Lines(
            "Oldest waiting frame",
            "s",
            "Is a client too slow? At --queue-age it is cut off; many servers at once mean that they are behind.",
            [Series(highest("scalechat_queue_age_seconds", "instance"), "{{instance}}")],
            bad=2,
            docs="scale-problems/slow-consumer-memory.md",
        ),
        Bars(
            "Alerts that fire",
            "short",
            "What does Prometheus complain about? Each alert links to a page with its cure.",
            [Series(or_none('count by (alertname) (ALERTS{alertstate="firing"})', "alertname"), "{{alertname}}")],
            docs="reference/alerts.md",
        ),
    ],
)

OVERVIEW = Page(
    uid="scalechat-overview",
    title="Scale-Chat overview",
    description="What comes in, what goes out, how late, and what runs short first.",
    choices=choices_of("scalechat_build_info"),
    rows=[GLANCE, TRAFFIC, HEALTH],
)
