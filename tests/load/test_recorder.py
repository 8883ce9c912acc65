"""The recorder: windows that add up, phases that do not leak, and percentiles of each connection."""

from __future__ import annotations

from array import array

import pytest

from scalechat.config import LoadConfig
from scalechat.load.course import PhaseNumber
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder

MS = 1_000_000


def recorder_of(clients: int = 2, *, steady_from_ns: int = 0) -> Recorder:
    recorder = Recorder(Plan.of(LoadConfig(clients=clients, publishers=1), 1), acknowledged=False)
    recorder.steady_from_ns = steady_from_ns
    for client in range(clients):
        recorder.join(client)
    return recorder


def publish(recorder: Recorder, intended_ns: int, sent_ns: int | None = None) -> array[int]:
    recorder.published(0, size_bytes=100, intended_ns=intended_ns, sent_ns=sent_ns or intended_ns, due_ns=intended_ns)
    row = recorder.broadcasts.row_of(0, recorder.roll.next_number(0) - 1)
    assert row is not None
    return array("q", [row])


def test_latency_counts_from_the_intended_time_and_from_sending_apart() -> None:
    """What the generator was late is in the first and not in the second."""
    recorder = recorder_of()
    rows = publish(recorder, 1000, sent_ns=1000 + 3 * MS)
    recorder.deliveries.add(0, rows, 1000 + 5 * MS)
    recorder.end_window()
    steady = PhaseNumber.STEADY
    assert recorder.windows.total(steady, "delivery").max_ns == 5 * MS
    assert recorder.windows.total(steady, "delivery_from_send").max_ns == 2 * MS
    assert recorder.windows.total(steady, "send_lag").max_ns == 3 * MS


def test_a_late_warm_up_message_does_not_leak_into_the_measured_phase() -> None:
    """A histogram belongs to the phase in which its message was intended."""
    recorder = recorder_of(steady_from_ns=10 * MS)
    early, late = publish(recorder, 9 * MS), publish(recorder, 10 * MS)
    recorder.phase = PhaseNumber.STEADY
    recorder.deliveries.add(0, early + late, 50 * MS)
    recorder.end_window()
    assert recorder.windows.total(PhaseNumber.WARMUP, "delivery").max_ns == 41 * MS
    assert recorder.windows.total(PhaseNumber.STEADY, "delivery").max_ns == 40 * MS


def test_windows_add_up_to_the_total() -> None:
    """Each value is in exactly one window."""
    recorder = recorder_of()
    counts = []
    for second in range(3):
        rows = publish(recorder, second * 1000 * MS)
        for client in range(2):
            recorder.deliveries.add(client, rows, second * 1000 * MS + MS)
        windows = dict(recorder.end_window())
        counts.append(windows[PhaseNumber.STEADY, "delivery"].count)
    assert counts == [2, 2, 2]
    assert recorder.windows.total(PhaseNumber.STEADY, "delivery").count == 6
    assert recorder.end_window() == []


def test_negative_latencies_are_kept() -> None:
    """A clock error must show, and not vanish."""
    recorder = recorder_of()
    recorder.deliveries.add(0, publish(recorder, 5 * MS), 3 * MS)
    recorder.end_window()
    assert recorder.windows.total(PhaseNumber.STEADY, "delivery").min_ns == -2 * MS


def test_first_and_last_delivery_of_a_broadcast_are_measured_when_it_is_complete() -> None:
    """The time to the last member is what grows with a room."""
    recorder = recorder_of(clients=3)
    rows = publish(recorder, 0)
    for client, arrived in enumerate((7 * MS, 2 * MS, 9 * MS)):
        recorder.deliveries.add(client, rows, arrived)
    recorder.flush()
    recorder.closed(5000 * MS, 10)
    recorder.end_window()
    assert recorder.windows.total(PhaseNumber.STEADY, "broadcast_first").max_ns == 2 * MS
    assert recorder.windows.total(PhaseNumber.STEADY, "broadcast_last").max_ns == 9 * MS


def test_each_connection_has_percentiles_of_its_own() -> None:
    """Within 7 %; a percentile nobody lies beyond is not stated."""
    recorder = recorder_of()
    for number in range(1, 201):
        rows = publish(recorder, number * MS)
        recorder.deliveries.add(0, rows, number * MS + (30 * MS if number > 190 else 3 * MS))
    recorder.flush()
    p50, p99 = recorder.deliveries.by_client.quantiles_ns(0, (0.5, 0.99))
    assert p50 == pytest.approx(3 * MS, rel=0.07)
    assert p99 == pytest.approx(30 * MS, rel=0.07)
    assert recorder.deliveries.by_client.quantiles_ns(1, (0.5, 0.99)) == [None, None]


def test_what_a_server_refused_and_broadcasts_all_the_same_hides_nothing() -> None:
    """However late it comes it is expected by who gets it, and counted apart."""
    recorder = Recorder(Plan.of(LoadConfig(clients=1), 1), acknowledged=True)
    recorder.join(0)
    rows = publish(recorder, 0)
    recorder.reject(0, 1)
    recorder.closed(60_000 * MS, 10)
    recorder.deliveries.add(0, rows, 60_001 * MS)
    assert (PhaseNumber.STEADY, "delivery") in [key for key, _ in recorder.end_window()]
    assert (recorder.counters.expected, recorder.counters.delivered, recorder.outstanding) == (1, 1, 0)
    assert recorder.broadcasts.refused_delivered == 1
