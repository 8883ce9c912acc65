"""What a client knows of a room's log."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from tests.web.peer import Frame, publication

_FROM_PAGE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

_REPLAY = """
async (steps) => {
  const { RoomLog } = await import("/resume.js");
  const log = new RoomLog("lab");
  return steps.map(([name, frame]) => ({ ...log[name](frame), since: log.since }));
}
"""


def replay(page: Page, *steps: tuple[str, Frame]) -> list[Any]:
    """What a fresh log says to each step."""
    answers: list[Any] = page.evaluate(_REPLAY, steps)
    return answers


def joined(*seqs: int, seq: int, epoch: str = "e1", by: str = "bob", id: str | None = None) -> tuple[str, Frame]:
    history = [publication(one, by=by, id=id) for one in seqs]
    return "joined", {"epoch": epoch, "seq": seq, "recovered": False, "history": history}


def live(seq: int, *, id: str | None = None) -> tuple[str, Frame]:
    return "live", publication(seq, id=id)


def seqs(answer: Any) -> list[int]:
    return [message["seq"] for message in answer["fresh"]]


def test_a_first_join_misses_nothing_whatever_the_room_has_seen(modules: Page) -> None:
    """Who was not there has no position, and what came before is no loss."""
    [first] = replay(modules, joined(8, 9, seq=9))
    assert seqs(first) == [8, 9]
    assert (first["resumed"], first["recovered"], first["missed"]) == (False, True, 0)
    assert first["since"] == {"epoch": "e1", "seq": 9}


def test_a_join_without_history_starts_at_the_rooms_position(modules: Page) -> None:
    """The next live message connects, so there is no hole."""
    _, following = replay(modules, joined(seq=41), live(42))
    assert following["message"]["seq"] == 42
    assert following["hole"] == 0


def test_a_replay_that_overlaps_gives_each_message_once(modules: Page) -> None:
    """A server may replay more than was asked for; only what is new counts."""
    *_, again = replay(modules, joined(seq=3), live(4), live(5), joined(3, 4, 5, 6, 7, seq=7))
    assert seqs(again) == [6, 7]
    assert (again["resumed"], again["recovered"]) == (True, True)


def test_a_log_that_no_longer_reaches_back_says_how_much_is_lost(modules: Page) -> None:
    """Positions between the last one seen and the first one replayed are lost."""
    *_, again = replay(modules, joined(seq=3), joined(8, 9, seq=9))
    assert seqs(again) == [8, 9]
    assert (again["recovered"], again["missed"]) == (False, 4)


def test_an_answer_without_messages_still_tells_the_loss(modules: Page) -> None:
    """When the replay is empty, the room's position tells how much was missed."""
    *_, again = replay(modules, joined(seq=3), joined(seq=9))
    assert (again["recovered"], again["missed"], again["since"]["seq"]) == (False, 6, 9)


def test_a_log_that_began_anew_is_shown_and_its_loss_is_unknown(modules: Page) -> None:
    """After a restart the numbers start again; nobody can tell what the old log had in the end."""
    *_, again, following = replay(modules, joined(seq=30), joined(1, 2, seq=2, epoch="e2"), live(3))
    assert seqs(again) == [1, 2]
    assert (again["resumed"], again["recovered"], again["missed"]) == (True, False, None)
    assert following["message"]["seq"] == 3


def test_a_message_that_stands_in_the_old_and_the_new_log_is_shown_once(modules: Page) -> None:
    """Broadcast, not acknowledged, sent again to the restarted server: the second one is the same message."""
    *_, again = replay(modules, joined(seq=0), live(1, id="x"), joined(1, seq=1, epoch="e2", id="x"))
    assert seqs(again) == []


def test_a_sender_may_use_an_id_again_within_one_log(modules: Page) -> None:
    """Within a log the position decides; ids are the sender's own affair."""
    *_, second = replay(modules, joined(seq=0), live(1, id="x"), live(2, id="x"))
    assert second["message"]["seq"] == 2


def test_a_live_message_that_skips_positions_is_given_and_the_hole_counted(modules: Page) -> None:
    """A server that keeps its word never does it; if it does, it is not hidden."""
    *_, skipped = replay(modules, joined(seq=3), live(6))
    assert (skipped["message"]["seq"], skipped["hole"]) == (6, 2)


@_FROM_PAGE
@given(data=st.data(), sessions=st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_whatever_the_cuts_every_message_is_given_once_and_in_order(
    modules: Page, data: st.DataObject, sessions: list[int]
) -> None:
    """However often the connection breaks and however much a replay overlaps, the client shows 1, 2, 3…"""
    steps: list[tuple[str, Frame]] = [joined(seq=0)]
    shown = written = 0
    for lives in sessions:
        written += data.draw(st.integers(0, 5), "written while away")
        overlap = data.draw(st.integers(0, shown), "replayed although known")
        steps.append(joined(*range(shown - overlap + 1, written + 1), seq=written))
        steps.extend(live(seq) for seq in range(written + 1, written + lives + 1))
        shown = written = written + lives
    answers = replay(modules, *steps)
    given_out = [m["seq"] for a in answers for m in (a["fresh"] if "fresh" in a else [a["message"]])]
    assert given_out == list(range(1, written + 1))
    assert all(answer.get("recovered", True) for answer in answers)
