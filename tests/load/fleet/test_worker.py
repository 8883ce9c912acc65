"""A worker that cannot do its part, or whose coordinator cannot: one line with the reason, on both sides."""

from __future__ import annotations

import pytest
from trio.testing import MockClock, memory_stream_pair

from scalechat.config import OperationalError
from scalechat.load.ending import Interruption
from scalechat.load.fleet.channel import Gone, StreamChannel
from scalechat.load.fleet.messages import CalledOff, Hello, encode
from scalechat.load.fleet.worker import Worker
from scalechat.load.part import this_worker

HELLO = Hello(this_worker(0), "", {})


async def test_a_run_that_is_called_off_ends_with_the_reason(autojump_clock: MockClock) -> None:
    """Whoever waits for orders need not wait for the time-out, and has the coordinator's exit code."""
    ours, theirs = memory_stream_pair()
    await StreamChannel(theirs).send(encode(CalledOff("no server there", 2)))
    with pytest.raises(OperationalError, match="instance 0 ended the run: no server there") as ended:
        await Worker(StreamChannel(ours)).work(HELLO, orders_s=60)
    assert ended.value.exit_code == 2


async def test_ctrl_c_ends_the_wait_for_orders(autojump_clock: MockClock) -> None:
    """Exit code 105."""
    ours, _theirs = memory_stream_pair()
    interruption = Interruption()
    interruption.request()
    with pytest.raises(OperationalError, match="interrupted before the first connection") as ended:
        await Worker(StreamChannel(ours), interruption=interruption).work(HELLO, orders_s=60)
    assert ended.value.exit_code == 105


async def test_a_redis_that_is_gone_is_named() -> None:
    """And not the coordinator, who has the same trouble."""

    class Away:
        async def send(self, frame: bytes) -> None:
            pass

        async def receive(self) -> bytes:
            raise Gone("Redis did not answer for 8 s")

    with pytest.raises(OperationalError, match=r"^Redis did not answer for 8 s: this part of the run was ended$"):
        await Worker(Away()).work(HELLO, orders_s=60)
