"""The table of all probes: every load once, with what each of its probes said."""

from __future__ import annotations

from scalechat.load.capacity.decision import Observation
from scalechat.load.capacity.levels import Tried, table
from scalechat.palette import BAD, GOOD


def test_each_load_has_a_line_in_their_order_with_a_sign_for_each_probe() -> None:
    tried = [
        Tried(100, "held", 16.0, 10_068.0, 0.51),
        Tried(400, "failed", 11_006.0, 40_112.0, 1.0),
        Tried(400, "failed", 12_345.0, 40_001.0, 1.0),
        Tried(200, "generator", 106.4, 39_904.0, None),
    ]
    lines = list(table(tried, "clients"))
    assert [line.plain for line in lines] == [
        "    clients        p99  deliveries/s          server",
        " ✓      100      16 ms        10,068   51% of a core",
        " !      200     106 ms        39,904               -",
        "✗✗      400  12,345 ms        40,001  100% of a core",
    ]
    assert [str(lines[row].spans[0].style) for row in (1, 3)] == [GOOD, BAD]


def test_a_probe_that_met_no_server_has_no_figures() -> None:
    (_, row) = table([Tried.of(Observation(50, "failed", "no server"), None)], "rooms")
    assert row.plain.split() == ["✗", "50", "-", "-", "-"]
