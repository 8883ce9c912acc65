"""What one conversation holds."""

from typing import Any

from playwright.sync_api import Page

_RUN = """
async (steps) => {
  const { Timeline } = await import("/timeline.js");
  const timeline = new Timeline();
  for (const [step, ...a] of steps) timeline[step](...a);
  const { first, last, olderThan, unread, firstUnread, pending } = timeline;
  return { first, last, olderThan, unread, firstUnread, pending, entries: timeline.slice(-Infinity, Infinity) };
}
"""


def run(page: Page, *steps: tuple[object, ...]) -> Any:
    return page.evaluate(_RUN, steps)


def message(seq: int, *, epoch: str = "e1", by: str = "bob", id: str | None = None) -> dict[str, object]:
    return {"epoch": epoch, "seq": seq, "clientId": by, "text": f"text {seq}", "ts": seq, "id": id}


def append(seq: int, **about: Any) -> tuple[object, ...]:
    unread = about.pop("unread", False)
    return "append", message(seq, **about), {"own": about.get("by") == "ada", "unread": unread}


def prepend(*seqs: int, epoch: str = "e1") -> tuple[object, ...]:
    return "prepend", {"epoch": epoch, "messages": [message(one, epoch=epoch) for one in seqs]}, "ada"


def texts(state: Any) -> list[str]:
    return [entry["text"] for entry in state["entries"]]


def test_a_pending_message_becomes_the_broadcast_one(modules: Page) -> None:
    """It keeps its key, so that a view moves the same row, and takes its place in the room's order."""
    pending = {"id": "x", "clientId": "ada", "text": "text 2", "ts": 9}
    before = run(modules, ("addPending", pending), append(1))
    after = run(modules, ("addPending", pending), append(1), append(2, by="ada", id="x"))
    assert before["pending"][0]["key"] == after["entries"][1]["key"]
    assert texts(after) == ["text 1", "text 2"]
    assert after["pending"] == []


def test_somebody_elses_message_with_the_same_id_leaves_a_pending_one_alone(modules: Page) -> None:
    """Ids are each sender's own."""
    pending = {"id": "x", "clientId": "ada", "text": "mine", "ts": 9}
    state = run(modules, ("addPending", pending), append(1, by="bob", id="x"))
    assert [one["text"] for one in state["pending"]] == ["mine"]


def test_older_messages_go_above_and_numbers_stay(modules: Page) -> None:
    """An entry's number never changes, so a view finds its place again."""
    before = run(modules, append(8), append(9))
    after = run(modules, append(8), append(9), prepend(6, 7))
    assert texts(after) == ["text 6", "text 7", "text 8", "text 9"]
    assert before["entries"] == after["entries"][2:]
    assert (before["olderThan"], after["olderThan"]) == (8, 6)


def test_history_is_asked_for_until_nothing_is_older(modules: Page) -> None:
    """An empty answer or the first position ends it; a short answer does not, it may have been cut by size."""
    assert run(modules, append(8), prepend(7))["olderThan"] == 7
    assert run(modules, append(8), prepend())["olderThan"] is None
    assert run(modules, append(2), prepend(1))["olderThan"] is None


def test_history_that_does_not_connect_is_not_asked_for_nor_taken(modules: Page) -> None:
    """Above messages of a log that is gone the new log has nothing."""
    state = run(modules, append(8), append(5, epoch="e2"), prepend(4, epoch="e2"), prepend(7))
    assert state["olderThan"] is None
    assert texts(state) == ["text 8", "text 5"]


def test_direct_messages_have_no_history(modules: Page) -> None:
    """They are delivered, not kept."""
    direct = {"clientId": "bob", "text": "psst", "ts": 1, "id": None}
    state = run(modules, ("append", direct, {"own": False}), ("append", direct, {"own": False}))
    assert state["olderThan"] is None
    assert len({entry["key"] for entry in state["entries"]}) == 2


def test_unread_counts_from_the_first_message_not_seen(modules: Page) -> None:
    """The divider stands above it until everything was read and something new came."""
    once = run(modules, append(1), append(2, unread=True), append(3, unread=True))
    assert (once["unread"], once["firstUnread"]) == (2, 2)
    twice = run(modules, append(1), append(2, unread=True), ("markRead",), append(3), append(4, unread=True))
    assert (twice["unread"], twice["firstUnread"]) == (1, 4)


def test_a_conversation_stays_bounded(modules: Page) -> None:
    """The oldest entries go, by number and by size; they can be asked for again."""
    many = modules.evaluate(
        """async () => {
          const { Timeline, MAX_ENTRIES, MAX_CHARACTERS } = await import("/timeline.js");
          const add = (timeline, seq, text) =>
            timeline.append({ epoch: "e", seq, clientId: "bob", text, ts: seq, id: null }, { own: false });
          const byNumber = new Timeline();
          for (let seq = 1; seq <= MAX_ENTRIES + 10; seq += 1) add(byNumber, seq, "x");
          const bySize = new Timeline();
          for (let seq = 1; seq <= 5; seq += 1) add(bySize, seq, "x".repeat(MAX_CHARACTERS / 4));
          const about = ({ first, last, olderThan }) => ({ first, last, olderThan });
          return [about(byNumber), about(bySize), MAX_ENTRIES];
        }"""
    )
    by_number, by_size, most = many
    assert by_number == {"first": 11, "last": most + 10, "olderThan": 11}
    assert by_size == {"first": 2, "last": 5, "olderThan": 2}
