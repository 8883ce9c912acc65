"""The roll against the plainest one: for every message the set of those who are owed it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scalechat.config import LoadConfig
from scalechat.load.ledger import RecipientLedger
from scalechat.load.plan import Plan, Share
from scalechat.load.roll import Roll
from scalechat.load.sendings import Sendings
from scalechat.load.stays import Until

CLIENTS = 6


def roll_of(rooms: int, share: Share | None = None) -> tuple[Plan, Roll]:
    plan = Plan.of(LoadConfig(clients=CLIENTS, rooms=rooms), 1, share or Share())
    return plan, Roll(plan)


class Rooms(RuleBasedStateMachine):
    """Clients come and are lost, publish and are refused; whoever was there when a message was sent is owed it."""

    @initialize(rooms=st.integers(1, 3))
    def begin(self, rooms: int) -> None:
        self.plan, self.roll = roll_of(rooms)
        self.there: dict[int, RecipientLedger] = {}
        self.gone: list[tuple[int, RecipientLedger]] = []
        self.owed: dict[tuple[int, int], set[RecipientLedger]] = {}
        self.got: dict[RecipientLedger, int] = {}

    @rule(client=st.integers(0, CLIENTS - 1))
    def join(self, client: int) -> None:
        if client not in self.there:
            self.there[client] = self.roll.join(client, late=True)

    @rule(client=st.integers(0, CLIENTS - 1))
    def be_lost(self, client: int) -> None:
        if client in self.there:
            ledger = self.there.pop(client)
            self.roll.leave(client, ledger)
            self.gone.append((client, ledger))

    @rule(client=st.integers(0, CLIENTS - 1), reached=st.lists(st.booleans(), min_size=CLIENTS, max_size=CLIENTS))
    def publish(self, client: int, reached: list[bool]) -> None:
        room, slot = self.plan.room_of(client), self.plan.slot_of(client)
        number = self.roll.next_number(client)
        self.roll.published_by[room][slot] += 1
        due = {ledger for member, ledger in self.there.items() if self.plan.room_of(member) == room}
        self.owed[client, number] = due
        for member, ledger in self.there.items():
            if ledger in due and reached[member]:
                ledger.admit([(slot, number)])
                self.got[ledger] = self.got.get(ledger, 0) + 1

    @rule(client=st.integers(0, CLIENTS - 1))
    def publish_and_be_refused(self, client: int) -> None:
        """Nobody joins in between: that is a test of its own."""
        room, slot = self.plan.room_of(client), self.plan.slot_of(client)
        number = self.roll.next_number(client)
        self.roll.published_by[room][slot] += 1
        self.roll.excuse(client, number)

    @invariant()
    def everybody_is_owed_what_was_sent_while_they_were_there(self) -> None:
        if not hasattr(self, "roll"):
            return
        everybody = [*self.there.items(), *self.gone]
        for client, ledger in everybody:
            due = sum(ledger in members for members in self.owed.values())
            assert self.roll.missed_by(client, ledger) == due - self.got.get(ledger, 0)
        assert self.roll.expected == sum(len(members) for members in self.owed.values())
        for room in range(self.plan.rooms):
            assert self.roll.members[room] == sum(self.plan.room_of(client) == room for client in self.there)

    @precondition(lambda self: hasattr(self, "roll"))
    @rule()
    def all_leave(self) -> None:
        for client in list(self.there):
            self.be_lost(client)


TestRooms = Rooms.TestCase


@given(st.lists(st.sampled_from(["publish", "answer", "join", "lose"]), max_size=25))
def test_a_refusal_that_comes_late_takes_the_message_from_whoever_was_promised_it(steps: list[str]) -> None:
    """Not from members that came after it was sent: nobody ever promised it to them."""
    plan, roll = roll_of(1)
    waiting: list[int] = []
    due: dict[int, set[RecipientLedger]] = {}
    there: dict[int, RecipientLedger] = {}
    everybody: list[tuple[int, RecipientLedger]] = []
    for step in steps:
        match step:
            case "publish":
                number = roll.next_number(0)
                roll.published_by[0][plan.slot_of(0)] += 1
                due[number] = set(there.values())
                waiting.append(number)
            case "answer" if waiting:
                number = waiting.pop(0)
                roll.excuse(0, number)
                due[number] = set()
            case "join" if len(there) < CLIENTS:
                client = next(client for client in range(CLIENTS) if client not in there)
                there[client] = roll.join(client, late=True)
                everybody.append((client, there[client]))
            case "lose" if there:
                client = next(iter(there))
                roll.leave(client, there.pop(client))
    for client, ledger in everybody:
        assert roll.missed_by(client, ledger) == sum(ledger in members for members in due.values())
    assert roll.expected == sum(len(members) for members in due.values())


def test_who_leaves_and_missed_nothing_is_forgotten_but_for_what_it_got() -> None:
    """Clients that come and go for hours leave nothing behind."""
    _plan, roll = roll_of(1)
    for _ in range(50):
        ledger = roll.join(0, late=True)
        roll.published_by[0][0] += 2
        ledger.admit([(0, roll.published_by[0][0] - 1)])
        roll.leave(0, ledger, until=Until(ledger.reached()))
        assert sys.getrefcount(ledger) == 2, "nobody else has it: the variable and the call are two"
    assert roll.expected == 50


@given(st.integers(1, 9), st.sets(st.integers(1, 9)), st.booleans(), st.sets(st.integers(1, 9)), st.booleans())
def test_what_is_excused_before_and_after_somebody_left_is_the_same(
    published: int, came: set[int], of_own_will: bool, excused: set[int], first: bool
) -> None:
    """An answer, or that there is none, may be known long after the member's connection is history."""
    _plan, roll = roll_of(1)
    ledger = roll.join(0, late=True)
    roll.published_by[0][0] = published
    came = {number for number in came if number <= published}
    excused = {number for number in excused if number <= published}
    ledger.admit([(0, number) for number in sorted(came)])
    for number in excused if first else ():
        roll.excuse(0, number)
    roll.leave(0, ledger, until=Until(ledger.reached()) if of_own_will else None)
    for number in () if first else excused:
        roll.excuse(0, number)
    until = max(came, default=0) if of_own_will else published
    assert roll.missed_by(0, ledger) == len(set(range(1, until + 1)) - came - excused)


