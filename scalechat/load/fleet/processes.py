"""Workers of this machine: child processes whose standard input is the channel."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from scalechat.load.fleet.channel import StreamChannel
from scalechat.load.fleet.coordinator import Peer

COMMAND: Final = (sys.executable, "-m", "scalechat.load.fleet")


@asynccontextmanager
async def started(count: int, *, first: int = 0) -> AsyncIterator[Sequence[Peer]]:
    """`count` workers, for the body; whatever is left of them then is killed.

    They are leaders of their own sessions: Ctrl-C reaches the coordinator alone, which tells them. When it dies they
    find their channel closed and end.
    """
    async with trio.open_nursery() as nursery:
        yield [await _start(nursery, f"worker {index}") for index in range(first, first + count)]
        nursery.cancel_scope.cancel()


async def _start(nursery: trio.Nursery, name: str) -> Peer:
    ours, theirs = socket.socketpair()
    with theirs:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                COMMAND,
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
                deliver_cancel=_kill,
            )
        )
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    return Peer(StreamChannel(stream), is_ours=True, name=name, abandon=partial(_end, process))


def _end(process: trio.Process) -> None:
    if process.returncode is None:
        process.kill()


async def _kill(process: trio.Process) -> None:
    # What it had to say was said, or is of no interest to anybody any more.
    process.kill()
    await trio.lowlevel.checkpoint()
