"""A person at the terminal: what is typed becomes requests, what happens becomes lines.

screen    the prompt, in its thread (``screen.py``)
listener  events → lines, in batches, so that a flood costs a redraw a batch and not a message
worker    typed lines → requests, one after the other in the order typed
"""

import math

import trio

from scalechat.client.chat import ChatClient, open_chat
from scalechat.client.commands import (
    Command,
    Help,
    History,
    Join,
    Known,
    Leave,
    Mistake,
    Quit,
    Say,
    Tell,
    Who,
    parse,
)
from scalechat.client.dial import trusting
from scalechat.client.errors import ChatEnded, RequestRefused
from scalechat.client.events import Disconnected, Event, Joined, LeftBehind, Reconnected
from scalechat.client.screen import MAX_LINES_AHEAD, Screen, Status
from scalechat.client.transcript import Transcript, local_now
from scalechat.client.wrap import Line
from scalechat.config import ChatConfig
from scalechat.wire.codec import EncodeError
from scalechat.wire.messages import PresenceEvent

#: Pause between two batches of lines: a terminal shows nothing faster, and a batch forms meanwhile.
_BATCH_PAUSE_S = 0.03
_BATCH_EVENTS = 200
#: What was typed just before leaving still goes out, when the server answers this fast.
_LAST_WORDS_S = 1.0


async def talk(config: ChatConfig, client_id: str | None, screen: Screen) -> int:
    """Chat until the user leaves; returns how many typed lines were not sent.

    Raises `CannotConnect` before the screen is touched, `ChatEnded` when the server ended it for good.
    """
    async with open_chat(
        config.server_url,
        client_id=client_id,
        room=config.room,
        token=config.token,
        connect=trusting(config.ca_file),
        history=config.history,
        answer_deadline_s=math.inf,  # a person sees that it waits, and can leave
    ) as chat:
        session = _Session(chat, screen)
        await session.run()
    if session.over is not None:
        raise session.over
    return session.unsent


