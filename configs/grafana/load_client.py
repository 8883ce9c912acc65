"""The other end: what load clients see, and whether they can be trusted."""

from __future__ import annotations

from typing import Final

from configs.grafana.model import Bars, Lines, Page, Row, Series, Stat
from configs.grafana.overview import FANOUT
from configs.grafana.queries import LOAD, choices_of, or_none, quantile, rate, total, within_range

LATENCY: Final = "scalechat_load_delivery_latency_seconds"
SEND_LAG: Final = "scalechat_load_send_lag_seconds"
LOOP_LAG: Final = "scalechat_load_loop_lag_seconds"
EVERY_SERVER: Final = 'job=~".+"'

GLANCE = Row(
    "At a glance",
    [
        Stat(
            "Simulated clients",
            "short",
            "Connections that load clients hold.",
            total("scalechat_load_connections", where=LOAD),
        ),
        Stat(
            "Published", "mps", "Messages that load clients send.", rate("scalechat_load_published_total", where=LOAD)
        ),
        Stat(
            "Delivered",
            "mps",
            "Deliveries that load clients receive.",
            rate("scalechat_load_deliveries_total", where=LOAD),
        ),
        Stat(
            "Delivery p99",
            "s",
            "From the intended time to arrival.",
            quantile(0.99, LATENCY, where=LOAD),
            warn=0.1,
            bad=0.2,
        ),
        Stat(
            "Send lag p50",
            "s",
            "How late the generator sends.",
            quantile(0.5, SEND_LAG, where=LOAD),
            warn=0.005,
            bad=0.01,
        ),
        Stat(
            "Errors",
            "short",
            "In the time shown.",
            within_range("scalechat_load_errors_total", where=LOAD),
            warn=1,
            bad=100,
        ),
    ],
)

SEEN = Row(
    "What users would see",
    [
        Lines(
            "Delivery latency as clients see it",
            "s",
            "How long does a message take? From the intended time of sending: the generator's lateness counts.",
            [
                Series(quantile(0.5, LATENCY, where=LOAD), "p50"),
                Series(quantile(0.99, LATENCY, where=LOAD), "p99"),
                Series(quantile(0.999, LATENCY, where=LOAD), "p99.9"),
            ],
            bad=0.2,
            docs="discussion/measuring.md",
        ),
        Lines(
            "Where the time goes",
            "s",
            "Is it the server or the generator? What is in neither is the network, the kernel and the client.",
            [
                Series(quantile(0.99, LATENCY, where=LOAD), "delivery p99"),
                Series(quantile(0.99, FANOUT, where=EVERY_SERVER), "server's fan-out p99"),
                Series(quantile(0.99, SEND_LAG, where=LOAD), "generator's send lag p99"),
            ],
            docs="discussion/measuring.md",
        ),
        Lines(
            "Published and delivered",
            "mps",
            "Does the load run as planned? As load clients count them.",
            [
                Series(rate("scalechat_load_published_total", where=LOAD), "published"),
                Series(rate("scalechat_load_deliveries_total", where=LOAD), "delivered"),
            ],
            log=True,
        ),
        Lines(
            "Simulated clients",
            "short",
            "Who holds how many? Connections, by load client.",
            [Series(total("scalechat_load_connections", "instance", where=LOAD), "{{instance}}")],
            stacked=True,
            docs="how-to/many-load-generators.md",
        ),
    ],
)

TRUST = Row(
    "Can this be trusted?",
    [
        Lines(
            "The generator's own lateness",
            "s",
            "When these rise, the load client is the bottleneck and its run cannot be trusted.",
            [
                Series(quantile(0.5, SEND_LAG, where=LOAD), "send lag p50"),
                Series(quantile(0.99, SEND_LAG, where=LOAD), "send lag p99"),
                Series(quantile(0.99, LOOP_LAG, where=LOAD), "loop lag p99"),
            ],
            bad=0.01,
            docs="scale-problems/load-client.md",
        ),
        Bars(
            "Errors by kind",
            "cps",
            "What went wrong on the load clients' side? connect_… is the door, closed_4008 a slow client cut off.",
            [Series(or_none(rate("scalechat_load_errors_total", "kind", where=LOAD), "kind"), "{{kind}}")],
            docs="scale-problems/ephemeral-ports.md",
        ),
    ],
)

LOAD_CLIENT = Page(
    uid="scalechat-load",
    title="Scale-Chat load client",
    description="What load clients see, and whether they can be trusted.",
    choices=choices_of("scalechat_load_connections", "load_"),
    rows=[GLANCE, SEEN, TRUST],
)
