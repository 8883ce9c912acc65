"""What a node asks Redis beside following streams: pages of logs, who is where, how far a shard is.

Every question may be asked twice, so each is asked until there is an answer or the deadline has passed.
"""

from __future__ import annotations

import secrets
from typing import cast

import trio
from coredis.exceptions import RedisError

from scalechat.bus.base import BusError, Page, RoomInfo
from scalechat.bus.redis import generation
from scalechat.bus.redis.calls import AWAY, Calls, in_plain_words
from scalechat.bus.redis.keeping import Keeping
from scalechat.bus.redis.keys import ALL_SHARDS, NOTICE_KEY, NOTICE_SLOT, Shard, shard_of
from scalechat.bus.redis.link import Command, Elsewhere, Link, LinkDown, Reply
from scalechat.bus.redis.places import Places
from scalechat.bus.redis.reader import Located
from scalechat.bus.redis.scripts import HERE, PAGE, ROOMS
from scalechat.wire.codec import decode_publication


class Questions:
    """Each raises `BusError` after `deadline_s`. It is also the `scalechat.bus.redis.reader.Log` of every reader."""

    def __init__(self, keeping: Keeping, places: Places, calls: Calls, *, deadline_s: float) -> None:
        self._keeping = keeping
        self._places = places
        self._calls = calls
        self._deadline_s = deadline_s

    async def read_page(
        self,
        room: str,
        epoch: str = "",
        seq: int = 0,
        *,
        make: bool = True,
        before: int = 0,
        limit: int | None = None,
    ) -> Located:
        """A stretch of a room's log: what comes after a position that is known, or the newest `limit` (all that is
        kept) below `before` (0: of all). `make`: a room that is not there begins."""
        shard = shard_of(room)
        keeping = self._keeping
        args = (
            secrets.token_hex(4) if make else "",
            keeping.room_s,
            keeping.history_age_s,
            before,
            keeping.history_messages if limit is None else limit,
            epoch,
            seq,
        )
        keys = (shard.meta, shard.room(room), shard.log(room))
        reply = await self._calls.ask(shard, PAGE, keys, args, self._deadline_s)
        generation, number, id, page_epoch, page_seq, payloads = cast("list[Reply]", reply)
        assert isinstance(number, int)
        assert isinstance(page_seq, int)
        assert isinstance(payloads, list)
        page = Page(_text(page_epoch), page_seq, tuple(map(decode_publication, payloads)))  # type: ignore[arg-type]
        return Located(page, _text(generation), number, _text(id).encode())

    async def read_number(self, shard: Shard) -> tuple[str, int]:
        """Generation and number of the shard's newest entry."""
        reply = cast("list[bytes | None]", await self.command(shard.slot, b"HMGET", shard.meta, b"g", b"c"))
        return (reply[0] or b"").decode(), int(reply[1] or 0)

    async def renew(self, shard: Shard, generation_known: str, number: int) -> None:
        """See `scalechat.bus.redis.generation.renew`."""
        await generation.renew(self._places.link_of(shard), shard, generation_known, number)

    async def read_last_notice(self) -> bytes:
        """Stream id of the newest notice."""
        reply = await self.command(NOTICE_SLOT, b"XREVRANGE", NOTICE_KEY, b"+", b"-", b"COUNT", 1)
        return cast("list[tuple[bytes, object]]", reply)[0][0] if reply else b"0-0"

    async def read_said(self, shard: Shard, node: bytes) -> list[str]:
        """The "room client" pairs that Redis has of a node."""
        reply = await self.command(shard.slot, b"HKEYS", shard.of(node))
        assert isinstance(reply, list)
        return [_text(field) for field in reply]

    async def presence(self, room: str) -> dict[str, int]:
        """Connections per client in the room."""
        reply = await self._ask_here(room, 1)
        assert isinstance(reply, list)
        return {_text(client): int(_text(count)) for client, count in zip(reply[::2], reply[1::2], strict=True)}

    async def population(self, room: str) -> int:
        """How many clients are in the room."""
        reply = await self._ask_here(room, 0)
        assert isinstance(reply, int)
        return reply

    async def rooms(self) -> list[RoomInfo]:
        """Every room, by name; some of each shard at a time."""
        found: dict[str, RoomInfo] = {}
        cursors = dict.fromkeys(ALL_SHARDS, b"0")
        with trio.move_on_after(self._deadline_s):
            while cursors:
                for link in {self._places.link_of(shard) for shard in cursors}:
                    shards = [shard for shard in cursors if self._places.link_of(shard) is link]
                    for shard, reply in zip(shards, await self._some_rooms(link, shards, cursors), strict=True):
                        cursor, *rows = cast("list[Reply]", reply)
                        for name, seq, clients in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                            found[_text(name)] = RoomInfo(_text(name), cast("int", seq), cast("int", clients))
                        cursors[shard] = _text(cursor).encode()
                        if cursors[shard] == b"0":
                            del cursors[shard]
            return [found[name] for name in sorted(found)]
        raise BusError(AWAY)

    async def command(self, slot: int, *command: bytes | str | int) -> Reply:
        """A plain command about a key in `slot`, which may be done twice."""
        with trio.move_on_after(self._deadline_s):
            while True:
                link = self._places.of(slot).ask
                try:
                    return await link.call(*command)
                except LinkDown:
                    await self._calls.pause()
                except Elsewhere:
                    await self._places.moved()
                    await self._calls.pause()
                except RedisError as refusal:
                    raise BusError(in_plain_words(str(refusal))) from refusal
        raise BusError(AWAY)

    async def _ask_here(self, room: str, whole: int) -> list[Reply] | int:
        shard = shard_of(room)
        keys = (*_presence_keys(shard), shard.here(room))
        return await self._calls.ask(shard, HERE, keys, (self._keeping.stream_entries, whole), self._deadline_s)

    async def _some_rooms(self, link: Link, shards: list[Shard], cursors: dict[Shard, bytes]) -> list[Reply]:
        entries = self._keeping.stream_entries
        calls: list[Command] = [
            (b"EVALSHA", ROOMS.sha, 4, *_presence_keys(shard), entries, cursors[shard], 500) for shard in shards
        ]
        while True:
            try:
                replies = await self._calls.all_once(link, calls)
            except LinkDown:
                replies = [LinkDown()]
            for reply in replies:
                if isinstance(reply, BusError):
                    raise reply
            if not any(isinstance(reply, LinkDown) for reply in replies):
                return cast("list[Reply]", replies)
            await self._calls.pause()


def _presence_keys(shard: Shard) -> tuple[bytes, bytes, bytes, bytes]:
    return shard.meta, shard.stream, shard.nodes, shard.index


def _text(reply: Reply) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()
