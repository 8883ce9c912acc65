"""Messages that wait for an acknowledgement."""

from typing import Any

from playwright.sync_api import Page

_RUN = """
async (steps) => {
  const { Outbox } = await import("/outbox.js");
  const outbox = new Outbox(() => 0.5);
  const closed = new Set();
  const refused = [];
  const said = [];
  for (const [step, ...a] of steps) {
    if (step === "add") outbox.add({ id: a[0] }, a[1], { resolve() {}, reject() {} });
    if (step === "connected") outbox.connected(...a);
    if (step === "lost") outbox.lost();
    if (step === "ack") outbox.take(a[0]);
    if (step === "repeat") outbox.repeat(...a);
    if (step === "close") closed.add(a[0]);
    if (step === "open") closed.delete(a[0]);
    if (step === "due") {
      const { frames, givenUp, waitMs } = outbox.due(a[0], (room) => !closed.has(room));
      const ids = (entries) => entries.map(({ id, frame }) => id ?? frame.id);
      said.push({ sent: ids(frames), given_up: ids(givenUp), wait_ms: waitMs === Infinity ? null : waitMs });
    }
  }
  return said;
}
"""


def run(page: Page, *steps: tuple[object, ...]) -> list[Any]:
    """What `due` answered, each time it was asked."""
    answers: list[Any] = page.evaluate(_RUN, steps)
    return answers


def test_a_message_is_sent_once_per_connection_until_acknowledged(modules: Page) -> None:
    """A lost connection makes it due again, an acknowledgement never."""
    first, at_once, after_loss, acknowledged = run(
        modules,
        ("add", "a", "lab"),
        ("due", 0),
        ("due", 1),
        ("lost",),
        ("due", 2),
        ("lost",),
        ("ack", "a"),
        ("due", 3),
    )
    assert [answer["sent"] for answer in (first, at_once, after_loss, acknowledged)] == [["a"], [], ["a"], []]


def test_messages_wait_for_their_own_room_only(modules: Page) -> None:
    """A room that is not resumed yet holds back its messages, in order, and nobody else's."""
    before, after = run(
        modules,
        ("close", "lab"),
        ("add", "a", "lab"),
        ("add", "b", None),
        ("add", "c", "lab"),
        ("add", "d", "tea"),
        ("due", 0),
        ("open", "lab"),
        ("due", 1),
    )
    assert before["sent"] == ["b", "d"]
    assert after["sent"] == ["a", "c"]


def test_sending_stays_below_the_servers_rate(modules: Page) -> None:
    """At 10 messages/s eight go at once, and then one each 125 ms: what waited out an outage is not cut off."""
    steps: list[tuple[object, ...]] = [("connected", 10, 0)]
    steps += [("add", f"m{k}", None) for k in range(10)]
    burst, next_one, last_one, nothing = run(modules, *steps, ("due", 0), ("due", 125), ("due", 250), ("due", 9999))
    assert (len(burst["sent"]), burst["wait_ms"]) == (8, 125)
    assert (next_one["sent"], next_one["wait_ms"]) == (["m8"], 125)
    assert (last_one["sent"], last_one["wait_ms"]) == (["m9"], None)
    assert nothing["sent"] == []


def test_what_the_server_had_no_room_for_goes_again_later(modules: Page) -> None:
    """Waits double: 1 s, then 2 s (at half of the jitter)."""
    first, early, again, later = run(
        modules,
        ("add", "a", None),
        ("due", 0),
        ("repeat", "a", 0),
        ("due", 999),
        ("due", 1000),
        ("repeat", "a", 1000),
        ("due", 1001),
    )
    assert first["sent"] == ["a"]
    assert (early["sent"], early["wait_ms"]) == ([], 1)
    assert again["sent"] == ["a"]
    assert (later["sent"], later["wait_ms"]) == ([], 1999)


def test_a_message_that_was_there_whenever_the_connection_broke_is_given_up(modules: Page) -> None:
    """After five tries it is likelier the cause than a victim."""
    steps: list[tuple[object, ...]] = [("add", "a", None)]
    for k in range(6):
        steps += [("due", k), ("lost",)]
    *tries, last = run(modules, *steps)
    assert [one["sent"] for one in tries] == [["a"]] * 5
    assert (last["sent"], last["given_up"]) == ([], ["a"])
