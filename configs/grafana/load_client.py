"""The other end: what load clients see, and whether they can be trusted."""

from __future__ import annotations

from configs.grafana.model import Bars, Lines, Row, Series
from configs.grafana.queries import LOAD, or_none, quantile, rate, total

LOAD_CLIENT = Row(
    "The load client",
    [
        Lines(
            "Simulated clients",
            "short",
            "Connections that load clients hold open.",
            [Series(total("scalechat_load_connections", "instance", where=LOAD), "{{instance}}")],
            stacked=True,
        ),
        Lines(
            "Delivery latency as clients see it",
            "s",
            "From the intended time of sending to arrival: the generator's lateness counts.",
            [
                Series(quantile(0.5, "scalechat_load_delivery_latency_seconds", where=LOAD), "p50"),
                Series(quantile(0.99, "scalechat_load_delivery_latency_seconds", where=LOAD), "p99"),
                Series(quantile(0.999, "scalechat_load_delivery_latency_seconds", where=LOAD), "p99.9"),
            ],
        ),
        Lines(
            "Published and delivered",
            "mps",
            "As load clients count them.",
            [
                Series(rate("scalechat_load_published_total", where=LOAD), "published"),
                Series(rate("scalechat_load_deliveries_total", where=LOAD), "delivered"),
            ],
        ),
        Lines(
            "The generator's own lateness",
            "s",
            "When these rise, the load client is the bottleneck and its run cannot be trusted.",
            [
                Series(quantile(0.5, "scalechat_load_send_lag_seconds", where=LOAD), "send lag p50"),
                Series(quantile(0.99, "scalechat_load_send_lag_seconds", where=LOAD), "send lag p99"),
                Series(quantile(0.99, "scalechat_load_loop_lag_seconds", where=LOAD), "loop lag p99"),
            ],
        ),
        Bars(
            "Errors by kind",
            "cps",
            "What went wrong on the load clients' side.",
            [Series(or_none(rate("scalechat_load_errors_total", "kind", where=LOAD), "kind"), "{{kind}}")],
        ),
    ],
)
