"""What is sent is what arrives: messages, histograms in them, and the frames around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_pair

from scalechat.config import LoadConfig
from scalechat.load.fleet.channel import MAX_FRAME, Gone, StreamChannel
from scalechat.load.fleet.messages import Orders, Progress, decode_coordinator, decode_worker, encode
from scalechat.load.fleet.together import together
from scalechat.load.histogram import Histogram
from scalechat.load.live import Snapshot
from tests.load.display.stories import STEADY

VALUES = st.lists(st.integers(-(10**9), 10**12), max_size=60)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add(np.array(values, dtype=np.int64))
    return histogram


def snapshot(clients: int, delivery: Histogram, cpu_ratio: float = 0.1) -> Snapshot:
    return replace(
        STEADY,
        clients=clients,
        target_clients=clients,
        offered_per_s=100.0,
        published_per_s=10.0,
        cpu_ratio=cpu_ratio,
        delivery=delivery,
    )


@given(VALUES, st.lists(st.integers(0, 2), min_size=60, max_size=60))
def test_any_split_of_a_distribution_merges_to_the_whole(values: list[int], owners: list[int]) -> None:
    """Over the wire and together again, to the last count and the exact sum."""
    parts = [[value for value, owner in zip(values, owners, strict=False) if owner == index] for index in range(3)]
    sent = [encode(Progress(snapshot(1, histogram_of(part)))) for part in parts]
    heard = [decode_worker(frame) for frame in sent]
    whole = together([message.snapshot for message in heard if isinstance(message, Progress)])
    assert whole.delivery.dump() == histogram_of(values).dump()
    assert (whole.clients, whole.published_per_s, whole.offered_per_s) == (3, 30.0, 100.0)


def test_of_what_a_generator_suffers_the_worst_is_shown() -> None:
    """A fleet is as good as its busiest process."""
    assert together([snapshot(1, Histogram(), 0.2), snapshot(1, Histogram(), 0.9)]).cpu_ratio == 0.9


def test_objectives_of_a_fleet_are_judged_by_what_all_of_it_saw() -> None:
    """Histograms and counts add up; what one process does not know nobody knows."""
    each = [
        replace(
            snapshot(1, Histogram()),
            delivered=3,
            expected=4,
            measured={"delivery": histogram_of([value])},
            counted={"missing": 1, "unacked": None},
        )
        for value in (5, 7)
    ]
    whole = together(each)
    assert whole.measured["delivery"].dump() == histogram_of([5, 7]).dump()
    assert (whole.delivered, whole.expected, whole.counted) == (6, 8, {"missing": 2, "unacked": None})


def test_orders_carry_the_whole_configuration() -> None:
    """A worker reads no flags, no environment and no file."""
    config = LoadConfig(clients=7, slo=("missing == 0",), out=Path("here"), token="secret")
    orders = Orders(index=1, count=3, seed=5, run=9, run_id="r", config=config, part_dir="/p", shares_clock=True)
    assert decode_coordinator(encode(orders)) == orders


@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(1, 40))
async def test_messages_arrive_whole_however_the_bytes_are_cut(frames: list[bytes], cut: int) -> None:
    """In order, and then the channel says that nobody is there any more."""
    near, far = memory_stream_pair()
    collected, inspected = memory_stream_pair()
    sender, receiver = StreamChannel(near), StreamChannel(inspected)
    for frame in frames:
        await sender.send(frame)
    await near.aclose()
    while data := await far.receive_some(cut):
        await collected.send_all(data)
    await collected.aclose()
    for frame in frames:
        assert await receiver.receive() == frame
    with pytest.raises(Gone):
        await receiver.receive()


async def test_a_length_beyond_reason_ends_the_conversation() -> None:
    """Nobody allocates what a stranger asks for."""
    near, far = memory_stream_pair()
    await near.send_all((MAX_FRAME + 1).to_bytes(4, "little"))
    with pytest.raises(Gone), trio.fail_after(5):
        await StreamChannel(far).receive()