def test_what_others_announce_is_owed_to_the_members_of_here() -> None:
    """A room that is dealt out over two processes: once their counts are known they are expected like ours."""
    plan, roll = roll_of(1, Share(0, 2))
    mine, others = plan.mine(), [client for client in range(CLIENTS) if not plan.is_mine(client)]
    ledgers = [roll.join(client, late=False) for client in mine]
    for client in others:
        roll.elsewhere.announce(client, 4, unowed=[2])
    assert roll.settle()
    assert roll.expected == len(ledgers) * 3 * len(others)
    assert {(publisher, first, last) for publisher, first, last, _members, _apart in roll.unseen()} == {
        (publisher, *stretch) for publisher in others for stretch in ((1, 1), (3, 4))
    }


@dataclass
class Member:
    """One of a split room, as the plainest roll would have it."""

    client: int
    ledger: RecipientLedger
    due: set[tuple[int, int]] = field(default_factory=set)
    got: set[tuple[int, int]] = field(default_factory=set)
    cut_ns: int = 0

    def reached(self, publisher: int) -> int:
        return max((number for who, number in self.got if who == publisher), default=0)

    def give_up(self) -> None:
        """It goes of its own will."""
        self.due = {(who, number) for who, number in self.due if number <= self.reached(who)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "send", "send", "join", "cut", "go", "cut for now"]),
            st.integers(0, CLIENTS - 1),
            st.sets(st.integers(0, CLIENTS - 1)),
        ),
        max_size=25,
    ),
    st.integers(-(10**6), 10**6),
    st.booleans(),
)
def test_at_the_edges_of_a_stay_members_are_owed_what_other_processes_sent_meanwhile(
    steps: list[tuple[str, int, set[int]]], shift_ns: int, told_twice: bool
) -> None:
    """Their times are told when all is over, by another clock; who was cut off and never came back left when it was."""
    plan, roll = roll_of(1, Share(0, 2))
    mine, others = plan.mine(), [client for client in range(CLIENTS) if not plan.is_mine(client)]
    roll.elsewhere.shift_ns[1] = shift_ns
    theirs, told = Sendings(), dict[int, int]()
    there: dict[int, Member] = {}
    away: list[Member] = []
    everybody: list[Member] = []
    sent: dict[tuple[int, int], int] = {}
    for now_ns, (step, pick, reached) in enumerate(steps, start=1):
        client = mine[pick % len(mine)]
        match step:
            case "send":
                publisher = others[pick % len(others)]
                theirs.add(publisher, now_ns - shift_ns)
                number = theirs.known(publisher)
                sent[publisher, number] = now_ns
                for member in (*there.values(), *away):
                    member.due.add((publisher, number))
                for member in there.values():
                    if member.client in reached:
                        slot = plan.slot_of(publisher)
                        if member.ledger.may_begin_with(slot, number):
                            member.ledger.owe_from(slot, number)
                        member.ledger.admit([(slot, number)])
                        member.got.add((publisher, number))
            case "join" if client not in there:
                there[client] = Member(client, roll.join(client, late=True, at_ns=now_ns))
                everybody.append(there[client])
            case "cut" if client in there:
                roll.leave(client, there.pop(client).ledger, at_ns=now_ns)
            case "go" if client in there:
                member = there.pop(client)
                roll.leave(client, member.ledger, at_ns=now_ns, until=Until(member.ledger.reached()))
                member.give_up()
            case "cut for now" if client in there:
                member = there.pop(client)
                member.cut_ns = now_ns
                away.append(member)
    end_ns = len(steps) + 1
    for member in away:
        until = Until(member.ledger.reached(), member.cut_ns)
        roll.leave(member.client, member.ledger, at_ns=end_ns, until=until)
        member.due = {message for message in member.due if sent[message] < member.cut_ns}
    for _ in range(1 + told_twice):
        for portion in theirs.told(told):
            roll.elsewhere.sendings.hear(portion)
        for publisher in others:
            roll.elsewhere.announce(publisher, theirs.known(publisher))
        roll.settle()
    for member in everybody:
        assert roll.missed_by(member.client, member.ledger) == len(member.due - member.got)
    assert roll.expected == sum(len(member.due) for member in everybody)
    for message, at_ns in sent.items():
        owed = sum(message in member.due for member in everybody)
        assert roll.members_owed(*message, at_ns) == (owed, 0)
    unseen = {(who, number): owed for who, low, high, owed, _apart in roll.unseen() for number in range(low, high + 1)}
    assert unseen == {message: owed for message in sent if (owed := roll.members_owed(*message, sent[message])[0])}


