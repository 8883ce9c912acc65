"""When messages were sent: what one process tells is what another one knows, and counts by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scalechat.load.sendings import PORTION, Sendings

PAUSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40)), max_size=40)


@given(PAUSES, st.sets(st.integers(0, 40)), st.lists(st.integers(0, 2**45), max_size=9))
def test_whoever_is_told_in_between_and_at_the_end_knows_it_all(
    pauses: list[tuple[int, int]], tellings: set[int], moments: list[int]
) -> None:
    """Each time once, in order, and by them how many messages had been sent before any moment."""
    ours, theirs, done = Sendings(), Sendings(), dict[int, int]()
    times: dict[int, list[int]] = {}
    now_ns = 0
    for at, (publisher, pause_ns) in enumerate(pauses):
        now_ns += pause_ns
        ours.add(publisher, now_ns)
        times.setdefault(publisher, []).append(now_ns)
        if at in tellings:
            for portion in ours.told(done):
                theirs.hear(portion)
    for portion in ours.told(done):
        theirs.hear(portion)
    assert list(ours.told(done)) == []
    for publisher, sent in times.items():
        assert theirs.known(publisher) == len(sent)
        assert [theirs.at(publisher, number) for number in range(1, len(sent) + 2)] == [*sent, None]
        assert theirs.before(publisher, moments) == [sum(at < moment for at in sent) for moment in moments]
    assert theirs.before(9, moments) == [0] * len(moments)


def test_what_is_told_at_once_is_bounded() -> None:
    """A message of 64 MB would be refused, and a channel through Redis keeps several."""
    ours, theirs, done = Sendings(), Sendings(), dict[int, int]()
    for publisher in range(3):
        for number in range(PORTION):
            ours.add(publisher, number * 3 + publisher)
    ours.add(3, 1)
    portions = list(ours.told(done))
    assert [sum(len(times) for _publisher, times in portion) for portion in portions] == [*[8 * PORTION] * 3, 8]
    for portion in portions:
        theirs.hear(portion)
    assert [theirs.at(publisher, PORTION) for publisher in range(3)] == [PORTION * 3 - 3 + k for k in range(3)]
