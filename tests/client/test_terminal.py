"""A person at a real pseudo-terminal, a real server, and whatever may happen between them."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from scalechat.client.terminal import default_name
from scalechat.wire.messages import parse_name
from tests.conftest import ServeProcess, ServerProcess, clean_environ

from .pseudo_terminal import PseudoTerminal

OpenTerminal = Callable[..., PseudoTerminal]


@pytest.fixture
def open_terminal() -> Iterator[OpenTerminal]:
    opened: list[PseudoTerminal] = []

    def start(*args: str, **env: str) -> PseudoTerminal:
        terminal = PseudoTerminal(*args, env=env)
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture(scope="module")
def server(shared_serve_process: ServeProcess) -> ServerProcess:
    """One for all to whom the others' words do not matter."""
    return shared_serve_process()


def say(url: str, name: str, text: str) -> None:
    """Somebody else says `text`."""
    subprocess.run(
        [sys.executable, "-m", "scalechat", "chat", "--server-url", url, "--name", name],
        input=text.encode(),
        check=True,
        env=clean_environ(),
        timeout=30,
    )


def test_two_people_talk_while_one_types(serve_process: ServeProcess, open_terminal: OpenTerminal) -> None:
    """What arrives scrolls above a half-typed line, which is then finished and sent whole."""
    server = serve_process()
    alice = open_terminal("--server-url", server.ws_url, "--name", "alice")
    alice.sees("you are in global, nobody else is here")
    bob = open_terminal("--server-url", server.ws_url, "--name", "bob")
    bob.sees("you are in global, 2 people here")
    alice.sees("bob came in")

    bob.types("half a sen")
    bob.sees("bob › half a sen")  # noqa: RUF001
    alice.types("are you typing?\r")
    alice.sees("alice │ are you typing?")
    bob.sees("alice │ are you typing?")
    bob.sees("bob › half a sen")  # noqa: RUF001
    bob.types("tence\r")
    alice.sees("bob │ half a sentence")

    alice.types("/who\r")
    alice.sees("in global (2): alice (you), bob")
    alice.types("/msg bob psst\r")
    alice.sees("you → bob │ psst")
    bob.sees("alice → you │ psst")
    alice.types("/jion dev\r")
    alice.sees("there is no /jion; did you mean /join?")
    alice.types("/join dev\r")
    alice.sees("you are in dev, nobody else is here")
    alice.types("alone\r")
    alice.sees("alice │ alone")
    alice.types("/leave\r")
    alice.sees("you left dev, now in global")
    alice.types("/history 1\r")
    alice.sees("bob │ half a sentence")
    alice.sees("end of the history")

    alice.types("last words\r/quit\r")
    bob.sees("alice │ last words")
    bob.sees("alice left")
    for terminal in (alice, bob):
        terminal.types("/quit\r")
        assert terminal.ends() == 0
        assert terminal.after == terminal.before


