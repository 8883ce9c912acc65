"""Who is of which kind: every client is of one, and those who publish come first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.config import LoadConfig, UsageError
from scalechat.load.crowd import Crowd
from scalechat.scenario import AnyKind, Churning, Probe, Publisher, Reader, Slow

SLOW = Slow(count=2, read_bytes_per_s=1)


def crowd_of(*kinds: AnyKind, clients: int = 10, publishers: int | None = None) -> Crowd:
    return Crowd.of(LoadConfig(clients=clients, kinds=kinds, publishers=publishers))


@given(st.integers(1, 50), st.integers(1, 6))
def test_kinds_claim_their_clients_and_publishers_come_first(clients: int, rooms: int) -> None:
    """Each kind has its count, is spread over the rooms, and nobody publishes who may not."""
    kinds = (Slow(share=0.2, read_bytes_per_s=1), Publisher(share=0.1), Probe(share=0.3))
    crowd = Crowd.of(LoadConfig(clients=clients, rooms=min(rooms, clients), kinds=kinds))
    names = [crowd.name_of(client) for client in range(clients)]
    for kind in kinds:
        assert names.count(kind.name) == kind.of(clients)
    assert all(
        (name in ("publisher-only", "normal")) == (client < crowd.publishers) for client, name in enumerate(names)
    )
    indices = crowd.metric_indices()
    apart = [client for client in range(clients) if crowd.is_apart(client)]
    assert apart == ([] if indices is None else indices.nonzero()[0].tolist())


def test_whoever_stands_apart_is_counted_in_the_metric_of_its_kind() -> None:
    """Readers and normal clients are the headline; a kind that stands in two entries has one metric."""
    crowd = crowd_of(SLOW, Publisher(count=1), Reader(count=1), Probe(count=1), SLOW)
    assert crowd.metrics == ("delivery", "delivery_publisher_only", "delivery_slow", "delivery_probe")
    indices = crowd.metric_indices()
    assert indices is not None
    told = {crowd.name_of(client): crowd.metrics[index] for client, index in enumerate(indices.tolist())}
    assert told == {
        "publisher-only": "delivery_publisher_only",
        "normal": "delivery",
        "slow": "delivery_slow",
        "reader-only": "delivery",
        "probe": "delivery_probe",
    }


def test_a_normal_client_that_does_not_publish_is_called_a_reader() -> None:
    crowd = crowd_of(clients=4, publishers=1)
    assert [crowd.name_of(client) for client in range(4)] == ["normal", "reader-only", "reader-only", "reader-only"]
    assert (crowd.metrics, crowd.metric_indices()) == (("delivery",), None)


def test_it_is_known_before_the_run_who_reads_slowly_and_who_leaves() -> None:
    slow, leaving = crowd_of(SLOW), crowd_of(Churning(count=1, every_s=1))
    assert (slow.has_slow, slow.may_leave) == (True, False)
    assert (leaving.has_slow, leaving.may_leave) == (False, True)


@pytest.mark.parametrize(
    "kinds, publishers, complaint",
    [
        ((SLOW, Probe(count=9)), None, "11 clients are claimed by [[kinds]] and there are 10"),
        ((Publisher(count=3),), 2, "2 publishers cannot be: by the scenario's [[kinds]] 3 clients must publish"),
        ((SLOW,), 9, "9 publishers cannot be: by the scenario's [[kinds]] 0 clients must publish and 8 may"),
    ],
)
def test_a_crowd_that_cannot_be_is_refused_with_its_numbers(
    kinds: tuple[AnyKind, ...], publishers: int | None, complaint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        crowd_of(*kinds, publishers=publishers)
    assert str(refused.value).startswith(complaint)
