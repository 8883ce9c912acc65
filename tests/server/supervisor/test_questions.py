"""What processes behind one port ask each other."""

from pathlib import Path

import pytest
import trio

from scalechat.server.site import SiteError
from scalechat.server.supervisor.questions import (
    AskConnections,
    AskKick,
    AskStats,
    Kicked,
    Question,
    Readiness,
    ask,
    decode,
    listen_at,
    serve_answers,
)


async def test_a_question_is_answered_by_whoever_listens(tmp_path: Path, nursery: trio.Nursery) -> None:
    """With all that belongs to it, any number at a time."""
    asked: list[Question] = []

    async def answer(question: Question) -> bytes:
        asked.append(question)
        return b"x" * 100_000

    path = tmp_path / "one.sock"
    nursery.start_soon(serve_answers, listen_at(path), answer)
    questions: list[Question] = [AskKick("s1"), AskConnections("queue", 3), AskStats()]
    async with trio.open_nursery() as askers:
        for question in questions:
            askers.start_soon(ask, path, question, 5.0)
    assert {repr(q) for q in asked} == {repr(q) for q in questions}
    assert await ask(path, AskStats(), 5.0) == b"x" * 100_000


async def test_no_answer_is_an_error_and_not_a_wait(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Nobody there, somebody who has no answer, somebody who says nothing, something that cannot be read."""

    async def answer(question: Question) -> bytes:
        if isinstance(question, AskKick):
            raise SiteError("no worker answers")
        await trio.sleep_forever()
        raise AssertionError

    path = tmp_path / "one.sock"
    with pytest.raises(SiteError, match="one"):
        await ask(path, AskStats(), 1.0)
    nursery.start_soon(serve_answers, listen_at(path), answer)
    with pytest.raises(SiteError):
        await ask(path, AskKick("s1"), 5.0)
    with pytest.raises(SiteError):
        await ask(path, AskStats(), 0.01)
    with pytest.raises(SiteError):
        decode(b'{"why_not": 3}', Readiness)


async def test_one_that_listens_again_replaces_one_that_was_killed(tmp_path: Path, nursery: trio.Nursery) -> None:
    """The file that the killed one left is no hindrance."""

    async def answer(question: Question) -> bytes:
        return b'{"found":true}'

    path = tmp_path / "one.sock"
    await listen_at(path).aclose()
    assert path.exists()
    nursery.start_soon(serve_answers, listen_at(path), answer)
    assert decode(await ask(path, AskKick("s1"), 5.0), Kicked).found
