"""The generator's own pulse."""

from __future__ import annotations

import gc
import resource

import trio
from trio.testing import MockClock

from scalechat.load.health import LAG_PERIOD_NS, Health, cpu_model, cpu_quota_cores, cpu_s, raise_file_limit
from scalechat.load.pacing import monotonic_ns


async def test_a_blocked_loop_shows_as_lag(autojump_clock: MockClock) -> None:
    """The probe after a pause of the process comes as late as the pause was long."""
    paused_ns = 0

    def clock() -> int:
        return round(trio.current_time() * 1e9) + paused_ns

    health = Health(clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.watch)
        await trio.sleep(1)
        calm = health.look().loop_lag_ns
        health.measuring = True
        paused_ns = 50_000_000
        await trio.sleep(1)
        shaken = health.look().loop_lag_ns
        nursery.cancel_scope.cancel()
    assert calm is not None
    assert max(calm) < 1000
    assert shaken is not None
    assert 50_000_000 - LAG_PERIOD_NS <= shaken[2] <= 50_000_001
    assert health.steady_lag.count >= 90  # what was seen while measuring, and nothing else


async def test_a_look_tells_cpu_memory_files_and_collections() -> None:
    """Totals only grow; what is "since the last look" begins anew."""
    health = Health(monotonic_ns)
    with health.observed_collections():
        gc.collect()
        first = health.look()
        second = health.look()
    assert first.gc_pause_max_ns > 0
    assert second.gc_pause_max_ns == 0
    assert second.gc_pause_s_total == first.gc_pause_s_total > 0
    assert second.cpu_s_total >= first.cpu_s_total > 0
    assert first.rss_bytes > 1_000_000
    assert first.open_fds > 2
    assert first.tasks >= 1
    assert first.loop_lag_ns is None
    callbacks = len(gc.callbacks)
    gc.collect()
    assert len(gc.callbacks) == callbacks


def test_the_file_limit_is_raised_to_what_is_allowed() -> None:
    """And what is returned is what holds now."""
    assert raise_file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_machine_is_described_or_not_but_nothing_is_raised() -> None:
    """A container may hide all of it."""
    assert cpu_model() is None or cpu_model()
    quota = cpu_quota_cores()
    assert quota is None or quota > 0
    assert cpu_s() > 0
