"""A page as cAdvisor makes it, for machines without a container engine: names and labels are those it documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.one_page import answering

CONTAINERS: Final = ("server", "load")
MIB: Final = 1_048_576


def page(scrape: int) -> str:
    """The `scrape`-th page: counters grow, one control group is no container."""
    lines = ['container_last_seen{id="/system.slice",name="",image=""} 1']
    for service in CONTAINERS:
        labels = (
            f'container_label_com_docker_compose_service="{service}",id="/docker/{service}",'
            f'image="scalechat:local",name="scalechat-{service}-1"'
        )
        lines += [
            f"container_last_seen{{{labels}}} {scrape}",
            f'container_cpu_usage_seconds_total{{{labels},cpu="total"}} {scrape / 2}',
            f"container_cpu_cfs_periods_total{{{labels}}} {scrape * 10}",
            f"container_cpu_cfs_throttled_periods_total{{{labels}}} {scrape}",
            f"container_memory_working_set_bytes{{{labels}}} {100 * MIB}",
            f"container_spec_memory_limit_bytes{{{labels}}} {512 * MIB}",
            f'container_network_receive_bytes_total{{{labels},interface="eth0"}} {scrape * 1000}',
            f'container_network_transmit_bytes_total{{{labels},interface="eth0"}} {scrape * 2000}',
        ]
    return "\n".join(lines) + "\n"


@contextmanager
def serving_cadvisor() -> Iterator[str]:
    """Serve the pages on loopback; the address as Prometheus wants it."""
    scrapes = itertools.count(1)

    with answering(lambda _: (200, page(next(scrapes)).encode()), "text/plain; version=0.0.4") as address:
        yield address
