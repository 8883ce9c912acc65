"""The figures of several workers at one place: they add up, and never fall."""

from __future__ import annotations

import numpy as np

from scalechat.load.exposition import LoadCollector
from scalechat.load.fleet.messages import Counted, decode_worker, encode
from scalechat.load.fleet.tallies import Tallies
from scalechat.load.histogram import Histogram
from scalechat.load.tally import Tally


def histogram(*values: int) -> Histogram:
    made = Histogram()
    made.add(np.array(values, dtype=np.int64))
    return made


def tally(scale: int) -> Tally:
    return Tally(
        connections=scale,
        published=10 * scale,
        delivered=100 * scale,
        delivery=histogram(*[scale * 1_000_000] * scale),
        send_lag=histogram(5),
        errors={"closed_1006": scale, f"kind_{scale}": 1},
    )


def test_what_workers_tell_adds_up() -> None:
    """The newest of each counts, as it comes out of a message."""
    tallies = Tallies(3)
    for index, scale in ((0, 7), (0, 1), (1, 2), (2, 3)):
        told = decode_worker(encode(Counted(tally(scale))))
        assert isinstance(told, Counted)
        tallies.take(index, told.tally)
    whole = tallies.together()
    assert (whole.connections, whole.published, whole.delivered) == (6, 60, 600)
    assert list(whole.delivery.buckets()) == list(histogram(*[1_000_000], *[2_000_000] * 2, *[3_000_000] * 3).buckets())
    assert (whole.send_lag.count, whole.loop_lag.count) == (3, 0)
    assert whole.errors == {"closed_1006": 6, "kind_1": 1, "kind_2": 1, "kind_3": 1}


def test_a_lost_worker_takes_its_connections_along_and_nothing_else() -> None:
    """A counter that falls would be a restart to Prometheus, and its rate a lie."""
    tallies = Tallies(3)
    for index in (0, 1):
        tallies.take(index, tally(2))
    tallies.lose(1)
    tallies.lose(2)
    whole = tallies.together()
    assert (whole.connections, whole.published, whole.delivery.count) == (2, 40, 4)
    samples = {
        (sample.name, sample.labels.get("worker")): sample.value
        for family in LoadCollector(tallies.together, lambda: tallies.up).collect()
        for sample in family.samples
    }
    assert [samples["scalechat_load_worker_up", str(index)] for index in range(3)] == [1, 0, 0]
    assert samples["scalechat_load_published_total", None] == 40


def test_a_worker_that_has_said_nothing_yet_is_not_up() -> None:
    """It is there from the start, as 0: an alert needs no absence."""
    assert Tallies(2).up == {0: False, 1: False}
    assert Tallies(2).together().published == 0
