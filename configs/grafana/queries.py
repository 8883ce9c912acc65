"""The few shapes of PromQL that the pages are made of.

Counters are read as rates over `$__rate_interval`, which Grafana keeps at four scrapes or more, and summed over
everything but the labels named. `where` narrows to the servers chosen on the page.
"""

from __future__ import annotations

from typing import Final

SERVERS: Final = 'instance=~"$instance"'
PROCESSES: Final = f'job="scalechat",{SERVERS}'
LOAD: Final = 'job="load"'


def rate(counter: str, *by: str, where: str = SERVERS) -> str:
    """Events (or seconds, or bytes) a second."""
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouping} (rate({counter}{{{where}}}[$__rate_interval]))"


def quantile(q: float, histogram: str, *by: str, where: str = SERVERS) -> str:
    """The `q`-quantile of what `histogram` counted lately."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', *by, 'le', where=where)})"


def quantile_now(q: float, histogram: str) -> str:
    """The `q`-quantile of a gauge histogram: its buckets count what is there now, so there is no rate."""
    return f"histogram_quantile({q}, sum by (le) ({histogram}_bucket{{{SERVERS}}}))"


def total(gauge: str, *by: str, where: str = SERVERS) -> str:
    """A gauge, summed."""
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouping} ({gauge}{{{where}}})"


def allowed(limit: str) -> str:
    """What the servers say they allow."""
    return f'max(scalechat_limit{{{SERVERS},name="{limit}"}})'


def or_none(expr: str, label: str) -> str:
    """`expr` and a line "none" at 0: a counter that appears with its first event would show nothing until then."""
    return f'{expr} or label_replace(vector(0), "{label}", "none", "", "")'
