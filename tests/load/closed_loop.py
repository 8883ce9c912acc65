"""A closed loop, for comparison: each client sends its next message only when it has got its last one back.

So most load generators work that were made for requests and responses. It is no part of the load client.
"""

from __future__ import annotations

import json

import trio
import trio_websocket
from trio.testing import memory_stream_pair

from .broadcaster import Broadcaster


async def closed_loop(
    server: Broadcaster, *, clients: int, period_s: float, from_s: float, until_s: float
) -> list[tuple[float, float]]:
    """(when it was sent, how long until its sender had it), in seconds of Trio's clock, of a plain server."""
    found: list[tuple[float, float]] = []
    async with trio.open_nursery() as nursery:

        async def client(number: int) -> None:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve, theirs)
            ws = await trio_websocket.wrap_client_stream(
                nursery,
                ours,  # type: ignore[arg-type]  # annotated too narrowly: any stream will do
                "memory",
                f"/ws?room=r&clientId=c{number}",
            )
            at = from_s + period_s * number / clients
            while at < until_s:
                await trio.sleep_until(at)
                sent = trio.current_time()
                text = f"c{number} at {sent}"
                await ws.send_message(json.dumps({"clientId": f"c{number}", "Message": text}))
                while json.loads(await ws.get_message())["Message"] != text:
                    pass
                found.append((sent, trio.current_time() - sent))
                at = max(at + period_s, trio.current_time())

        async with trio.open_nursery() as talking:
            for number in range(clients):
                talking.start_soon(client, number)
        nursery.cancel_scope.cancel()
    return sorted(found)
