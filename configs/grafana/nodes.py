"""Many nodes beside each other, their workers, and the Redis between them."""

from __future__ import annotations

from typing import Final

from configs.grafana.model import Bars, Lines, Page, Row, Series, Stat
from configs.grafana.overview import LOOP_LAG, WEBSOCKETS
from configs.grafana.queries import (
    CHOSEN,
    WORKER_CPU,
    choices_of,
    cores,
    highest,
    quantile,
    rate,
    total,
    where_counted,
    within_range,
)

PUBLISH: Final = "scalechat_bus_publish_seconds"
NO_REDIS: Final = "No Redis: these servers have the memory bus"
NO_WORKERS: Final = "No workers: each server is one process (--workers)"
BY_NODE: Final = total("scalechat_connections", "instance", where=WEBSOCKETS)
OVER_REDIS: Final = f'scalechat_bus_info{{{CHOSEN},kind="redis"}}'


def of_redis(expr: str) -> str:
    """What the bus tells, by node, of those over Redis: the memory bus has the same figures, always at rest."""
    return f"{expr} and on (instance) {OVER_REDIS}"


GLANCE = Row(
    "At a glance",
    [
        Stat("Nodes up", "short", "Scraped servers that answer.", f"sum(up{{{CHOSEN}}})"),
        Stat(
            "Nodes down", "short", "Servers that should answer and do not.", f"sum(1 - up{{{CHOSEN}}})", warn=1, bad=1
        ),
        Stat(
            "Workers up",
            "short",
            "Worker processes that answer their supervisor.",
            total("scalechat_worker_up"),
            without="none",
        ),
        Stat(
            "Workers restarted",
            "short",
            "In the time shown. A restart costs that worker's clients a reconnect.",
            within_range("scalechat_worker_restarts_total"),
            warn=1,
            bad=3,
            without="none",
        ),
        Stat("Nodes over Redis", "short", "Nodes whose bus is a Redis.", f"count({OVER_REDIS})", without="none"),
        Stat(
            "Nodes without their bus",
            "short",
            "Nodes that cannot reach their Redis: publishes wait, then are refused.",
            f"sum(1 - scalechat_bus_up{{{CHOSEN}}})",
            warn=1,
            bad=1,
        ),
        Stat(
            "Redis round trip p99",
            "s",
            "From handing a message to Redis to its position in the room.",
            where_counted(quantile(0.99, PUBLISH)),
            warn=0.02,
            bad=0.1,
            without="none",
        ),
        Stat(
            "Uneven by",
            "percentunit",
            "How much more connections the fullest node has than the average one.",
            f"max({BY_NODE}) / (avg({BY_NODE}) > 0) - 1 or vector(0)",
            warn=0.5,
        ),
    ],
)

NODES = Row(
    "Nodes: is the load shared?",
    [
        Lines(
            "Connections by node",
            "short",
            "Does the balancer spread them? After a restart they come back to whoever has room.",
            [Series(BY_NODE, "{{instance}}")],
            docs="how-to/many-nodes.md",
        ),
        Lines(
            "Publications by node",
            "mps",
            "Where do messages come in?",
            [Series(rate("scalechat_publications_total", "instance"), "{{instance}}")],
        ),
        Lines(
            "Deliveries by node",
            "mps",
            "Where do they go out? A room with members on every node costs each node its share.",
            [Series(rate("scalechat_deliveries_total", "instance"), "{{instance}}")],
        ),
        Lines(
            "CPU of each event loop",
            "percentunit",
            "Which core is full? By node, or by worker where a node has several.",
            [Series(cores(), "{{instance}} {{worker}}")],
            most=1.0,
            bad=0.9,
            docs="how-to/many-nodes.md",
        ),
        Lines(
            "Loop lag p99 by node",
            "s",
            "Which node is behind?",
            [Series(quantile(0.99, LOOP_LAG, "instance"), "{{instance}}")],
            bad=0.05,
        ),
        Lines(
            "Resident memory by node",
            "bytes",
            "Does a node grow? With connections, history and waiting frames, and it should shrink with them.",
            [Series(total("process_resident_memory_bytes", "instance"), "{{instance}}")],
            docs="scale-problems/memory-limit.md",
        ),
    ],
)

