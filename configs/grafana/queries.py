"""The few shapes of PromQL that the pages are made of.

Counters are read as rates over `$__rate_interval`, which Grafana keeps at four scrapes or more, and summed over
everything but the labels named. `where` narrows to the servers chosen on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from configs.grafana.model import Choice

CHOSEN: Final = 'job=~"$job",instance=~"$instance"'
LOAD: Final = 'job=~"$load_job",instance=~"$load_instance"'
"""Load clients have choices of their own: a link hands on the server that was chosen, and they are not that."""
CPU: Final = "process_cpu_seconds_total"
WORKER_CPU: Final = "scalechat_worker_cpu_seconds_total"


def choices_of(metric: str, prefix: str = "") -> Sequence[Choice]:
    """A job, then the instances of that job: every target that has `metric`."""
    job = f"{prefix}job"
    return [
        Choice(job, "job", metric),
        Choice(f"{prefix}instance", "instance", f'{metric}{{job=~"${job}"}}'),
    ]


def rate(counter: str, *by: str, where: str = CHOSEN) -> str:
    """Events (or seconds, or bytes) a second."""
    return f"sum{_by(by)} (rate({counter}{{{where}}}[$__rate_interval]))"


def within_range(counter: str, where: str = CHOSEN) -> str:
    """Events in the whole time shown; `increase` extrapolates, and half a connection is none."""
    return f"round(sum(increase({counter}{{{where}}}[$__range])))"


def quantile(q: float, histogram: str, *by: str, where: str = CHOSEN) -> str:
    """The `q`-quantile of what `histogram` counted lately."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', *by, 'le', where=where)})"


def quantile_now(q: float, histogram: str) -> str:
    """The `q`-quantile of a gauge histogram: its buckets count what is there now, so there is no rate."""
    return f"histogram_quantile({q}, sum by (le) ({histogram}_bucket{{{CHOSEN}}}))"


def total(gauge: str, *by: str, where: str = CHOSEN) -> str:
    """A gauge, summed."""
    return f"sum{_by(by)} ({gauge}{{{where}}})"


def highest(gauge: str, *by: str, where: str = CHOSEN) -> str:
    """A gauge of which the sum means nothing: an age, a share."""
    return f"max{_by(by)} ({gauge}{{{where}}})"


def allowed(limit: str) -> str:
    """What the servers say they allow one client; all of them have the same configuration."""
    return f'max(scalechat_limit{{{CHOSEN},name="{limit}"}})'


def where_counted(expr: str) -> str:
    """`expr` without NaN, which a quantile of no observations is: then the panel can say why there are none."""
    return f"{expr} >= 0"


def or_none(expr: str, label: str) -> str:
    """`expr` and a line "none" at 0: a counter that appears with its first event would show nothing until then."""
    return f'{expr} or label_replace(vector(0), "{label}", "none", "", "")'


def cores() -> str:
    """CPU of each event loop: a worker where there are workers, whose sum could pass one core, else the process."""
    workers = rate(WORKER_CPU, "instance", "worker")
    return f"{workers} or ({rate(CPU, 'instance')} unless on (instance) {workers})"


def _by(labels: Sequence[str]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
