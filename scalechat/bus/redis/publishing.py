"""A message on its way to its place: the job it is, and the script call that many of them are."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from scalechat.bus.redis.keeping import Keeping
from scalechat.bus.redis.keys import Shard, fingerprint, shard_of
from scalechat.bus.redis.link import Reply
from scalechat.bus.redis.scripts import PUBLISH
from scalechat.bus.redis.writer import Job
from scalechat.wire.codec import encode
from scalechat.wire.messages import Publication

_PLACE: Final = b'"seq":0,"ts":0'
"""Where position and time go: JSON escapes quotes within strings, so these bytes occur once."""


def publish_job(room: str, client_id: str, text: str, id: str | None) -> Job:
    """The job of giving a message its place. Its answer is the position, below 0 when it had one already."""
    shard = shard_of(room)
    said = encode(Publication(client_id=client_id, text=text, room=room, seq=0, ts_unix_ms=0, id=id))
    head, _, tail = said.partition(_PLACE)
    # Without an id nobody else will repeat it, but we may, when the answer is lost.
    mark = secrets.token_bytes(12) if id is None else fingerprint(room, client_id, id)
    return Job(shard, (shard.room(room), shard.log(room)), (room, mark, head, tail), len(said) + 200)


class Publishing:
    """`scalechat.bus.redis.writer.Work` for messages. `know` is told of each shard's newest entry."""

    script = PUBLISH

    def __init__(self, keeping: Keeping, know: Callable[[Shard, str, int], None]) -> None:
        self._keeping = keeping
        self._know = know

    def frame(self, shard: Shard) -> tuple[Sequence[bytes], Sequence[bytes | str | int]]:
        keeping = self._keeping
        return (shard.meta, shard.stream, shard.index, *shard.ids), (
            secrets.token_hex(4),
            keeping.history_messages,
            keeping.history_age_s,
            keeping.dedupe_s,
            keeping.room_s,
            keeping.stream_entries,
            keeping.stream_age_s,
        )

    def note(self, shard: Shard, jobs: Sequence[Job], reply: Sequence[Reply] | int) -> None:
        assert isinstance(reply, list)
        generation, number, *positions = reply
        assert isinstance(generation, bytes)
        assert isinstance(number, int)
        self._know(shard, generation.decode(), number)
        for job, position in zip(jobs, positions, strict=True):
            assert isinstance(position, int)
            job.answer = position