@pytest.mark.parametrize("leave", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_keys_leave_cleanly(server: ServerProcess, open_terminal: OpenTerminal, leave: str) -> None:
    """Exit code 0 and the terminal as it was."""
    terminal = open_terminal("--server-url", server.ws_url)
    terminal.sees("you are in global")
    terminal.types(leave)
    assert terminal.ends() == 0
    assert terminal.after == terminal.before
    assert "Traceback" not in terminal.raw.decode(errors="replace")


def test_a_signal_leaves_cleanly(server: ServerProcess, open_terminal: OpenTerminal) -> None:
    """SIGTERM finds the prompt in its thread and still gives the terminal back."""
    terminal = open_terminal("--server-url", server.ws_url)
    terminal.sees("you are in global")
    terminal.types("half a li")
    terminal.sees("half a li")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.ends() == 0
    assert terminal.after == terminal.before


def test_nothing_another_person_says_acts_on_the_terminal(server: ServerProcess, open_terminal: OpenTerminal) -> None:
    """Escape sequences arrive as marks to be seen."""
    terminal = open_terminal("--server-url", server.ws_url)
    terminal.sees("you are in global")
    say(server.ws_url, "mallory", "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202egnp")
    terminal.sees("mallory │ ␛]0;pwned␇␛[2J�31m�gnp")
    assert b"\x1b]0;pwned" not in terminal.raw
    assert b"\x1b[2J" not in terminal.raw


def test_a_restart_of_the_server_is_survived_and_told(serve_process: ServeProcess, open_terminal: OpenTerminal) -> None:
    """What is typed while the server is away is said when it is back, and can be seen to wait."""
    server = serve_process()
    terminal = open_terminal("--server-url", server.ws_url, "--name", "alice")
    terminal.sees("you are in global")
    assert server.stop() == 0
    terminal.sees("connection lost (draining)")
    terminal.types("anybody?\r")
    terminal.sees("1 waiting to be sent · not connected")
    serve_process("--port", str(server.port))
    terminal.sees("connected again after")
    terminal.sees("back in global")
    terminal.sees("alice │ anybody?")


def test_leaving_with_unsent_lines_says_so(serve_process: ServeProcess, open_terminal: OpenTerminal) -> None:
    """Nothing typed disappears silently."""
    server = serve_process()
    terminal = open_terminal("--server-url", server.ws_url)
    terminal.sees("you are in global")
    server.kill()
    terminal.sees("connection lost")
    terminal.types("one\rtwo\r")
    terminal.sees("2 waiting")
    terminal.types("/quit\r")
    assert terminal.ends() == 0
    terminal.sees("2 of the lines you typed not sent")


def test_an_operator_s_kick_ends_the_chat_with_one_line(
    serve_process: ServeProcess, open_terminal: OpenTerminal
) -> None:
    """The server said that coming back is no use: one line, exit 1, the terminal as it was."""
    server = serve_process("--api-key", "k" * 32)
    terminal = open_terminal("--server-url", server.ws_url, "--name", "alice")
    terminal.sees("you are in global")
    headers = {"Authorization": f"Bearer {'k' * 32}", "X-API-Key": "k" * 32}
    request = urllib.request.Request(f"{server.url}/api/connections", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        (connection,) = json.load(answer)["connections"]
    kick = urllib.request.Request(f"{server.url}/api/connections/{connection['session']}", None, headers)
    kick.method = "DELETE"
    urllib.request.urlopen(kick, timeout=10).close()
    assert terminal.ends() == 1
    terminal.sees("scalechat: error: the server ended the chat: closed by an operator")
    assert terminal.after == terminal.before


@pytest.mark.parametrize("value, coloured", [("", True), ("1", False)])
def test_no_color_is_honoured(server: ServerProcess, open_terminal: OpenTerminal, value: str, coloured: bool) -> None:
    """https://no-color.org: set and not empty means no colour; bold and the like may stay."""
    terminal = open_terminal("--server-url", server.ws_url, NO_COLOR=value)
    terminal.types("hello\r")
    terminal.sees("│ hello")
    colours = re.findall(rb"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|[34]8;[25])[;\d]*m", terminal.raw)
    assert bool(colours) == coloured


def test_a_dumb_terminal_gets_plain_lines(server: ServerProcess, open_terminal: OpenTerminal) -> None:
    """No prompt and no escape sequence: the kernel edits, lines come out, Ctrl-D ends it."""
    terminal = open_terminal("--server-url", server.ws_url, "--name", "alice", TERM="dumb")
    terminal.sees("you are in global")
    terminal.types("hello\r")
    terminal.sees("alice │ hello")
    terminal.types("\x04")
    assert terminal.ends() == 0
    assert b"\x1b" not in terminal.raw


def test_tab_completes_commands_and_people(serve_process: ServeProcess, open_terminal: OpenTerminal) -> None:
    """/m⇥ is /msg, and after it come the names of those who are here."""
    server = serve_process()
    alice = open_terminal("--server-url", server.ws_url, "--name", "alice")
    alice.sees("you are in global")
    bob = open_terminal("--server-url", server.ws_url, "--name", "bob-the-builder")
    bob.sees("2 here")
    alice.sees("bob-the-builder came in")
    alice.types("/m\t")
    alice.sees("/msg")
    alice.types(" bo\t")
    alice.sees("/msg bob-the-builder")
    alice.types(" hi\r")
    bob.sees("alice → you │ hi")


def test_a_server_that_is_not_there_is_one_line(free_port: int, open_terminal: OpenTerminal) -> None:
    """No prompt appears before there is somebody to talk to."""
    terminal = open_terminal("--server-url", f"ws://127.0.0.1:{free_port}/ws")
    assert terminal.ends() == 1
    terminal.sees("(connection refused); start a server")
    assert b"Traceback" not in terminal.raw
    assert b"\x1b[" not in terminal.raw


def test_the_name_made_up_is_valid_and_differs_each_time() -> None:
    """Two terminals of one person are two people."""
    names = {default_name() for _ in range(50)}
    assert all(parse_name(name, "name") == name for name in names)
    assert len(names) > 40
