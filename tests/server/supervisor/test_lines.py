"""How supervisor and worker talk."""

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_one_way_pair

from scalechat.server.supervisor.lines import LINE_BYTES, Lines


@given(st.lists(st.integers(1, 7), max_size=10))
def test_lines_arrive_whole_however_they_are_cut(cuts: list[int]) -> None:
    """And what is no whole line at the end is nothing: its writer was killed."""

    async def main() -> None:
        ours, theirs = memory_stream_one_way_pair()
        data = b"ready\nquiet\n\nhalf"
        for cut in cuts:
            await ours.send_all(data[:cut])
            data = data[cut:]
        await ours.send_all(data)
        await ours.aclose()
        lines = Lines(theirs)
        assert [await lines.next() for _ in range(4)] == ["ready", "quiet", "", None]

    trio.run(main)


async def test_a_line_without_end_is_the_end() -> None:
    """A broken process does not fill our memory."""
    ours, theirs = memory_stream_one_way_pair()
    await ours.send_all(b"x" * (LINE_BYTES + 1))
    assert await Lines(theirs).next() is None
