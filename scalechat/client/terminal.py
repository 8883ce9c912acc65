"""``python -m scalechat chat``: chooses between a person and a pipe, and speaks to whoever started it."""

import os
import re
import secrets
import signal
import sys
from dataclasses import dataclass

import trio
from prompt_toolkit.utils import is_dumb_terminal

from scalechat.client.chat import open_chat
from scalechat.client.dial import trusting
from scalechat.client.errors import BadAddress, ChatError, RequestRefused, Unreachable
from scalechat.client.events import Event
from scalechat.client.interactive import talk
from scalechat.client.pipe import Pipe
from scalechat.client.screen import Screen
from scalechat.client.transcript import Transcript, local_now
from scalechat.client.visible import visible
from scalechat.config import ChatConfig, OperationalError, UsageError

_LEAVING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def run_chat(config: ChatConfig) -> int:
    """Chat until the user leaves or, without a terminal, until the input ends; return the exit code.

    Raises `UsageError` and `OperationalError` with one line for the user. SIGINT and SIGTERM leave cleanly.
    """
    client_id = config.client_id
    if client_id is None and config.token is None:  # a token names its bearer
        client_id = default_name()
    outcome = _Outcome()
    async with trio.open_nursery() as nursery:
        await nursery.start(_leave_on_signal, nursery.cancel_scope)
        # Caught inside, so that no group has to be taken apart outside.
        try:
            if sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb_terminal():
                await _person(config, client_id, outcome)
            else:
                await _pipe(config, client_id, outcome)
        except (ChatError, BrokenPipeError) as exc:
            outcome.failure = exc
        nursery.cancel_scope.cancel()
    if outcome.failure is not None:
        raise _told(outcome.failure) from outcome.failure
    if outcome.trouble:
        raise OperationalError(visible(outcome.trouble))
    if outcome.unsent:
        print(f"scalechat: {outcome.unsent} of the lines you typed not sent", file=sys.stderr)
    return 0


def default_name() -> str:
    """The login name and a few letters, so that two terminals of one person are two people."""
    return f"{_login_name()}-{secrets.token_hex(2)}"


def _login_name() -> str:
    # The password database and not the environment: only the command line reads that.
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = ""
    return re.sub(r"[^a-z0-9_-]", "", name.lower())[:32] or "guest"


async def _leave_on_signal(
    scope: trio.CancelScope, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(*_LEAVING_SIGNALS) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


@dataclass(slots=True)
class _Outcome:
    """How it went, known also when it was cancelled."""

    failure: ChatError | BrokenPipeError | None = None
    trouble: str = ""
    unsent: int = 0


async def _person(config: ChatConfig, client_id: str | None, outcome: _Outcome) -> None:
    outcome.unsent = await talk(config, client_id, Screen())


async def _pipe(config: ChatConfig, client_id: str | None, outcome: _Outcome) -> None:
    async with open_chat(
        config.server_url,
        client_id=client_id,
        room=config.room,
        token=config.token,
        connect=trusting(config.ca_file),
    ) as chat:
        # Somebody types here and reads elsewhere: then what is said belongs into the output.
        follow = sys.stdin.isatty()
        transcript = Transcript(now=local_now, own_name=chat.client_id, current_room=config.room)

        def show(event: Event) -> None:
            if follow and outcome.failure is None:
                try:
                    for line in transcript.lines([event]):
                        print("".join(text for _, text in line), flush=True)
                except BrokenPipeError as exc:
                    outcome.failure = exc
                    pipe.stop()

        pipe = Pipe(chat, sys.stdin.fileno(), show)
        try:
            await pipe.run()
        finally:
            outcome.trouble = pipe.trouble


def _told(failure: ChatError | BrokenPipeError) -> Exception:
    """The error as the command line tells it; its text may hold words of the server."""
    match failure:
        case Unreachable():
            return OperationalError(visible(f"{failure}; start a server with: python -m scalechat serve"))
        case BadAddress() | RequestRefused(code="bad_name"):
            return UsageError(visible(str(failure)))
        case ChatError():
            return OperationalError(visible(str(failure)))
        case BrokenPipeError():
            return failure
