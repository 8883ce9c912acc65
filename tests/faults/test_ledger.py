"""The books of the fault suite find what they are kept for; a suite that cannot fail proves nothing."""

from hypothesis import given
from hypothesis import strategies as st

from .ledger import Ledger, Listener


def books(count: int) -> tuple[Ledger, Listener]:
    """`count` messages said, acknowledged and not yet heard."""
    ledger = Ledger()
    listener = ledger.listen("tea")
    for number in range(1, count + 1):
        ledger.sent(f"m{number}", "tea", at_s=number)
        ledger.acked(f"m{number}", number, at_s=number + 0.5)
    return ledger, listener


@given(st.integers(1, 20), st.data())
def test_what_one_listener_was_denied_is_lost(count: int, data: st.DataObject) -> None:
    """Lost is exactly what was acknowledged and not heard."""
    ledger, listener = books(count)
    denied = data.draw(st.sets(st.integers(1, count)))
    for number in range(1, count + 1):
        if number not in denied:
            listener.hear(f"m{number}", number, at_s=100 + number)
    account = ledger.account()
    assert (account.lost, account.told, account.heard) == (len(denied), 0, count - len(denied))
    assert account.is_clean == (not denied)


def test_a_loss_that_was_told_is_no_silent_one() -> None:
    """What was said before the listener learnt of a loss is told; what came after it is lost."""
    ledger, listener = books(3)
    listener.learn_of_loss(at_s=2.2)
    account = ledger.account()
    assert (account.told, account.lost) == (2, 1)


def test_an_unacknowledged_message_may_be_heard_or_not() -> None:
    """A send without an answer promises nothing, either way."""
    ledger, listener = books(1)
    ledger.sent("maybe", "tea", at_s=9)
    listener.hear("m1", 1, at_s=10)
    assert ledger.account().is_clean
    listener.hear("maybe", 2, at_s=11)
    assert ledger.account().is_clean
    assert ledger.account().acked == 1


def test_a_message_heard_twice_is_a_duplicate() -> None:
    ledger, listener = books(1)
    listener.hear("m1", 1, at_s=10)
    listener.hear("m1", 2, at_s=11)
    assert ledger.account().duplicated == 1


def test_positions_that_go_back_are_a_reordering() -> None:
    ledger, listener = books(2)
    listener.hear("m2", 2, at_s=10)
    listener.hear("m1", 1, at_s=11)
    assert ledger.account().reordered == 1


def test_positions_may_begin_anew_after_a_told_loss() -> None:
    """Another epoch has its own positions."""
    ledger, listener = books(1)
    listener.hear("m1", 1, at_s=10)
    listener.learn_of_loss(at_s=11)
    ledger.sent("again", "tea", at_s=12)
    ledger.acked("again", 1, at_s=13)
    listener.hear("again", 1, at_s=14)
    assert ledger.account().is_clean


def test_a_message_at_another_position_than_acknowledged_is_a_reordering() -> None:
    ledger, listener = books(1)
    listener.hear("m1", 2, at_s=10)
    assert ledger.account().reordered == 1


def test_what_nobody_said_is_a_phantom() -> None:
    """A message of another room is as strange as one that nobody said."""
    ledger, listener = books(1)
    ledger.sent("elsewhere", "bar", at_s=9)
    listener.hear("m1", 1, at_s=10)
    listener.hear("elsewhere", 2, at_s=10)
    listener.hear("never said", 3, at_s=11)
    assert ledger.account().phantom == 2


def test_recovery_ends_when_the_last_listener_hears_something_new() -> None:
    """What was said before the fault ended proves nothing, however late it comes."""
    ledger, first = books(3)
    second = ledger.listen("tea")
    first.hear("m3", 3, at_s=4.0)
    assert ledger.recovered_after_s(2.5) is None
    second.hear("m2", 2, at_s=4.5)
    assert ledger.recovered_after_s(2.5) is None
    second.hear("m3", 3, at_s=5.0)
    assert ledger.recovered_after_s(2.5) == 2.5
