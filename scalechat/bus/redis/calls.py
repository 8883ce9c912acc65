"""Calling a shard's scripts, on whatever Redis has the shard."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio
from coredis.exceptions import NoScriptError, RedisError

from scalechat.bus.base import BusError
from scalechat.bus.redis.keys import Shard
from scalechat.bus.redis.link import ELSEWHERE, Command, Elsewhere, Link, LinkDown, Reply
from scalechat.bus.redis.scripts import Script

DEADLINE_S: Final = 5.0
"""How long a caller waits for a Redis that is away before it is told so: a restart or a failover fits in."""
RETRY_S: Final = 0.1
"""About this long before a call is tried again."""


class Calls:
    """`link_of` knows the connection to a shard's Redis, `renew` what to do about one that knows no scripts, `moved`
    what to do when shards are elsewhere."""

    def __init__(
        self,
        *,
        link_of: Callable[[Shard], Link],
        renew: Callable[[Link], Awaitable[None]],
        moved: Callable[[], Awaitable[None]],
    ) -> None:
        self.link_of = link_of
        self._renew = renew
        self._moved = moved

    async def once(
        self, shard: Shard, script: Script, keys: Sequence[bytes], args: Sequence[bytes | str | int]
    ) -> list[Reply] | int:
        """One attempt. Raises `LinkDown` when it is worth another, and `BusError` when it is not."""
        link = self.link_of(shard)
        try:
            answer = await link.call(b"EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:
            await self._renew(link)
            raise LinkDown from None
        except Elsewhere as elsewhere:
            await self._moved()
            raise LinkDown from elsewhere
        except RedisError as refusal:
            raise BusError(in_plain_words(str(refusal))) from refusal
        assert isinstance(answer, list | int)
        return answer

    async def all_once(
        self, link: Link, calls: Sequence[Command], lane: Link | None = None
    ) -> list[Reply | BusError | LinkDown]:
        """One attempt at several calls, over a `lane` of the caller's own if it has one.

        `LinkDown` is the answer to one that is worth another attempt. Raises `LinkDown` when that is true of all.
        """
        answers: list[Reply | BusError | LinkDown] = []
        unknown = moved = False
        for answer in await (lane or link).call_all(calls):
            if isinstance(answer, NoScriptError):
                unknown = True
                answers.append(LinkDown())
            elif isinstance(answer, ELSEWHERE):
                moved = True
                answers.append(LinkDown())
            elif isinstance(answer, RedisError):
                answers.append(BusError(in_plain_words(str(answer))))
            else:
                answers.append(answer)
        if unknown:
            await self._renew(link)
        if moved:
            await self._moved()
        return answers

    async def pause(self) -> None:
        """Between two attempts."""
        await trio.sleep(RETRY_S * random.uniform(0.5, 1.0))

    async def ask(
        self,
        shard: Shard,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[bytes | str | int],
        deadline_s: float = DEADLINE_S,
    ) -> list[Reply] | int:
        """Attempts until there is an answer. Raises `BusError` after `deadline_s`. For what may be done twice."""
        with trio.move_on_after(deadline_s):
            while True:
                with trio.move_on_after(RETRY_S):  # Meanwhile the shard may be elsewhere.
                    await self.link_of(shard).wait_up()
                try:
                    return await self.once(shard, script, keys, args)
                except LinkDown:
                    await self.pause()
        raise BusError(AWAY)


AWAY: Final = "the message store cannot be reached; try again"
FULL: Final = "too many messages wait for the message store; try again"


def in_plain_words(refusal: str) -> str:
    """A Redis error, fit for a client's eyes."""
    word = refusal.partition(" ")[0]
    if word == "OOM":
        return "the message store is full"
    if word == "MISCONF":
        return "the message store cannot write to its disk"
    return "the message store refuses it"
