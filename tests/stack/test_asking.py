"""What stands between a page and a Prometheus: words for figures, names for curves, and the errors of both commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from configs.grafana import check, picture
from configs.grafana.asking import Prometheus
from configs.grafana.picture import in_unit, named
from tests.ports import unused_port


@pytest.mark.parametrize(
    "value, unit, text",
    [
        (0, "s", "0 s"),
        (0.0042, "s", "4.20\N{NO-BREAK SPACE}ms"),
        (1_500_000, "Bps", "1.50\N{NO-BREAK SPACE}MB/s"),
        (0.425, "percentunit", "42.5 %"),
        (1, "bool_yes_no", "yes"),
        (350, "short", "350"),
        (15_000, "mps", "15 k msg/s"),
        (2.6666, "cps", "2.67 /s"),
    ],
)
def test_a_figure_is_told_in_its_panel_s_unit(value: float, unit: str, text: str) -> None:
    """Grafana's names of units, in words."""
    assert in_unit(value, unit) == text


def test_a_curve_is_named_by_the_labels_it_has() -> None:
    """A label that a curve lacks leaves nothing behind: one process has no worker."""
    assert named("{{instance}} {{worker}}", {"instance": "a:1", "worker": "2"}) == "a:1 2"
    assert named("{{instance}} {{worker}}", {"instance": "a:1"}) == "a:1"


def test_variables_are_filled_in_as_grafana_would() -> None:
    """The choice or everything, and the times; a name that begins like another is not taken for it."""
    prometheus = Prometheus("", {"instance": "a:1"}, rate_s=5, shown_s=60)
    expr = 'x{job=~"$job",instance=~"$instance",other=~"$load_job"}[$__rate_interval] + y[$__range]'
    assert prometheus.filled_in(expr) == 'x{job=~".+",instance=~"a:1",other=~".+"}[5s] + y[60s]'


@pytest.mark.parametrize("command", [check.main, picture.main])
def test_no_prometheus_is_one_line_and_2(
    command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for an address at which nobody listens."""
    assert command(["--prometheus", f"http://127.0.0.1:{unused_port()}"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: no Prometheus at http://127.0.0.1:")
    assert told.count("\n") == 1
