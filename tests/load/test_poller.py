"""The poller: one task, many sockets."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import trio

from scalechat.load.poller import READS_PER_TURN, Poller


@dataclass
class Owner:
    """Remembers what it was fed."""

    data: list[bytes] = field(default_factory=list)
    broken: bool = False
    told: trio.Event = field(default_factory=trio.Event)

    def feed(self, data: bytes) -> None:
        self.data.append(data)
        self.told.set()

    def feed_error(self) -> None:
        self.broken = True
        self.told.set()

    async def wait(self) -> None:
        """Until it is told something."""
        with trio.fail_after(10):
            await self.told.wait()
        self.told = trio.Event()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_what_arrives_is_fed_until_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    """b"" is the end of the stream, said once; then the socket is left alone."""
    ours, theirs = pair
    owner = Owner()
    with Poller() as poller:
        stop = poller.add(ours, owner)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            theirs.send(b"one")
            await owner.wait()
            theirs.shutdown(socket.SHUT_WR)
            await owner.wait()
            nursery.cancel_scope.cancel()
        stop()
    assert owner.data == [b"one", b""]


async def test_a_reset_is_a_broken_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    """An RST is told to the owner and ends nothing else."""
    ours, theirs = pair
    owner = Owner()
    with Poller() as poller:
        stop = poller.add(ours, owner)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            theirs.close()
            await owner.wait()
            nursery.cancel_scope.cancel()
        stop()
    assert (owner.broken, owner.data) == (True, [])


async def test_a_socket_that_was_stopped_is_not_read_again(pair: tuple[socket.socket, socket.socket]) -> None:
    """Even when it was ready in the same turn in which somebody else stopped it."""
    ours, theirs = pair
    second_ours, second_theirs = socket.socketpair()
    second_ours.setblocking(False)
    with second_ours, second_theirs, Poller() as poller:
        stops: list[object] = []

        class Stopper(Owner):
            def feed(self, data: bytes) -> None:
                super().feed(data)
                for stop in stops:
                    assert callable(stop)
                    stop()

        first, second = Stopper(), Stopper()
        stops += [poller.add(ours, first), poller.add(second_ours, second)]
        theirs.send(b"x")
        second_theirs.send(b"y")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            first.told = second.told
            await first.wait()
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert len(first.data) + len(second.data) == 1


async def test_many_ready_sockets_leave_others_their_turn() -> None:
    """Between every so many reads the scheduler gets the word."""
    pairs = [socket.socketpair() for _ in range(3 * READS_PER_TURN)]
    owners = [Owner() for _ in pairs]
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(sum(len(owner.data) for owner in owners))
            await trio.lowlevel.checkpoint()

    with Poller() as poller:
        for (ours, theirs), owner in zip(pairs, owners, strict=True):
            ours.setblocking(False)
            poller.add(ours, owner)
            theirs.send(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            nursery.start_soon(other)
            for owner in owners:
                await owner.wait()
            nursery.cancel_scope.cancel()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    # The scheduler shuffles who of those that are ready comes first, so two turns of the poller may follow each other.
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2 * READS_PER_TURN


@pytest.mark.parametrize("step_ns, dozes", [(10, True), (10**9, False)])
async def test_in_a_burst_it_waits_a_moment_for_more(step_ns: int, dozes: bool) -> None:
    """What comes meanwhile is read together with it. Chunks that come one by one are read at once."""
    pairs = [socket.socketpair() for _ in range(4)]
    owners = [Owner() for _ in pairs]
    clock = itertools.count(10**12, step_ns)
    dozed: list[float] = []

    def doze(seconds: float) -> None:
        if not dozed:
            for _, theirs in pairs[1:]:
                theirs.send(b"meanwhile")
        dozed.append(seconds)

    with Poller(clock=lambda: next(clock), doze=doze) as poller:
        for (ours, _), owner in zip(pairs, owners, strict=True):
            ours.setblocking(False)
            poller.add(ours, owner)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            for _ in range(40):
                pairs[0][1].send(b"x")
                await owners[0].wait()
            if dozes:
                for owner in owners[1:]:
                    await owner.wait()
            nursery.cancel_scope.cancel()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    assert bool(dozed) is dozes
    assert [owner.data for owner in owners[1:]] == [[b"meanwhile"] if dozes else []] * 3
