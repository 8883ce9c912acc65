import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scalechat.server.figures import Figures, Rates
from scalechat.server.metrics import Counters, Gauges
from scalechat.server.outbox import Backlog

GAUGES = Gauges(
    connections={"plain": 2, "v1": 3, "http": 1},
    rooms=4,
    members=5,
    queue_age_s=0.0,
    queues=[],
    tasks=3,
    draining=False,
    accept_rate_per_s=200.0,
)


class Node:
    def __init__(self, log_period_s: float = 10.0) -> None:
        self.counters = Counters()
        self.backlog = Backlog(bytes=77)
        self.noted: list[Rates] = []
        self.figures = Figures(
            self.counters,
            self.backlog,
            read_gauges=lambda: GAUGES,
            loop_lag_p99_s=lambda: 0.0012345,
            note=self.noted.append,
            log_period_s=log_period_s,
        )


async def test_rates_are_those_of_the_last_second(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Per second, and back to zero when nothing happens any more."""
    node = Node()
    nursery.start_soon(node.figures.run)
    await trio.sleep(0.5)
    node.counters.accepts["websocket"] += 5
    node.counters.publications += 30
    node.counters.deliveries += 3000
    await trio.sleep(1)
    assert (node.figures.rates.publications_per_s, node.figures.rates.deliveries_per_s) == (30, 3000)
    assert node.figures.rates.rss_bytes > 10**7
    await trio.sleep(1)
    assert (node.figures.rates.publications_per_s, node.figures.rates.deliveries_per_s) == (0, 0)
    assert [rates.accepts_per_s for rates in node.noted] == [5, 0]


async def test_one_line_a_period_is_logged(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """With totals and rates, and without a word of any message."""
    node = Node(log_period_s=10.0)
    node.counters.accepts["websocket"] = 7
    node.counters.evictions["queue_full"] = 1
    node.counters.evictions["queue_age"] = 1
    with capture_logs() as logs:
        nursery.start_soon(node.figures.run)
        await trio.sleep(35)
    assert [line["event"] for line in logs] == ["figures"] * 3
    line = {key: value for key, value in logs[0].items() if key not in ("cpu_ratio", "rss_bytes")}
    assert line == {
        "event": "figures",
        "log_level": "info",
        "connections": 6,
        "rooms": 4,
        "publications_per_s": 0.0,
        "deliveries_per_s": 0.0,
        "queue_bytes": 77,
        "loop_lag_p99_ms": 1.23,
        "accepted": 7,
        "refused": 0,
        "publications": 0,
        "deliveries": 0,
        "evictions": 2,
    }


def test_before_the_first_second_every_rate_is_zero() -> None:
    """A page that is opened at once shows numbers, not errors."""
    node = Node()
    assert node.figures.rates.publications_per_s == 0
    assert node.figures.uptime_s >= 0
