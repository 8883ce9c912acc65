"""A worker that a coordinator started: ``python -m scalechat.load.fleet``, with the channel as standard input."""

from __future__ import annotations

import logging
import socket
import sys

import trio

from scalechat.config import ScaleChatError
from scalechat.load.fleet.channel import StreamChannel
from scalechat.load.fleet.messages import Hello
from scalechat.load.fleet.worker import Worker
from scalechat.load.own_part import this_worker

ORDERS_S = 60.0
"""The coordinator gives them at once, unless it waits for others."""


async def main(end: socket.socket) -> int:
    """Work and end; why it could not, the coordinator has been told."""
    logging.getLogger("trio-websocket").addHandler(logging.NullHandler())
    channel = StreamChannel(trio.SocketStream(trio.socket.from_stdlib_socket(end)))
    try:
        bye = await Worker(channel).work(Hello(this_worker(0), "", {}), orders_s=ORDERS_S)
    except ScaleChatError as error:
        return error.exit_code
    return bye.exit_code


if __name__ == "__main__":
    sys.exit(trio.run(main, socket.socket(fileno=sys.stdin.fileno())))
