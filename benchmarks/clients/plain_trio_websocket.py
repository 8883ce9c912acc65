"""A thousand clients on trio-websocket, a task each."""

import contextlib
import math
import os

import trio
from trio_websocket import ConnectionClosed, open_websocket_url

from benchmarks.clients.account import Account

DIALS = 64


async def main(account: Account) -> None:
    """Connect, publish at the rate, count."""
    sockets = []
    everybody = trio.Event()
    dialling = trio.CapacityLimiter(DIALS)

    async def client() -> None:
        try:
            await dialling.acquire_on_behalf_of(trio.lowlevel.current_task())
            async with open_websocket_url(account.url) as ws:
                dialling.release_on_behalf_of(trio.lowlevel.current_task())
                sockets.append(ws)
                if len(sockets) == account.clients:
                    everybody.set()
                while True:
                    account.take(await ws.get_message())
        except ConnectionClosed:
            account.lost += 1

    async with trio.open_nursery() as nursery:
        for _ in range(account.clients):
            nursery.start_soon(client)
        await everybody.wait()
        account.begin()
        start = trio.current_time()
        for number in range(math.ceil(account.rate * account.seconds)):
            await trio.sleep_until(start + number / account.rate)
            with contextlib.suppress(ConnectionClosed):
                await sockets[number % 16].send_message(account.message())
        await trio.sleep_until(start + account.seconds)
        account.end()
        os._exit(0)  # To say goodbye to a thousand is not what is measured.


if __name__ == "__main__":
    trio.run(main, Account())