WORKERS = Row(
    "Workers: does the kernel share connections out?",
    [
        Lines(
            "Connections by worker",
            "short",
            "Is one worker left alone? The kernel spreads new connections, it never moves old ones.",
            [Series(total("scalechat_worker_connections", "instance", "worker"), "{{instance}} {{worker}}")],
            without=NO_WORKERS,
            docs="how-to/many-nodes.md",
        ),
        Lines(
            "CPU by worker",
            "percentunit",
            "Does one worker carry the busy rooms? Share of one core.",
            [Series(rate(WORKER_CPU, "instance", "worker"), "{{instance}} {{worker}}")],
            most=1.0,
            bad=0.9,
            without=NO_WORKERS,
        ),
        Bars(
            "Worker restarts",
            "cps",
            "Does a worker die again and again? The log says of what.",
            [Series(rate("scalechat_worker_restarts_total", "instance", "worker"), "{{instance}} {{worker}}")],
            without=NO_WORKERS,
            docs="scale-problems/unclean-restart.md",
        ),
    ],
)

REDIS = Row(
    "Redis: is what lies between the nodes quick, and there?",
    [
        Lines(
            "Redis round trip",
            "s",
            "How long does a message wait for its position? It is part of every acknowledgement.",
            [
                Series(where_counted(quantile(0.5, PUBLISH)), "p50"),
                Series(where_counted(quantile(0.99, PUBLISH)), "p99"),
            ],
            without=NO_REDIS,
            docs="discussion/delivery.md",
        ),
        Lines(
            "Bus lag by node",
            "s",
            "Does a node fall behind the others? Append to delivery; the clocks of two machines are in it.",
            [Series(of_redis(highest("scalechat_bus_lag_seconds", "instance")), "{{instance}}")],
            without=NO_REDIS,
            docs="discussion/delivery.md",
        ),
        Lines(
            "Publishes waiting",
            "short",
            "Does Redis keep up? Publishes handed over that have no position yet.",
            [Series(of_redis(highest("scalechat_bus_waiting", "instance")), "{{instance}}")],
            without=NO_REDIS,
            docs="scale-problems/broker-outage.md",
        ),
        Lines(
            "Bytes waiting for Redis",
            "bytes",
            "How much memory does a slow Redis cost? It has a bound; beyond it publishes are refused.",
            [Series(of_redis(highest("scalechat_bus_waiting_bytes", "instance")), "{{instance}}")],
            without=NO_REDIS,
            docs="scale-problems/broker-outage.md",
        ),
        Lines(
            "Redis is reached",
            "bool_yes_no",
            "Since when, and from which node, is it away?",
            [Series(of_redis(highest("scalechat_bus_up", "instance")), "{{instance}}")],
            most=1.0,
            without=NO_REDIS,
            docs="scale-problems/broker-outage.md",
        ),
        Bars(
            "Connections to Redis made again",
            "cps",
            "Does the link flap? Each time the node catches up from the rooms' logs.",
            [Series(of_redis(rate("scalechat_bus_reconnects_total", "instance")), "{{instance}}")],
            without=NO_REDIS,
            docs="scale-problems/broker-outage.md",
        ),
    ],
)

VERSIONS = Row(
    "Versions",
    [
        Lines(
            "Nodes by version",
            "short",
            "Is a rolling update through? Nodes by what they run.",
            [
                Series(
                    f"count by (version, python, trio) (scalechat_build_info{{{CHOSEN}}})",
                    "{{version}}, Python {{python}}, Trio {{trio}}",
                )
            ],
            stacked=True,
            docs="how-to/many-nodes.md",
        ),
        Bars(
            "Starts of nodes",
            "short",
            "When did which process begin? A bar for each start; counters begin anew there.",
            [Series(f"changes(process_start_time_seconds{{{CHOSEN}}}[$__rate_interval])", "{{instance}}")],
            docs="scale-problems/unclean-restart.md",
        ),
    ],
)

NODES_AND_REDIS = Page(
    uid="scalechat-nodes",
    title="Scale-Chat nodes and Redis",
    description="Many nodes beside each other, their workers, and the Redis between them.",
    choices=choices_of("scalechat_build_info"),
    rows=[GLANCE, NODES, WORKERS, REDIS, VERSIONS],
)
