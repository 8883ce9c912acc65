"""The server that is there to be seen failing is a chat server all the same."""

from __future__ import annotations

from functools import partial

import trio
from trio_websocket import WebSocketServer, open_websocket_url, serve_websocket

from scalechat.experiment.naive import NaiveChat


async def test_what_one_says_all_members_of_the_room_hear(nursery: trio.Nursery) -> None:
    """The speaker too; another room hears nothing, and a member that has gone stops nobody."""
    serve = partial(serve_websocket, NaiveChat().handle, "127.0.0.1", 0, None)
    server: WebSocketServer = await nursery.start(serve)
    url = f"ws://127.0.0.1:{server.port}/?clientId=x&room="
    with trio.fail_after(20):
        async with open_websocket_url(f"{url}a") as one, open_websocket_url(f"{url}b") as elsewhere:
            async with open_websocket_url(f"{url}a") as other:
                await one.send_message("hello")
                assert [await member.get_message() for member in (one, other)] == ["hello", "hello"]
            await one.send_message("alone")
            assert await one.get_message() == "alone"
            await elsewhere.send_message("here")
            assert await elsewhere.get_message() == "here"
