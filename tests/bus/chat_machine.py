"""Clients on two nodes, and nodes that are killed: any sequence of it against a model of what they were promised.

The rest of the process is real: whole nodes, TCP, Redis. Where a killed node leaves open what became of a message, the
model leaves it open too, until the room's log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scalechat.wire.messages import Position
from tests.bus.chat import HISTORY, Chat, Person, position
from tests.bus.hosted import Hosted
from tests.rough import Said

ROOMS: Final = ("tea", "bar")  # In different shards.
PEOPLE: Final = ("ann", "bob", "cat")
BURST: Final = 2
"""Messages of one breath. What two nodes killed one after the other leave open still fits a log of `HISTORY`."""

rooms = st.sampled_from(ROOMS)
people = st.sampled_from(PEOPLE)
some = st.integers(0, 1000)
"""Which of several, by any number."""


@dataclass(slots=True, eq=False)
class Message:
    """One (client, id). `seq` None: sent, and nobody knows what became of it."""

    client: str
    room: str
    id: str
    seq: int | None = None

    @property
    def text(self) -> str:
        return f"{self.client} says {self.id}"


@dataclass(slots=True)
class Log:
    """A room's log from its beginning; `epoch` empty as long as nobody has been told it."""

    epoch: str = ""
    entries: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class Somebody:
    """A person as the model knows it. `node` None: not connected."""

    node: str | None = None
    rooms: set[str] = field(default_factory=set)
    positions: dict[str, Position] = field(default_factory=dict)
    """What it has got to, in every room it ever was in."""


