"""What to do about a Redis that knows none of our scripts: it has started anew, and may have lost something.

A script is only loaded after this look, so no message gets a place in a log that is older than what somebody was told,
under the same epoch. When Redis says that it writes every change to disk before it answers (``appendfsync always``) and
was never a replica, its word is taken unless we know of a newer entry. In every other case all its shards get a new
generation: clients that resume are told ``recovered: false``, which may be more than was needed and never too little.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from coredis.exceptions import RedisError

from scalechat.bus.redis.keys import Shard
from scalechat.bus.redis.link import Link, Reply
from scalechat.bus.redis.scripts import LOADED, RENEW

_NEVER_REPLICA = b"0" * 40


async def begin(link: Link, shards: Iterable[tuple[Shard, str, int]]) -> None:
    """Look at each shard (with the generation and number known of it) and load the scripts. Raises `LinkDown`…"""
    forced = not await _keeps_everything(link)
    for shard, generation, number in shards:
        await renew(link, shard, generation, number, forced=forced)
    for script in LOADED:
        await link.call(b"SCRIPT", b"LOAD", script.text)


async def renew(link: Link, shard: Shard, generation: str, number: int, *, forced: bool = False) -> None:
    """Give the shard a new generation if it has fewer than `number` entries of `generation`, or if `forced`."""
    args = (secrets.token_hex(4), generation, number, int(forced))
    await link.call(b"EVAL", RENEW.text, 2, shard.meta, shard.stream, *args)


async def _keeps_everything(link: Link) -> bool:
    try:
        fsync = _pairs(await link.call(b"CONFIG", b"GET", b"append*"))
        replication = await link.call(b"INFO", b"replication")
    except RedisError:  # A managed Redis may not tell.
        return False
    info = replication if isinstance(replication, bytes) else b""
    always = fsync.get(b"appendonly") == b"yes" and fsync.get(b"appendfsync") == b"always"
    return always and b"master_replid2:" + _NEVER_REPLICA in info


def _pairs(reply: Reply) -> dict[bytes, Reply]:
    if isinstance(reply, dict):
        return reply
    assert isinstance(reply, list)
    return dict(zip(reply[::2], reply[1::2], strict=True))  # type: ignore[arg-type]
