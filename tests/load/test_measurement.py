"""What was measured between the beginning and the end of the measured phase, and nothing before or after."""

from __future__ import annotations

from array import array

import pytest

from scalechat.config import LoadConfig
from scalechat.load.measurement import Measurement
from scalechat.load.plan import SECOND_NS, Plan
from scalechat.load.recorder import Recorder


class Clock:
    def __init__(self) -> None:
        self.now_ns = 5

    def __call__(self) -> int:
        return self.now_ns


def begun() -> tuple[Recorder, Clock, Measurement]:
    recorder, clock = Recorder(Plan.of(LoadConfig(clients=2), 1), acknowledged=False), Clock()
    recorder.join(0)
    return recorder, clock, Measurement(recorder, clock)


def publish(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        recorder.published(0, size_bytes=10, intended_ns=0, due_ns=None, sent_ns=0)
        row = recorder.broadcasts.row_of(0, recorder.roll.next_number(0) - 1)
        assert row is not None
        recorder.deliveries.add(0, array("q", [row]), 1)


def test_only_what_happened_in_the_phase_counts() -> None:
    """Neither the warm-up's messages nor the drain's."""
    recorder, clock, measurement = begun()
    publish(recorder, 3)
    with measurement.taken():
        publish(recorder, 10)
        clock.now_ns += 4 * SECOND_NS
    publish(recorder, 5)
    steady = measurement.steady(peak_clients=2, observer=None)
    assert (steady.duration_s, steady.published, steady.delivered, steady.peak_clients) == (4.0, 10, 10, 2)
    assert (steady.server_cpu_cores, steady.server_rss_bytes) == (None, None)


def test_several_phases_add_up_without_what_lies_between_them() -> None:
    """A step that is not measured is not there."""
    recorder, clock, measurement = begun()
    for count, seconds in ((10, 4), (20, 6)):
        with measurement.taken():
            publish(recorder, count)
            clock.now_ns += seconds * SECOND_NS
        publish(recorder, 100)
        clock.now_ns += 100 * SECOND_NS
    steady = measurement.steady(peak_clients=2, observer=None)
    assert (steady.duration_s, steady.published, steady.delivered) == (10.0, 30, 30)


def test_cpu_is_of_the_phase_s_wall_time() -> None:
    """A virtual hour makes the work of some milliseconds nothing; a virtual microsecond makes it many cores."""
    for wall_ns, low, high in ((3_600 * SECOND_NS, 0.0, 1e-3), (1_000, 10.0, float("inf"))):
        recorder, clock, measurement = begun()
        with measurement.taken():
            publish(recorder, 2_000)
            clock.now_ns += wall_ns
        assert low < measurement.cpu_ratio < high
        waited = measurement.cpu_wait_ratio
        assert waited is None or waited >= 0


def test_a_phase_that_was_cut_off_is_no_measurement() -> None:
    """Everything is nothing, and nobody divides by it."""
    recorder, clock, measurement = begun()

    def fail() -> None:
        with measurement.taken():
            publish(recorder, 10)
            clock.now_ns += SECOND_NS
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    steady = measurement.steady(peak_clients=0, observer=None)
    assert (steady.duration_s, steady.published, steady.delivered) == (0.0, 0, 0)
    assert (measurement.cpu_ratio, measurement.cpu_wait_ratio) == (0.0, None)
