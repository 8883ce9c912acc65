"""Deliveries in batches against one by one: however they come together, the same latencies are counted."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalechat.config import LoadConfig
from scalechat.load import deliveries as module
from scalechat.load.course import PhaseNumber
from scalechat.load.deliveries import Reception
from scalechat.load.histogram import Histogram
from scalechat.load.plan import Plan
from scalechat.load.recorder import Recorder
from scalechat.scenario import Probe

MS = 1_000_000
CLIENTS = 12
MESSAGES = 20


def recorder_of(*, probes: int = 0) -> Recorder:
    """`MESSAGES` messages are under way, one a millisecond, the first five of them of the warm-up."""
    kinds = (Probe(count=probes),) if probes else ()
    config = LoadConfig(clients=CLIENTS, publishers=1, kinds=kinds)
    recorder = Recorder(Plan.of(config, 1), acknowledged=False)
    recorder.steady_from_ns = 6 * MS
    for client in range(CLIENTS):
        recorder.join(client)
    for number in range(1, MESSAGES + 1):
        recorder.published(0, size_bytes=100, intended_ns=number * MS, due_ns=None, sent_ns=number * MS + number)
    return recorder


def rows_of(recorder: Recorder, first: int, last: int) -> array[int]:
    found = [recorder.broadcasts.row_of(0, number) for number in range(first, last + 1)]
    return array("q", [row for row in found if row is not None])


def buckets(histogram: Histogram) -> list[tuple[int, int, int]]:
    return list(histogram.buckets())


SPANS = st.tuples(st.integers(1, MESSAGES), st.integers(1, MESSAGES)).map(sorted)
PARTIES = st.lists(
    st.tuples(SPANS, st.lists(st.integers(0, CLIENTS - 1), min_size=1, max_size=CLIENTS, unique=True), st.booleans()),
    max_size=12,
)


@settings(max_examples=60)
@given(PARTIES, st.sampled_from([0, 3]), st.integers(1, 10**9))
def test_together_or_one_by_one_the_same_is_counted(
    parties: list[tuple[list[int], list[int], bool]], probes: int, step_ns: int
) -> None:
    """Receptions looked at together, chunks of members on their own: one truth."""
    recorder = recorder_of(probes=probes)
    plain: dict[tuple[int, str], Histogram] = {}
    received: Counter[int] = Counter()
    now_ns = 30 * MS
    total = 0
    for (first, last), clients, alone in parties:
        rows = rows_of(recorder, first, last)
        home: dict[tuple[int, int], Reception] = {}
        reception = None if alone else recorder.deliveries.reception(rows, home)
        for client in clients:
            now_ns += step_ns
            if reception is None:
                recorder.deliveries.add(client, rows, now_ns)
            else:
                reception.times.append(now_ns)
                reception.clients.append(client)
                recorder.counters.delivered += len(rows)
            total += len(rows)
            for number in range(first, last + 1):
                phase = PhaseNumber.STEADY if number >= 6 else PhaseNumber.WARMUP
                received[number] += 1
                if recorder.plan.crowd.is_apart(client):
                    plain.setdefault((phase, "delivery_probe"), Histogram()).add_many(now_ns - number * MS, 1)
                else:
                    plain.setdefault((phase, "delivery"), Histogram()).add_many(now_ns - number * MS, 1)
                    from_send = plain.setdefault((phase, "delivery_from_send"), Histogram())
                    from_send.add_many(now_ns - number * MS - number, 1)
    ended = {key: histogram for key, histogram in recorder.end_window() if key[1] != "send_lag"}
    assert {key: buckets(one) for key, one in ended.items()} == {key: buckets(one) for key, one in plain.items()}
    assert {key: one.sum_ns for key, one in ended.items()} == {key: one.sum_ns for key, one in plain.items()}
    assert recorder.counters.delivered == total == int(recorder.deliveries.by_client.counts.sum())
    for message in recorder.broadcasts.finish():
        assert message.delivered == received[message.number]


def test_a_flush_looks_at_a_bounded_number_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause here would be measured as the server's: what is more waits for the next turn."""
    monkeypatch.setattr(module, "_DELIVERIES_PER_TURN", 4 * MESSAGES)
    recorder = recorder_of()
    rows = rows_of(recorder, 1, MESSAGES)
    for turn in range(3):
        for client in range(CLIENTS):
            recorder.deliveries.add(client, rows, (100 + turn) * MS)
    turns = 1
    while recorder.deliveries.flush_some():
        counted = recorder.windows.of(PhaseNumber.STEADY, "delivery").count
        counted += recorder.windows.of(PhaseNumber.WARMUP, "delivery").count
        assert counted <= turns * 4 * MESSAGES
        turns += 1
    assert turns == 3 * CLIENTS // 4


def test_a_reception_that_is_looked_at_is_closed_to_those_who_come_later() -> None:
    """Its maker finds it no more, and begins another."""
    recorder = recorder_of()
    home: dict[tuple[int, int], Reception] = {}
    home[0, 1] = recorder.deliveries.reception(rows_of(recorder, 1, 1), home)
    recorder.flush()
    assert home == {}


def test_a_message_whose_account_is_closed_is_left_alone() -> None:
    """A server that broadcasts what it refused: the others' latencies are counted, that one's are not."""
    recorder = recorder_of()
    rows = rows_of(recorder, 6, 7)
    for client in range(CLIENTS):
        recorder.deliveries.add(client, array("q", [rows[0]]), 50 * MS)
    recorder.flush()
    recorder.broadcasts.finish()
    recorder.deliveries.add(0, rows, 60 * MS)
    recorder.flush()
    assert recorder.windows.of(PhaseNumber.STEADY, "delivery").count == CLIENTS
