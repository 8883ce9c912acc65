"""A bus over Redis (one server, or a Redis Cluster): any number of nodes are one chat.

Theory of operation. Rooms are spread by name over a fixed number of *shards*. All keys of a shard share one hash tag,
so a shard lives whole on one Redis and one script changes it in one step. A shard has a *stream*, which every node
with members in it reads, and for each room its position, its log and who is there. A publish is one script call: look
the id up, count, append to log and stream, trim. A node follows by position: it remembers the last entry of each
shard it has read and asks for what comes after, so a lost connection loses nothing.

Each entry carries its number in the shard, and the numbers of a stream have no holes. Where a reader finds one (Redis
was flushed, restored, or has trimmed the stream past it) it compares each room it follows with the room's log: what
still is there is delivered, and where the log does not reach back, or is another, the room is told `LogReset`. A
shard's *generation* is part of every epoch in it; it changes when Redis may have lost something (`generation`).

The modules, in the order in which a message meets them: `bus` (the contract), `publishing` (what a message becomes),
`writer` (bounded hand-over, one batch per round trip), `link` (a connection that comes back), `lua/publish.lua`,
`reader` (the loop), `following` (what an entry means, pure). Beside them: `arriving` (what is done at each of the
`places`), `questions` (pages, who is where), `presence`, `keeping`, `keys`, `address`, `scripts`.
"""