def test_who_came_late_is_owed_nothing_of_a_process_that_never_tells() -> None:
    """It was lost: then the first of its messages that came is the first that was owed."""
    plan, roll = roll_of(1, Share(0, 2))
    client, (publisher, *_) = plan.mine()[0], [client for client in range(CLIENTS) if not plan.is_mine(client)]
    ledger, slot = roll.join(client, late=True, at_ns=5), plan.slot_of(publisher)
    for number in (4, 6):
        assert ledger.may_begin_with(slot, number) is (number == 4)
        if number == 4:
            ledger.owe_from(slot, number)
        ledger.admit([(slot, number)])
    roll.leave(client, ledger, at_ns=9)
    roll.settle()
    assert (roll.expected, roll.missed_by(client, ledger)) == (3, 1)


def test_nobody_need_be_asked_when_members_stay_from_the_beginning_to_the_end() -> None:
    """The times of an hour's messages are told only when somebody came, went, or is away."""
    plan, roll = roll_of(1, Share(0, 2))
    client, another = plan.mine()[:2]
    ledger = roll.join(client, late=False)
    assert [roll.has_edges, roll.is_edge(ledger)] == [False, False]
    roll.be_away()
    assert [roll.has_edges, roll.is_edge(ledger)] == [True, False]
    assert roll.is_edge(roll.join(another, late=True, at_ns=3))
    whole = Roll(Plan.of(LoadConfig(clients=2, rooms=2), 1, Share(0, 2)))
    whole.leave(0, whole.join(0, late=True))
    whole.be_away()
    assert not whole.has_edges, "rooms that are whole have nobody to ask"
