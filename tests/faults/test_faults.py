"""The short form of the fault suite: every fault once or twice, on three real nodes and a real Redis."""

from collections.abc import Callable

import pytest

from .catalogue import FAULTS, Fault
from .play import HEADING, play


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_nothing_acknowledged_is_lost_doubled_or_reordered(
    fault: Fault, require_binary: Callable[[str, str], str]
) -> None:
    """P1 to P4 and P7: whatever is killed, everybody hears what was acknowledged, once, in order, or is told."""
    require_binary("redis-server", "apt install redis-server")
    row = await play(fault, fault.short_rounds, seed=1)
    assert row.passed, f"\n{HEADING}\n{row}"
    assert row.account.acked > 0