class _Session:
    """The state of one sitting: current room, who is where, what waits."""

    def __init__(self, chat: ChatClient, screen: Screen) -> None:
        self.over: ChatEnded | None = None
        self._chat = chat
        self._screen = screen
        self._room = chat.room
        self._people: dict[str, set[str]] = {}
        self._trouble = ""
        self._working = False
        self._all_done = trio.Event()
        self._showing = trio.Lock()
        self._transcript = Transcript(now=local_now, own_name=chat.client_id, current_room=self._room)
        self._todo, self._work = trio.open_memory_channel[Command](MAX_LINES_AHEAD)

    @property
    def unsent(self) -> int:
        """Typed lines that still wait for the server."""
        return self._todo.statistics().current_buffer_used + self._working

    async def run(self) -> None:
        """Serve the person until one of us leaves or the chat is over."""
        async with trio.open_nursery() as self._nursery:
            nursery = self._nursery
            self._refresh()
            await nursery.start(self._screen.run)
            nursery.start_soon(self._listen, nursery)
            nursery.start_soon(self._do_in_order)
            async for line in self._screen.lines:
                if not await self._take(line):
                    break
            self._todo.close()
            with trio.move_on_after(_LAST_WORDS_S if self._chat.is_connected else 0):
                await self._all_done.wait()
            nursery.cancel_scope.cancel()

    # ---- what happens ----------------------------------------------------------------------

    async def _listen(self, nursery: trio.Nursery) -> None:
        try:
            async for event in self._chat:
                await self._show([], event)
                await trio.sleep(_BATCH_PAUSE_S)
        except ChatEnded as over:
            self.over = over
        nursery.cancel_scope.cancel()

    async def _show(self, lines: list[Line], *first: Event) -> None:
        """Show `first` and every event that is here already, then `lines`: an answer follows what came before it."""
        async with self._showing:
            batch = list(first)
            while len(batch) < _BATCH_EVENTS and (event := self._chat.next_nowait()) is not None:
                batch.append(event)
            for event in batch:
                self._note(event)
            self._refresh()
            await self._screen.show(self._transcript.lines(batch) + lines)

    def _note(self, event: Event) -> None:
        match event:
            case Joined(room=room, resumed=resumed):
                if not resumed:
                    self._turn_to(room)
                self._nursery.start_soon(self._learn_people, room)
            case LeftBehind(room=room):
                self._gone_from(room)
            case PresenceEvent(room=room, client_id=name, event=what):
                people = self._people.setdefault(room, set())
                if what == "join":
                    people.add(name)
                else:
                    people.discard(name)
            case Disconnected(attempt=attempt):
                again = f", attempt {attempt}" if attempt else ""
                self._trouble = f"not connected{again}"
            case Reconnected():
                self._trouble = ""

    async def _learn_people(self, room: str) -> None:
        try:
            presence = await self._chat.presence(room)
        except (RequestRefused, ChatEnded):
            return  # left again meanwhile; the events still count
        self._people[room] = {member.client_id for member in presence.members}
        self._refresh()

    # ---- what is typed ---------------------------------------------------------------------

    async def _take(self, line: str) -> bool:
        """Do what needs no server and hand on the rest; False to leave."""
        command = parse(line)
        match command:
            case None:
                pass
            case Quit():
                return False
            case Help():
                await self._show(self._transcript.help())
            case Mistake(advice):
                await self._show([self._transcript.error(advice)])
            case Join(room) if room in self._chat.rooms:
                self._turn_to(room)
                await self._show([self._transcript.notice(f"what you say now goes to {room}")])
            case _:
                try:
                    self._todo.send_nowait(command)
                except trio.WouldBlock:
                    text = f"{MAX_LINES_AHEAD} lines wait for the server already; this one was not taken"
                    await self._show([self._transcript.error(text)])
        self._refresh()
        return True

    async def _do_in_order(self) -> None:
        async for command in self._work:
            self._working = True
            self._refresh()
            try:
                await self._show(await self._do(command))
            except (RequestRefused, EncodeError) as refused:
                await self._show([self._transcript.error(str(refused))])
            except ChatEnded:
                return  # the listener says so
            self._working = False
            self._refresh()
        self._all_done.set()

    async def _do(self, command: Command) -> list[Line]:
        match command:
            case Say(text):
                await self._chat.send(text, room=self._here())
            case Tell(to, text):
                await self._chat.direct(to, text)
                return self._told(to, text)
            case Join(room):
                # The listener shows the event and the past; the next line typed must go there already.
                self._turn_to((await self._chat.join(room, history=20)).room)
            case Leave(room):
                left = room or self._here()
                await self._chat.leave(left)
                await self._show([])  # what was said there until now, as said there
                self._gone_from(left)
                return [self._transcript.notice(f"you left {left}" + (f", now in {self._room}" if self._room else ""))]
            case Who():
                presence = await self._chat.presence(self._here())
                self._people[presence.room] = {member.client_id for member in presence.members}
                return self._transcript.who(presence)
            case History(limit):
                return self._transcript.past(await self._chat.history(self._here(), limit=limit))
            case Help() | Quit() | Mistake():
                return []  # done where they were typed
        return []

    def _told(self, to: str, text: str) -> list[Line]:
        lines = self._transcript.private(self._chat.client_id, to, text)
        if not any(to in people for people in self._people.values()):
            # Private messages are not kept: without a connection of theirs nobody has seen it.
            lines.append(self._transcript.notice(f"nobody named {to} is in your rooms, so perhaps nobody saw that"))
        return lines

    # ---- rooms and status ------------------------------------------------------------------

    def _here(self) -> str:
        if self._room is None:
            raise RequestRefused("not_a_member", "you are in no room; /join one")
        return self._room

    def _turn_to(self, room: str) -> None:
        self._room = self._transcript.current_room = room

    def _gone_from(self, room: str) -> None:
        self._people.pop(room, None)
        if room == self._room:
            self._room = self._transcript.current_room = self._chat.rooms[-1] if self._chat.rooms else None

    def _refresh(self) -> None:
        rooms = self._chat.rooms
        people = {name for room in rooms for name in self._people.get(room, ())}
        self._screen.set_status(
            Status(
                name=self._chat.client_id,
                room=self._room,
                rooms=len(rooms),
                people=len(self._people.get(self._room or "", ())),
                waiting=self.unsent if not self._chat.is_connected else 0,
                trouble=self._trouble,
                known=Known(tuple(sorted(rooms)), tuple(sorted(people - {self._chat.client_id}))),
            )
        )
