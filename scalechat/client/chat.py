"""A chat that stays: connects, reconnects, resumes, and shows each message exactly once.

    async with open_chat("ws://localhost:8080/ws", client_id="alice") as chat:
        await chat.send("hello")
        async for event in chat:
            ...

All tasks run inside the context manager's nursery (see ``keeper.py``). Callers never touch the
socket, so a cancelled `send` cannot leave half a frame on the wire. Errors: ``errors.py``.
"""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from typing import TypeVar

import trio

from scalechat.client.conversation import Answer, Conversation, Past, Reply, Surface
from scalechat.client.dial import Connect, connect_tcp, parse_address
from scalechat.client.errors import ChatEnded, ChatError, NoAnswer, RequestRefused
from scalechat.client.events import Event, Joined
from scalechat.client.keeper import MAX_PENDING, Caller, Keeper
from scalechat.client.reconnect import Backoff, BackoffPolicy
from scalechat.wire.messages import (
    DEFAULT_ROOM,
    Ack,
    BadMessage,
    Command,
    Join,
    Leave,
    Left,
    Limits,
    Presence,
    Publication,
    Publish,
    ReadHistory,
    ReadPresence,
    SendDirect,
    parse_name,
)

#: Events that wait for whoever iterates: as many as the server keeps frames for a slow client.
#: When full the connection is no longer read, so a slow reader is slow to the server as well,
#: which ends it in its own way; the resume then brings what was missed.
MAX_EVENTS = 1_024
#: How long a request may take, reconnects included, unless the caller says otherwise.
ANSWER_DEADLINE_S = 30.0

_A = TypeVar("_A", bound=Answer)


@asynccontextmanager
async def open_chat(
    url: str,
    *,
    client_id: str | None = None,
    room: str | None = DEFAULT_ROOM,
    token: str | None = None,
    history: int = 0,
    answer_deadline_s: float = ANSWER_DEADLINE_S,
    backoff: BackoffPolicy | None = None,
    random: Random | None = None,
    connect: Connect = connect_tcp,
) -> AsyncGenerator["ChatClient", None]:
    """Connect to `url`, enter `room` and stay connected until the block ends.

    Args:
      url: ``ws://host:port/ws`` or ``wss://…``.
      client_id: the name to speak under; without one the server decides, or the token does.
      room: the first room, and where `ChatClient.send` goes by default; ``None`` enters none.
      token: a JWT, when the server wants one.
      history: messages from before to hand over with the `Joined` event.
      answer_deadline_s: bound of every request, reconnects included; ``math.inf`` for none.
      backoff, random: how long to wait before coming back.
      connect: opens the stream; for tunnels and tests.

    Resource handling: everything runs in a nursery of this block and has ended when the block is
    left: politely (a second at most), or at once when it is cancelled.

    Error handling: the first connection is tried once and raises `CannotConnect`, or
    `RequestRefused` when `room` may not be entered. Later losses repair themselves and show as
    events, unless the server says that coming back is no use: then whatever waits or iterates
    gets `ChatEnded`.
    """
    first_room = None if room is None else _name(room, "room")
    caller = Caller(
        parse_address(url),
        None if client_id is None else _name(client_id, "name"),
        token,
        connect,
    )
    client = ChatClient(caller, first_room, answer_deadline_s, Backoff(random or SystemRandom(), backoff))
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        # None of our tasks raises once connected, yet an exception of the block would leave the
        # nursery inside a group. It is carried around instead.
        try:
            await nursery.start(client._run)
            if first_room is not None:
                await client.join(first_room, history=history)
            yield client
        except BaseException as exc:  # noqa: BLE001  # raised again below, Cancelled included
            failure = exc
        client._keeper.leave()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # a frame must not keep its own traceback


