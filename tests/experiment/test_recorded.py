"""The checks of the experiments decide right: on what such runs measured they hold, on two equal runs they do not."""

from __future__ import annotations

from typing import Final

import pytest

from scalechat.experiment.catalogue import catalogue
from scalechat.experiment.checks import check
from scalechat.experiment.spec import read_experiment

RECORDED: Final[dict[str, tuple[dict[str, float], dict[str, float]]]] = {
    "head-of-line-blocking": ({"delivery_p99": 10070.0}, {"delivery_p99": 5.177}),
    "slow-consumer-memory": (
        {"server.process_resident_memory_bytes.max": 288000000.0, "server.queue_bytes.max": 167700000.0},
        {"server.process_resident_memory_bytes.max": 157000000.0, "server.queue_bytes.max": 48030000.0},
    ),
    "silent-loss": ({"disconnects": 0.0, "missing": 6844.0}, {"disconnects": 0.0, "missing": 0.0}),
    "hidden-queues": (
        {"delivery_slow_p99": 10120.0, "server.evictions_total.growth": 0.0, "server.queue_age_seconds.max": 0.0},
        {"delivery_slow_p99": 10210.0, "server.evictions_total.growth": 10.0, "server.queue_age_seconds.max": 3.553},
    ),
    "join-and-leave": (
        {"server.bytes_out_total": 65925717.0, "missing": 0.0},
        {"server.bytes_out_total": 22688938.0, "missing": 0.0},
    ),
    "memory-limit": (
        {"connect_failures": 411.0, "server.process_resident_memory_bytes.max": 76700000.0},
        {"connect_failures": 0.0, "server.process_resident_memory_bytes.max": 113091000.0},
    ),
    "ephemeral-ports": (
        {"clients": 400.0, "connect_failures": 400.0, "missing": 0.0},
        {"clients": 800.0, "connect_failures": 0.0, "missing": 0.0},
    ),
    "broker-outage": (
        {"missing": 1130.0, "disconnects": 0.0},
        {"missing": 0.0, "disconnects": 0.0, "acked": 1201.0},
    ),
    "accept-queue": ({"connect_failures": 217.0, "missing": 0.0}, {"connect_failures": 0.0, "missing": 0.0}),
    "a-system-call-per-message": ({"delivery_p99": 3690.0, "missing": 0.0}, {"delivery_p99": 7.01, "missing": 0.0}),
    "message-size": ({"delivery_p99": 5100.0, "missing": 0.0}, {"delivery_p99": 86.0, "missing": 0.0}),
    "heartbeat-storm": ({"delivery_p99_9": 58.7, "missing": 0.0}, {"delivery_p99_9": 9.31, "missing": 0.0}),
    "unclean-restart": (
        {"missing": 16161.0, "disconnects": 400.0, "reconnects": 400.0},
        {"missing": 0.0, "disconnects": 400.0, "reconnects": 400.0},
    ),
    "reconnect-storm": ({"connect_p99": 4429.0, "missing": 0.0}, {"connect_p99": 180.4, "missing": 0.0}),
    "load-client": (
        {"delivery_p99": 2483.0, "server_cpu": 0.154, "exit_code": 97.0, "missing": 0.0},
        {"delivery_p99": 11.5, "server_cpu": 0.3, "exit_code": 0.0, "missing": 0.0},
    ),
    "single-core": (
        {"delivery_p99": 14898.2, "server_cpu": 0.121, "missing": 0.0},
        {"delivery_p99": 130.0, "server_cpu": 0.58, "missing": 0.0},
    ),
    "cpu-quota": (
        {"delivery_p99": 174.1, "server_cpu": 0.1506, "missing": 0.0},
        {"delivery_p99": 27.3, "server_cpu": 0.172, "missing": 0.0},
    ),
    "coordinated-omission": (
        {"delivery_p99": 9.83, "delivery_max": 2019.9, "missing": 0.0},
        {"delivery_p99": 1979.7, "delivery_max": 2100.0, "missing": 0.0},
    ),
}
"""What the checks speak of, before and after, as a run on two cores measured it."""


def hold(name: str, before: dict[str, float], after: dict[str, float]) -> bool:
    return all(check(wanted, before, after).holds for wanted in read_experiment(catalogue()[name]).checks)


@pytest.mark.parametrize("name", RECORDED)
def test_checks_hold_on_the_recorded_runs(name: str) -> None:
    assert hold(name, *RECORDED[name])


@pytest.mark.parametrize("name", RECORDED)
def test_two_equal_runs_show_nothing(name: str) -> None:
    """A cure that changes nothing, and a symptom that is not there, both fail the experiment."""
    before, after = RECORDED[name]
    assert not hold(name, before, before)
    assert not hold(name, after, after)
