"""``echo hi | python -m scalechat chat``: real processes, a real server."""

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from scalechat.client.chat import open_chat
from scalechat.client.events import Joined
from tests.conftest import ServeProcess, ServerProcess, clean_environ


@pytest.fixture(scope="module")
def server(shared_serve_process: ServeProcess) -> ServerProcess:
    """One for all who say what they say in a room of their own."""
    return shared_serve_process()


def pipe(url: str, text: bytes, *args: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "scalechat", "chat", "--server-url", url, *args],
        input=text,
        capture_output=True,
        env=clean_environ(),
        timeout=60,
        check=False,
    )


async def log_of(server: ServerProcess, room: str = "global") -> list[tuple[str, str]]:
    async with open_chat(server.ws_url, client_id="reader", room=room, history=500) as chat:
        joined = await anext(chat)
    assert isinstance(joined, Joined)
    return [(message.client_id, message.text) for message in joined.history]


async def test_every_line_is_said_in_order_and_nothing_is_printed(server: ServerProcess) -> None:
    """Blank lines are nothing to say; a missing last newline is no loss; CRLF is a line end; bytes that are no UTF-8
    are replaced."""
    done = pipe(
        server.ws_url,
        "one\n\n  \ntwo\r\n/join is text here\nü \x1b[2J\n".encode() + b"bad \xff\nlast",
        *("--name", "p", "--room", "lines"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    said = ["one", "two", "/join is text here", "ü \x1b[2J", "bad �", "last"]
    assert await log_of(server, "lines") == [("p", text) for text in said]


async def test_a_file_works_like_a_pipe(server: ServerProcess, tmp_path: Path) -> None:
    """Regular files cannot be polled; they are read all the same. The room is the one named."""
    file = tmp_path / "lines"
    file.write_text("a\nb\n")
    command = [sys.executable, "-m", "scalechat", "chat", "--server-url", server.ws_url, "--room", "dev", "--name", "f"]
    with file.open("rb") as stream:
        assert (await trio.run_process(command, stdin=stream, env=clean_environ())).returncode == 0
    assert await log_of(server, "dev") == [("f", "a"), ("f", "b")]


async def test_a_fast_writer_keeps_to_the_server_s_rate(serve_process: ServeProcess) -> None:
    """More lines than the rate allows at once: none is refused, because the client paces itself."""
    server = serve_process("--message-rate", "60")
    lines = [str(number) for number in range(150)]
    done = pipe(server.ws_url, "\n".join(lines).encode(), "--name", "p")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [text for _, text in await log_of(server)] == lines


async def test_a_line_that_is_too_long_fails_alone(server: ServerProcess) -> None:
    """The others are said; one line tells which and why; exit 1."""
    done = pipe(server.ws_url, b"before\n" + b"x" * 70_000 + b"\nafter\n", "--name", "p", "--room", "long")
    assert done.returncode == 1
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("scalechat: error: 1 line was not acknowledged; line 2: too long: 70")
    assert [text for _, text in await log_of(server, "long")] == ["before", "after"]


def test_an_empty_input_is_no_error(server: ServerProcess) -> None:
    """Nothing to say, nothing said, exit 0."""
    done = pipe(server.ws_url, b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["--name", "no spaces"], 2, "name may hold letters, digits"),
        (["--room", "../etc"], 2, "room may hold letters, digits"),
    ],
)
def test_mistakes_are_one_line(args: list[str], code: int, text: str) -> None:
    """What is wrong, and the exit code of a wrong request; nothing was connected for it."""
    done = pipe("ws://127.0.0.1:1/ws", b"hi\n", *args)
    assert done.returncode == code
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("scalechat: error: ")
    assert text in line


def test_an_unknown_host_is_one_line() -> None:
    """Surroundings, not usage: exit 1."""
    done = pipe("ws://nowhere.invalid/ws", b"hi\n")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"scalechat: error: there is no host named nowhere.invalid\n"


def test_a_missing_token_is_one_line(serve_process: ServeProcess) -> None:
    """401 before the upgrade becomes a sentence that names the flag."""
    server = serve_process("--token-secret", "s" * 32)
    done = pipe(server.ws_url, b"hi\n")
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("scalechat: error: the server wants a valid token (--token)")


def test_the_server_s_page_is_no_chat(server: ServerProcess) -> None:
    """The wrong path on the right port is said as such."""
    done = pipe(server.ws_url.removesuffix("/ws") + "/healthz", b"hi\n")
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "/ws" in line
