"""People in the rooms while parts are killed: some talk, some listen, all by the client that people use."""

from __future__ import annotations

import itertools
import random
from typing import Final

import trio

from scalechat.client.chat import open_chat
from scalechat.client.errors import NoAnswer, RequestRefused
from scalechat.client.events import Disconnected, Joined
from scalechat.client.reconnect import BackoffPolicy
from scalechat.wire.messages import Publication

from .ledger import Ledger, Listener

MARK: Final = "said-"
"""How every message begins."""
PACE_S: Final = 0.02
"""Between an answer and the next message of a talker: together they are a few hundred messages a second."""
PATIENCE: Final = BackoffPolicy(base_s=0.1, cap_s=1.0, stable_after_s=1.0)
"""A person would wait longer between two attempts; the rounds are short."""
ANSWER_S: Final = 20.0


class Crew:
    """`talkers` and `listeners` in each of `rooms`, all through `url`, until `hush` and then the end of the block."""

    def __init__(self, url: str, ledger: Ledger, chance: random.Random) -> None:
        self._url = url
        self._ledger = ledger
        self._chance = chance
        self._quiet = trio.Event()
        self._presence = trio.CancelScope()
        self._numbers = itertools.count()
        self.refused = 0
        """Sends that were answered with an error, and sends that were not answered."""

    async def run(
        self, rooms: int, talkers: int, listeners: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take the places until `leave`; started when all listen. Talking begins then."""
        with self._presence:
            async with trio.open_nursery() as nursery:
                for room in range(rooms):
                    for place in range(listeners):
                        await nursery.start(self._listen, f"room-{room}", f"listener-{room}-{place}")
                for room in range(rooms):
                    for place in range(talkers):
                        nursery.start_soon(self._talk, f"room-{room}", f"talker-{room}-{place}")
                task_status.started()

    def hush(self) -> None:
        """Nobody begins a message any more."""
        self._quiet.set()

    def leave(self) -> None:
        """Everybody goes."""
        self._presence.cancel()

    async def _listen(self, room: str, name: str, *, task_status: trio.TaskStatus[None]) -> None:
        listener = self._ledger.listen(room)
        async with open_chat(
            self._url, client_id=name, room=room, backoff=PATIENCE, random=self._chance, answer_deadline_s=ANSWER_S
        ) as chat:
            task_status.started()
            async for event in chat:
                note(listener, event, trio.current_time())

    async def _talk(self, room: str, name: str) -> None:
        async with open_chat(
            self._url, client_id=name, room=room, backoff=PATIENCE, random=self._chance, answer_deadline_s=ANSWER_S
        ) as chat:
            while not self._quiet.is_set():
                text = f"{MARK}{name}-{next(self._numbers)}"
                self._ledger.sent(text, room, trio.current_time())
                try:
                    seq = await chat.send(text)
                except (NoAnswer, RequestRefused):
                    self.refused += 1  # It may have its place or not: nobody promised anything.
                else:
                    self._ledger.acked(text, seq, trio.current_time())
                while chat.next_nowait() is not None:
                    pass
                await trio.sleep(PACE_S)


def note(listener: Listener, event: object, at_s: float) -> None:
    """Enter one event of a listener's chat into the books."""
    match event:
        case Publication(text=text, seq=seq):
            listener.hear(text, seq, at_s)
        case Joined(resumed=True, recovered=False):
            listener.learn_of_loss(at_s)
        case Disconnected(reason=reason) if "did not arrive" in reason:
            listener.holes += 1