class ChatClient:
    """A chat as its user sees it; made by `open_chat`.

    Iterate over it for `Event` values, in one task at a time. Requests may come from several
    tasks; they raise `NoAnswer`, `RequestRefused` or `ChatEnded`. Cancelling a request stops the
    waiting, not the message: that may have left already.
    """

    def __init__(self, caller: Caller, room: str | None, answer_deadline_s: float, backoff: Backoff) -> None:
        self.room = room
        self._answer_deadline_s = answer_deadline_s
        self._conversation = Conversation(secrets.token_hex(6))
        self._keeper = Keeper(caller, self._conversation, backoff, self._deliver)
        self._over: ChatEnded | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._slots = trio.Semaphore(MAX_PENDING)
        self._events_in, self._events_out = trio.open_memory_channel[Event](MAX_EVENTS)

    def __repr__(self) -> str:
        return f"<ChatClient {self.client_id!r} {self._conversation!r}>"

    @property
    def client_id(self) -> str:
        """The name we speak under, vouched for by the server."""
        return self._keeper.client_id or ""

    @property
    def limits(self) -> Limits:
        """What the server takes from one connection."""
        return self._keeper.limits

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms we are in, in the order joined."""
        return self._conversation.rooms

    @property
    def is_connected(self) -> bool:
        """Whether a connection is up at this moment."""
        return self._keeper.is_connected

    # ---- asking ----------------------------------------------------------------------------

    async def send(self, text: str, *, room: str | None = None) -> int:
        """Say `text` in `room` and return its position in the room's log once it is kept."""
        target = self._member_of(room)
        ack = await self._ask(lambda id: Publish(text, target, None, id), Ack)
        if ack.seq is None:
            raise RequestRefused("bad_answer", "the server acknowledged without a position")
        return ack.seq

    async def direct(self, to: str, text: str) -> None:
        """Say `text` to all connections of the client named `to`."""
        name = _name(to, "name")
        await self._ask(lambda id: SendDirect(name, text, id), Ack)

    async def join(self, room: str, *, history: int = 0, presence: bool = True) -> Joined:
        """Enter `room`; `presence` asks for events about who comes and goes.

        Up to `history` messages from before come with the answer. The same `Joined` is an event
        as well, so that an iterator sees it before the room's first message.
        """
        name = _name(room, "room")
        if name in self.rooms:
            raise RequestRefused("already_a_member", f"you are in {name} already")
        return await self._ask(lambda id: Join(name, None, history, presence, id), Joined)

    async def leave(self, room: str | None = None) -> None:
        """Leave `room`; its messages end with the answer."""
        name = self._member_of(room)
        await self._ask(lambda id: Leave(name, id), Left)

    async def history(
        self, room: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> tuple[Publication, ...]:
        """Return the last `limit` messages of `room`, those before position `before` if given."""
        name = self._member_of(None) if room is None else _name(room, "room")
        past = await self._ask(lambda id: ReadHistory(name, before, limit, id), Past)
        return past.messages

    async def presence(self, room: str | None = None) -> Presence:
        """Return who is in `room`."""
        name = self._member_of(None) if room is None else _name(room, "room")
        return await self._ask(lambda id: ReadPresence(name, id), Presence)

    def _member_of(self, room: str | None) -> str:
        # Checked here too, because the server ends connections that are wrong again and again.
        name = self.room if room is None else _name(room, "room")
        if name is None or name not in self.rooms:
            raise RequestRefused("not_a_member", f"you are not in {name or 'any room'}")
        return name

    async def _ask(self, make: Callable[[str], Command], kind: type[_A]) -> _A:
        async with self._slots:
            if self._over is not None:
                raise self._over
            id, frame = self._conversation.begin(make)
            waiting = self._waiting[id] = _Waiting()
            try:
                most_bytes = self.limits.message_size_bytes
                if 0 < most_bytes < len(frame):
                    detail = f"too long: {len(frame)} bytes, and the server takes {most_bytes}"
                    raise RequestRefused("too_large", detail)
                with trio.move_on_after(self._answer_deadline_s):
                    await self._keeper.submit(id, frame)
                    await waiting.done.wait()
            finally:
                del self._waiting[id]
                self._conversation.forget(id)
        if waiting.result is None:
            raise NoAnswer(f"no answer from the server within {self._answer_deadline_s:g} s")
        if isinstance(waiting.result, ChatError):
            raise waiting.result
        if not isinstance(waiting.result, kind):
            raise RequestRefused("bad_answer", "the server gave an answer of another kind")
        return waiting.result

    # ---- listening -------------------------------------------------------------------------

    def __aiter__(self) -> "ChatClient":
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._events_out.receive()
        except trio.EndOfChannel:
            if self._keeper.over is not None:
                raise self._keeper.over from None
            raise StopAsyncIteration from None

    def next_nowait(self) -> Event | None:
        """Return the next event if one is here already."""
        try:
            return self._events_out.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            return None

    async def _deliver(self, outcome: Surface | Reply) -> None:
        match outcome:
            case Surface(event):
                await self._events_in.send(event)
            case Reply(id, result):
                if id in self._waiting:
                    self._waiting[id].finish(result)

    async def _run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        async with self._events_in:
            try:
                await self._keeper.run(task_status=task_status)
            finally:
                self._over = self._keeper.over or ChatEnded("the chat was left")
                for waiting in self._waiting.values():
                    waiting.finish(self._over)


class _Waiting:
    """One caller waiting for its answer."""

    __slots__ = ("done", "result")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.result: Answer | ChatError | None = None

    def finish(self, result: Answer | ChatError) -> None:
        if self.result is None:
            self.result = result
            self.done.set()


def _name(text: str, what: str) -> str:
    try:
        return parse_name(text, what)
    except BadMessage as bad:
        raise RequestRefused(bad.code, bad.detail) from None
