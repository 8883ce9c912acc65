"""What goes out over one connection: in order, whole, bounded, and never by two writers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from scalechat.client.outgoing import MAX_UNSENT_BYTES, Outgoing, Traffic, random_mask


@dataclass
class Bench:
    out: Outgoing
    far: trio.abc.Stream
    traffic: Traffic
    broken: list[bool] = field(default_factory=list)

    async def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += await self.far.receive_some(count - len(data))
        return data


@asynccontextmanager
async def bench(sock: socket.socket | None = None) -> AsyncIterator[Bench]:
    """A far end that takes only what it reads."""
    near, far = lockstep_stream_pair()
    broken: list[bool] = []
    traffic = Traffic()
    async with trio.open_nursery() as nursery:
        out = Outgoing(near, nursery, sock, traffic, lambda: broken.append(True))
        yield Bench(out, far, traffic, broken)
        nursery.cancel_scope.cancel()


async def test_frames_leave_in_the_order_in_which_they_were_accepted() -> None:
    """Those sent without waiting, before and after one that waits."""
    async with bench() as made, trio.open_nursery() as nursery:
        assert made.out.send_nowait(b"one")
        assert made.out.send_nowait(b"two")
        nursery.start_soon(made.out.send_all, b"three")
        await wait_all_tasks_blocked()
        assert made.out.send_nowait(b"four")
        assert await made.read(15) == b"onetwofourthree"
        await wait_all_tasks_blocked()
        assert made.out.unsent_bytes == 0
        assert made.traffic.sent_bytes == 15


async def test_a_peer_that_does_not_read_is_refused_from_a_bound_on() -> None:
    """The buffer ends there; when the peer has read, it goes on."""
    async with bench() as made:
        frame = b"x" * 65_536
        accepted = 0
        while made.out.send_nowait(frame):
            accepted += 1
        assert MAX_UNSENT_BYTES < made.out.unsent_bytes <= MAX_UNSENT_BYTES + len(frame)
        assert made.traffic.sent_bytes == accepted * len(frame)
        await made.read(accepted * len(frame))
        await wait_all_tasks_blocked()
        assert made.out.send_nowait(frame)


async def test_a_write_that_is_cancelled_is_the_last_one() -> None:
    """Half a frame may be on the wire: anything after it would be read as its end."""
    async with bench() as made:
        with trio.move_on_after(0) as scope:
            await made.out.send_all(b"half a frame")
        assert scope.cancelled_caught
        assert made.out.broken
        assert not made.out.send_nowait(b"more")
        with pytest.raises(trio.BrokenResourceError):
            await made.out.send_all(b"more")


async def test_whoever_waits_for_a_writer_that_fails_fails_as_well() -> None:
    """Nobody waits for ever behind a write that was cut short."""
    async with bench() as made, trio.open_nursery() as nursery:
        with trio.CancelScope() as first:
            nursery.start_soon(_expect_broken, made.out)
            nursery.start_soon(_cancel_later, first)
            await made.out.send_all(b"first")
        assert first.cancelled_caught


async def _expect_broken(out: Outgoing) -> None:
    await wait_all_tasks_blocked()
    with pytest.raises(trio.BrokenResourceError):
        await out.send_all(b"second")


async def _cancel_later(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked(0.01)
    scope.cancel()


async def test_a_connection_that_breaks_in_the_background_is_told_of_once() -> None:
    """`send_nowait` has returned long before."""
    async with bench() as made:
        assert made.out.send_nowait(b"into the void")
        await trio.aclose_forcefully(made.far)
        await wait_all_tasks_blocked()
        assert made.broken == [True]
        assert made.out.broken


async def test_a_socket_takes_what_it_can_at_once_and_the_rest_follows() -> None:
    """No task is started for a frame that fits into the kernel's buffer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours.dup()))
        async with stream, trio.open_nursery() as nursery:
            out = Outgoing(stream, nursery, ours, Traffic(), lambda: None)
            assert out.send_nowait(b"small")
            assert out.unsent_bytes == 0
            assert theirs.recv(100) == b"small"
            large = bytes(range(256)) * 3_900
            assert out.send_nowait(large)
            assert out.unsent_bytes > 0
            reading = trio.SocketStream(trio.socket.from_stdlib_socket(theirs.dup()))
            async with reading:
                got = b""
                while len(got) < len(large):
                    got += await reading.receive_some(65_536)
            assert got == large
            nursery.cancel_scope.cancel()


async def test_nothing_begins_on_a_connection_whose_peer_has_ended() -> None:
    """A closing handshake may still be written."""
    async with bench() as made, trio.open_nursery() as nursery:
        made.out.ended = True
        assert not made.out.send_nowait(b"hello")
        nursery.start_soon(made.out.send_all, b"goodbye")
        assert await made.read(7) == b"goodbye"


def test_masks_are_not_all_alike() -> None:
    """A mask of zeros would make unmasking look cheaper than it is."""
    masks = {random_mask() for _ in range(50)}
    assert len(masks) > 40
    assert {len(mask) for mask in masks} == {4}
