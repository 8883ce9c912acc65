"""A thousand clients on `websockets` over asyncio, a task each."""

import asyncio
import contextlib
import math
import os

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.clients.account import Account

DIALS = 64


async def main(account: Account) -> None:
    """Connect, publish at the rate, count."""
    everybody = asyncio.Event()
    sockets: list[ClientConnection] = []
    dialling = asyncio.Semaphore(DIALS)

    async def client() -> None:
        async with dialling:
            ws = await connect(account.url, compression=None, ping_interval=None)
        sockets.append(ws)
        if len(sockets) == account.clients:
            everybody.set()
        with contextlib.suppress(ConnectionClosed):
            async for message in ws:
                account.take(message)
        account.lost += 1

    tasks = [asyncio.create_task(client()) for _ in range(account.clients)]
    await everybody.wait()
    account.begin()
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(math.ceil(account.rate * account.seconds)):
        await asyncio.sleep(max(0.0, start + number / account.rate - loop.time()))
        with contextlib.suppress(ConnectionClosed):
            await sockets[number % 16].send(account.message())
    await asyncio.sleep(max(0.0, start + account.seconds - loop.time()))
    account.end()
    assert tasks
    os._exit(0)  # To say goodbye to a thousand is not what is measured.


if __name__ == "__main__":
    asyncio.run(main(Account()))
