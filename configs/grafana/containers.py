"""What the engine's limits do to each container, as cAdvisor sees it."""

from __future__ import annotations

from typing import Final

from configs.grafana.model import Choice, Lines, Page, Row, Series
from configs.grafana.queries import rate, total

CHOSEN: Final = 'service=~"$service"'

CONTAINERS = Page(
    uid="scalechat-containers",
    title="Scale-Chat containers",
    description="What the engine's limits do to each container, from cAdvisor.",
    choices=[Choice("service", "service", "container_last_seen")],
    rows=[
        Row(
            "CPU and memory",
            [
                Lines(
                    "CPU",
                    "percentunit",
                    "Share of one core.",
                    [Series(rate("container_cpu_usage_seconds_total", "name", where=CHOSEN), "{{name}}")],
                ),
                Lines(
                    "CPU periods held back",
                    "percentunit",
                    "Share of scheduler periods in which the quota ran out; each may hold up to 100 ms of latency.",
                    [Series(f"name:container_cpu_throttled:ratio_1m{{{CHOSEN}}}", "{{name}}")],
                    most=1.0,
                    bad=0.25,
                    docs="scale-problems/cpu-quota.md",
                ),
                Lines(
                    "Memory",
                    "bytes",
                    "Working set: what the kernel cannot take back.",
                    [Series(total("container_memory_working_set_bytes", "name", where=CHOSEN), "{{name}}")],
                ),
                Lines(
                    "Memory against its limit",
                    "percentunit",
                    "At 100 % the kernel ends the container.",
                    [Series(f"name:container_memory:ratio{{{CHOSEN}}}", "{{name}}")],
                    most=1.0,
                    bad=0.9,
                    docs="scale-problems/memory-limit.md",
                ),
            ],
        ),
        Row(
            "Network",
            [
                Lines(
                    "Received",
                    "Bps",
                    "What reached the container's interfaces.",
                    [Series(rate("container_network_receive_bytes_total", "name", where=CHOSEN), "{{name}}")],
                ),
                Lines(
                    "Sent",
                    "Bps",
                    "What left the container's interfaces.",
                    [Series(rate("container_network_transmit_bytes_total", "name", where=CHOSEN), "{{name}}")],
                ),
            ],
        ),
    ],
)