class ChatMachine(RuleBasedStateMachine):
    """Subclasses name how to open the chat, its nodes, and whether logs outlive the node."""

    open_chat: Callable[[], AbstractAsyncContextManager[Chat]]
    nodes: tuple[str, ...]
    logs_outlive_nodes: bool

    def __init__(self) -> None:
        super().__init__()
        self.trio = Hosted(type(self).open_chat)
        self.running = set(self.nodes)
        self.persons: dict[str, Person] = {}
        self.somebody = {name: Somebody() for name in PEOPLE}
        self.logs = {room: Log() for room in ROOMS}
        self.open: list[Message] = []
        """Of which nobody knows what became of them."""
        self.acknowledged: list[Message] = []

    def teardown(self) -> None:
        self.trio.close()

    # --- what may happen --------------------------------------------------------------------------------------------

    @initialize()
    def everybody_comes(self) -> None:
        for number, name in enumerate(PEOPLE):
            self.connect(name, self.nodes[number % len(self.nodes)])
            for room in ROOMS:
                self.enter(name, room, since=None, history=0)

    @precondition(lambda self: self.running and self.away)
    @rule(who=some, node=some)
    def come_back(self, who: int, node: int) -> None:
        """To any node, into the rooms one was in, from where one was."""
        name = pick(self.away, who)
        somebody = self.somebody[name]
        self.connect(name, pick(self.running, node))
        rooms, somebody.rooms = sorted(somebody.rooms), set()
        for room in rooms:
            self.enter(name, room, since=somebody.positions[room], history=0)

    @precondition(lambda self: self.connected)
    @rule(who=some, room=rooms, history=st.integers(0, 2 * HISTORY), since=st.sampled_from(("", "last", "forged")))
    def join(self, who: int, room: str, history: int, since: str) -> None:
        """For the first time, or again: from the last position, or from one that never was."""
        name = pick(self.connected, who)
        last = self.somebody[name].positions[room]
        positions = {"": None, "last": last, "forged": Position("another", last.seq)}
        self.enter(name, room, since=positions[since], history=history)

    @precondition(lambda self: self.connected)
    @rule(who=some, room=rooms)
    def leave(self, who: int, room: str) -> None:
        name = pick(self.connected, who)
        if self.is_in(name, room):
            self.call(self.persons[name].ask, "leave", room=room)
            self.somebody[name].rooms.discard(room)
            self.may_begin_anew(room)

    @precondition(lambda self: self.connected)
    @rule(who=some)
    def drop_connection(self, who: int) -> None:
        name = pick(self.connected, who)
        self.trio.call(lambda _: self.persons[name].go())
        self.somebody[name].node = None
        for room in ROOMS:
            self.may_begin_anew(room)

    @precondition(lambda self: self.connected)
    @rule(room=rooms, count=st.integers(1, BURST))
    def everybody_speaks(self, room: str, count: int) -> None:
        """At the same time, through every node."""
        speakers = [name for name in PEOPLE if self.is_in(name, room)]
        said = {name: self.new_messages(name, room, count) for name in speakers}
        acks = self.trio.call(lambda _: _all_say(room, [(self.persons[n], _pairs(m)) for n, m in said.items()]))
        placed = [(acks[name][message.id], message) for name in speakers for message in said[name]]
        for seq, message in sorted(placed, key=lambda place: place[0]):
            self.place(message, seq)
        for name in speakers:
            assert sorted(acks[name].values()) == [acks[name][message.id] for message in said[name]]

    @precondition(lambda self: self.connected)
    @rule(who=some, which=some)
    def say_again(self, who: int, which: int) -> None:
        """What one has said already, acknowledged or not, through whichever node one is at now."""
        name = pick(self.connected, who)
        mine = [m for m in (*self.acknowledged, *self.open) if m.client == name and self.is_in(name, m.room)]
        if mine:
            message = mine[which % len(mine)]
            acks = self.call(self.persons[name].say, message.room, _pairs([message]))
            if message.seq is None:
                self.place(message, acks[message.id])
            assert acks[message.id] == message.seq

    @precondition(lambda self: self.connected)
    @rule(who=some, room=rooms)
    def read_log(self, who: int, room: str) -> None:
        answer = self.call(self.persons[pick(self.connected, who)].ask, "history", room=room, limit=HISTORY)
        self.check_texts(answer["messages"], self.logs[room].entries[-HISTORY:])

    @precondition(lambda self: self.running)
    @rule(which=some, room=rooms, count=st.integers(0, BURST), delay_ms=st.integers(0, 5))
    def kill_a_node(self, which: int, room: str, count: int, delay_ms: int) -> None:
        """While somebody there speaks."""
        node = pick(self.running, which)
        there = [name for name in PEOPLE if self.somebody[name].node == node]
        speaking = next((name for name in there if self.is_in(name, room)), None)
        messages = self.new_messages(speaking, room, count) if speaking is not None else []
        persons = {name: self.persons[name] for name in there}

        async def shout_and_kill(chat: Chat) -> dict[str, int]:
            if speaking is not None:
                await persons[speaking].shout(room, _pairs(messages))
            await trio.sleep(delay_ms / 1000)
            await chat.kill(node)
            acks: dict[str, int] = {}
            for person in persons.values():
                acks |= await person.last_acks()
                await person.go()
            return acks

        acks = self.trio.call(shout_and_kill)
        self.running.discard(node)
        if self.logs_outlive_nodes:
            for message in messages:
                if message.id in acks:
                    self.learn(room, acks[message.id], message.client, message.id)
                    assert message.seq == acks[message.id]
            for name in there:
                self.check_heard(name, all_of_it=False)
        else:
            self.forget_everything()
        for name in there:
            self.somebody[name].node = None
        for room in ROOMS:
            self.may_begin_anew(room)

    @precondition(lambda self: self.ended)
    @rule(which=some)
    def start_a_node(self, which: int) -> None:
        node = pick(self.ended, which)
        self.trio.call(lambda chat: chat.start(node))
        self.running.add(node)

    # --- what must be true ------------------------------------------------------------------------------------------

    @invariant()
    def promises_are_kept(self) -> None:
        """Logs hold what was acknowledged, at its place, from any node; every member has heard all of it, in order."""
        self.trio.call(lambda chat: chat.settle())  # By now Redis has done what was on its way to it, too.
        for node in sorted(self.running):
            for room in ROOMS:
                self.check_log(room, node)
        for name, somebody in self.somebody.items():
            if somebody.node is not None:
                self.call(self.persons[name].ask, "presence", room=ROOMS[0])  # Behind all that was sent before.
                self.check_heard(name, all_of_it=True)

    # --- helpers ----------------------------------------------------------------------------------------------------

    def call(self, ask: Callable[..., Any], *args: object, **fields: object) -> Any:
        return self.trio.call(lambda _: ask(*args, **fields))

    @property
    def connected(self) -> list[str]:
        return [name for name, somebody in self.somebody.items() if somebody.node is not None]

    @property
    def away(self) -> list[str]:
        return [name for name, somebody in self.somebody.items() if somebody.node is None]

    @property
    def ended(self) -> set[str]:
        return set(self.nodes) - self.running

    def is_in(self, name: str, room: str) -> bool:
        return self.somebody[name].node is not None and room in self.somebody[name].rooms

    def connect(self, name: str, node: str) -> None:
        self.persons[name] = self.trio.call(lambda chat: chat.connect(name, node))
        self.somebody[name].node = node

    def enter(self, name: str, room: str, *, since: Position | None, history: int) -> None:
        """Join, and compare what is told of the past: `recovered` exactly when the log reaches back to `since`."""
        somebody, log = self.somebody[name], self.logs[room]
        fields = {"since": position(since)} if since is not None else {}
        joined = self.call(self.persons[name].ask, "join", room=room, history=history, **fields)
        newest = len(log.entries)
        log.epoch = log.epoch or joined["epoch"]
        assert (joined["epoch"], joined["seq"]) == (log.epoch, newest)
        reaches = since is not None and since.epoch == log.epoch and newest - since.seq <= HISTORY
        assert joined["recovered"] == reaches
        if reaches and since is not None:
            self.check_texts(joined["history"], log.entries[since.seq :])
        else:
            self.check_texts(joined["history"], log.entries[-min(history, HISTORY) :] if history else [])
        somebody.rooms.add(room)
        somebody.positions[room] = Position(log.epoch, newest)

    def may_begin_anew(self, room: str) -> None:
        """Nothing was ever said in it and nobody is there: no bus need remember it."""
        if not self.logs[room].entries and not any(self.is_in(name, room) for name in PEOPLE):
            self.logs[room].epoch = ""

    def new_messages(self, name: str, room: str, count: int) -> list[Message]:
        first = len(self.acknowledged) + len(self.open)
        messages = [Message(name, room, f"{name}-{first + n}") for n in range(count)]
        self.open += messages
        return messages

    def place(self, message: Message, seq: int) -> None:
        """A message turns out to have a position."""
        log = self.logs[message.room]
        assert seq == len(log.entries) + 1, f"{message} at {seq} of {len(log.entries)}"
        message.seq = seq
        log.entries.append(message)
        self.open.remove(message)
        self.acknowledged.append(message)

    def learn(self, room: str, seq: int, client: str, id: str | None) -> None:
        """A message was seen at a position: of what was left open, it may be the first sign."""
        if seq > len(self.logs[room].entries):
            left_open = {(message.client, message.id): message for message in self.open if message.room == room}
            self.place(left_open[client, id or ""], seq)

    def check_log(self, room: str, node: str) -> None:
        page = self.trio.call(lambda chat: chat.nodes[node].running.node.bus.history(room, limit=HISTORY))
        for publication in page.publications:
            self.learn(room, publication.seq, publication.client_id, publication.id)
        entries = self.logs[room].entries
        assert page.seq == len(entries)
        kept = [(publication.seq, publication.text) for publication in page.publications]
        assert kept == [(message.seq, message.text) for message in entries[-HISTORY:]]

    def check_heard(self, name: str, *, all_of_it: bool) -> None:
        """What was heard since the last look is the room's log from the position on."""
        somebody, heard = self.somebody[name], self.persons[name].heard
        for said in heard:
            self.learn(said["room"], said["seq"], said["clientId"], said["id"])
        for room in somebody.rooms:
            last = somebody.positions[room]
            new = [said for said in heard if said["room"] == room]
            expected = self.logs[room].entries[last.seq :]
            self.check_texts(new, expected if all_of_it else expected[: len(new)])
            somebody.positions[room] = Position(last.epoch, last.seq + len(new))
        assert {said["room"] for said in heard} <= somebody.rooms
        heard.clear()

    def check_texts(self, heard: Iterable[Said], expected: Iterable[Message]) -> None:
        assert [(said["seq"], said["Message"]) for said in heard] == [(m.seq, m.text) for m in expected]

    def forget_everything(self) -> None:
        """The logs are gone, and who comes back is told."""
        self.logs = {room: Log() for room in ROOMS}
        self.open.clear()
        self.acknowledged.clear()


def pick(among: Iterable[str], which: int) -> str:
    """One of them, by any number."""
    chosen = sorted(among)
    return chosen[which % len(chosen)]


def _pairs(messages: Iterable[Message]) -> list[tuple[str, str]]:
    return [(message.id, message.text) for message in messages]


async def _all_say(room: str, speeches: list[tuple[Person, list[tuple[str, str]]]]) -> dict[str, dict[str, int]]:
    acks = {}

    async def say(person: Person, messages: list[tuple[str, str]]) -> None:
        acks[person.name] = await person.say(room, messages)

    async with trio.open_nursery() as nursery:
        for person, messages in speeches:
            nursery.start_soon(say, person, messages)
    return acks


CHAT_SETTINGS: Final = settings(
    max_examples=16,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # What depends on the moment of a kill cannot be shrunk.
)
