"""When a fleet begins, goes on and ends, decided without a clock of its own or any I/O."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.fleet.agreement import BEGIN_IN_NS, GO_IN_NS, Agreement, Letter
from scalechat.load.fleet.messages import (
    Account,
    Asking,
    Begin,
    Clock,
    End,
    Failed,
    Forlorn,
    Go,
    Lost,
    Others,
    Ping,
    Pong,
    Ready,
    Sent,
    Standing,
)


def agreement(count: int = 3) -> Agreement:
    return Agreement(count, lambda: 1_000, lambda: 5_000)


def started(count: int = 3) -> Agreement:
    fleet = agreement(count)
    for index in range(count):
        fleet.hear(index, Standing())
    return fleet


@given(st.permutations(range(4)))
def test_nobody_goes_before_everybody_stands(order: list[int]) -> None:
    """Then all go at the same moment, which has not come yet."""
    fleet = agreement(4)
    letters = [fleet.hear(index, Standing()) for index in order]
    assert letters[:3] == [[], [], []]
    assert letters[3] == [(index, Go(1_000 + GO_IN_NS, 5_000 + GO_IN_NS)) for index in range(4)]


@given(st.permutations(range(3)), st.integers(0, 2))
def test_publishing_begins_when_everybody_that_lives_is_ready(order: list[int], lost: int) -> None:
    """The barrier opens once, however often and in whatever order they come, and does not wait for the lost."""
    fleet = started()
    letters: list[Letter] = list(fleet.lose(lost, "killed"))
    letters += itertools.chain.from_iterable(fleet.hear(index, Ready()) for index in (*order, *order) if index != lost)
    begins = [(index, message) for index, message in letters if isinstance(message, Begin)]
    living = [index for index in range(3) if index != lost]
    assert begins == [(index, Begin(1_000 + BEGIN_IN_NS)) for index in living]


def test_a_barrier_opens_when_the_last_one_missing_is_lost() -> None:
    """The others are told of it, and go on."""
    fleet = started()
    fleet.hear(0, Ready())
    fleet.hear(2, Ready())
    assert fleet.lose(1, "killed") == [
        (0, Lost(1)),
        (2, Lost(1)),
        (0, Begin(1_000 + BEGIN_IN_NS)),
        (2, Begin(1_000 + BEGIN_IN_NS)),
    ]
    assert fleet.lost == {1: "killed"}


def test_an_account_is_passed_on_to_the_others() -> None:
    """Not to its author, and not to the lost."""
    fleet = started(4)
    fleet.lose(3, "killed")
    account = Account([1, 2], [], final=True)
    assert fleet.hear(1, account) == [(0, Others(1, account)), (2, Others(1, account))]


def test_who_asks_when_messages_were_sent_asks_everybody_and_everybody_hears_the_answers() -> None:
    """So one that asks later has heard them."""
    fleet = started(4)
    fleet.lose(3, "killed")
    sent = Sent([(5, b"12345678")])
    assert fleet.hear(1, Asking()) == [(0, Asking()), (2, Asking())]
    assert fleet.hear(0, sent) == [(1, sent), (2, sent)]


def test_the_run_ends_early_when_nobody_has_a_connection_left() -> None:
    """As long as one has, it goes on."""
    fleet = started(2)
    assert fleet.hear(0, Forlorn("gone")) == []
    assert fleet.hear(1, Forlorn("gone")) == [(0, End("gone")), (1, End("gone"))]
    assert fleet.hear(1, Forlorn("gone")) == []


def test_a_worker_that_fails_is_lost_with_its_reason() -> None:
    """And the fleet is over when nobody is left to report."""
    fleet = started(2)
    fleet.hear(0, Failed("disk full", 1))
    assert (fleet.lost, fleet.is_over) == ({0: "disk full"}, False)
    fleet.lose(1, "killed")
    assert fleet.is_over


def test_a_ping_is_answered_and_a_clock_of_another_machine_is_told_to_the_others() -> None:
    """A worker that shares the coordinator's clock has nothing to tell."""
    fleet = started(2)
    assert fleet.hear(0, Ping(7, 0, 0)) == [(0, Pong(7, 1_000, 1_000))]
    assert fleet.hear(0, Ping(7, -5, 2)) == [(0, Pong(7, 1_000, 1_000)), (1, Clock(0, -5, 2))]
