"""The faulty server as a process: ``python -m tests.load.faulty_process v1|plain LIES TRUTH`` on a port of its own.

Prints its port; at SIGTERM it writes what it did to the file TRUTH and ends.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import trio

from .broadcaster import Broadcaster
from .lies import lies_of


async def main(dialect: str, lies: str, truth: Path) -> None:
    """Serve until told to end."""
    server = Broadcaster(v1=dialect == "v1", lies=lies_of(lies))
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, server.serve, listeners)
            nursery.start_soon(server.wait_for_silence)
            sys.stdout.write(f"{listeners[0].socket.getsockname()[1]}\n")
            sys.stdout.flush()
            await anext(aiter(signals))
            nursery.cancel_scope.cancel()
    await trio.Path(truth).write_text(json.dumps(server.truth.figures()))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], Path(sys.argv[3]))
