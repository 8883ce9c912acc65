"""What is said while an experiment is played: a terminal shows how it goes, a log only what stays."""

from __future__ import annotations

import io

import pyte
from rich.console import Console

from scalechat.experiment.saying import Saying


def saying_to(stream: io.StringIO, *, terminal: bool) -> Saying:
    return Saying(Console(file=stream, force_terminal=terminal, width=40, no_color=True, legacy_windows=False))


def play(saying: Saying) -> None:
    saying.title(7, "Head-of-line blocking")
    saying.line("before: await each send in turn")
    saying.now("   1 s  ramp")
    saying.now("   6 s  steady   clients 100/100  published 20/s of 20")


def shown(stream: io.StringIO) -> list[str]:
    screen = pyte.Screen(40, 4)
    pyte.Stream(screen).feed(stream.getvalue().replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display]


def test_a_log_has_only_what_stays() -> None:
    stream = io.StringIO()
    play(saying_to(stream, terminal=False))
    assert stream.getvalue() == " 7  Head-of-line blocking\n    before: await each send in turn\n"


def test_a_terminal_shows_the_newest_line_and_leaves_none_of_them() -> None:
    stream = io.StringIO()
    saying = saying_to(stream, terminal=True)
    play(saying)
    head = [" 7  Head-of-line blocking", "    before: await each send in turn"]
    assert shown(stream) == [*head, "       6 s  steady   clients 100/100  …", ""]
    saying.line("after: a bounded queue for each")
    saying.now("   1 s  ramp")
    saying.over()
    assert shown(stream) == [*head, "    after: a bounded queue for each", ""]
