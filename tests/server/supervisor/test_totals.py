"""Many processes' metrics as one's."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from scalechat.server.supervisor.totals import Family, Snapshot, Totals, families_of, metrics_of, together


def _values(families: Sequence[Family]) -> dict[str, float]:
    return {
        name + "".join(f"[{value}]" for value in labels.values()): number
        for family in families
        for name, labels, number in family.samples
    }


def _labelled(name: str, label: str, values: dict[str, float], counter: bool = False) -> Metric:
    metric = (CounterMetricFamily if counter else GaugeMetricFamily)(name, "Text.", labels=[label])
    for key, value in values.items():
        metric.add_metric([key], value)
    return metric


def _of(metrics: Sequence[Metric], rooms: Sequence[str] = ()) -> Snapshot:
    return Snapshot(families_of(metrics), list(rooms))


def _counting(accepts: int, connections: int = 0) -> Snapshot:
    return _of(
        [
            CounterMetricFamily("scalechat_accepts", "Text.", value=accepts),
            GaugeMetricFamily("scalechat_connections", "Text.", value=connections),
        ]
    )


def test_what_can_be_added_is_added_and_the_rest_has_its_rule() -> None:
    """Ages and switches: the highest; the start: the earliest; bounds: the same, but the one that is shared out."""

    def worker(age_s: float, start_s: float) -> list[Family]:
        return families_of(
            [
                GaugeMetricFamily("scalechat_queue_bytes", "Text.", value=10),
                GaugeMetricFamily("scalechat_queue_age_seconds", "Text.", value=age_s),
                GaugeMetricFamily("process_start_time_seconds", "Text.", value=start_s),
                _labelled("scalechat_limit", "name", {"max_connections": 50, "queue_frames": 7}),
                HistogramMetricFamily("lag", "Text.", buckets=[("1.0", 2), ("+Inf", 3)], sum_value=4),
                InfoMetricFamily("scalechat_build", "Text.", {"version": "1"}),
            ]
        )

    assert _values(together([worker(1, 200), worker(3, 100)])) == {
        "scalechat_queue_bytes": 20,
        "scalechat_queue_age_seconds": 3,
        "process_start_time_seconds": 100,
        "scalechat_limit[max_connections]": 100,
        "scalechat_limit[queue_frames]": 7,
        "lag_bucket[1.0]": 4,
        "lag_bucket[+Inf]": 6,
        "lag_count": 6,
        "lag_sum": 8,
        "scalechat_build_info[1]": 1,
    }


def test_a_room_in_several_workers_is_one_room() -> None:
    """Its members may be anywhere."""
    rooms = GaugeMetricFamily("scalechat_rooms", "Text.", value=2)
    merged = Totals().merge({1: _of([rooms], ["tea", "den"]), 2: _of([rooms], ["tea", "bar"])})
    assert _values(merged) == {"scalechat_rooms": 3}


def test_a_worker_that_has_ended_stays_in_the_counters_and_in_nothing_else() -> None:
    """Its successor counts from 0, and its connections are gone."""
    totals = Totals()
    totals.merge({1: _counting(10, 4), 2: _counting(5, 1)})
    totals.ended(1)
    assert _values(totals.merge({2: _counting(6, 2)})) == {"scalechat_accepts_total": 16, "scalechat_connections": 2}
    assert _values(totals.merge({1: _counting(1, 1), 2: _counting(6, 2)})) == {
        "scalechat_accepts_total": 17,
        "scalechat_connections": 3,
    }


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from(["counts", "ends", "is silent"])), max_size=30))
def test_a_counter_never_falls(events: list[tuple[int, str]]) -> None:
    """Whatever ends, and whoever does not answer when it is scraped."""
    totals, counts, scraped = Totals(), {1: 0, 2: 0, 3: 0}, 0.0
    for worker, event in events:
        silent = 0
        if event == "counts":
            counts[worker] += 1
        elif event == "ends":
            counts[worker] = 0
            totals.ended(worker)
        else:
            silent = worker
        merged = totals.merge({w: _counting(count) for w, count in counts.items() if w != silent})
        now = _values(merged)["scalechat_accepts_total"]
        assert now >= scraped
        scraped = now


def test_what_is_put_together_is_still_an_exposition() -> None:
    """Prometheus reads it: names, types, help and values."""
    accepts = _labelled("scalechat_accepts", "kind", {"http": 1, "websocket": 2}, counter=True)
    merged = metrics_of(together([families_of([accepts]), families_of([accepts])]))

    class Both(Collector):
        def collect(self) -> list[Metric]:
            return merged

    registry = CollectorRegistry()
    registry.register(Both())
    (read,) = text_string_to_metric_families(generate_latest(registry).decode())
    assert (read.name, read.type, read.documentation) == ("scalechat_accepts", "counter", "Text.")
    assert [s.value for s in read.samples] == [2.0, 4.0]
