"""Two seconds in which a server does nothing: an open loop shows them, a closed loop all but hides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trio.testing import MockClock

from .broadcaster import Broadcaster, Lies
from .closed_loop import closed_loop
from .worlds import virtual_run

STALL_S = 2.0
MEASURED_S = 20.0
LIES = Lies(stalls=((8.0, 8.0 + STALL_S),))


async def test_the_open_loop_shows_the_stall_as_arithmetic_says(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A message due x seconds before the end of the stall waits x seconds: 1 % of 20 s waits longer than 1.8 s."""
    outcome = await virtual_run(
        Broadcaster(lies=LIES).serve,
        tmp_path,
        clients=10,
        msg_frequency_ms=100.0,
        arrivals="fixed",
        target="plain",
        duration_s=MEASURED_S,
    )
    figures = outcome.summary.figures
    assert figures["delivery_p50"].value == pytest.approx(0, abs=0.1)
    assert figures["delivery_p99"].value == pytest.approx(1000 * (STALL_S - 0.01 * MEASURED_S), rel=0.016)
    assert figures["delivery_max"].value == pytest.approx(1000 * STALL_S, rel=0.016)
    assert outcome.manifest.ledger.missing == 0


async def test_a_closed_loop_hides_the_same_stall(autojump_clock: MockClock) -> None:
    """Each client waits once, for one message, instead of twenty times: it is not in the p99 from the sending."""
    found = await closed_loop(Broadcaster(lies=LIES), clients=10, period_s=0.1, from_s=1.0, until_s=1.0 + MEASURED_S)
    latencies = [latency for _sent, latency in found]
    assert np.quantile(latencies, 0.99) < 0.001
    assert sum(latency > 1.0 for latency in latencies) == 10, "one message of each client"
    assert max(latencies) == pytest.approx(STALL_S, abs=0.1)
