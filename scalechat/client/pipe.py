"""Without a terminal: every line of the input is said, in order, and nothing is printed but trouble.

The input may be a pipe, a file or a terminal whose keys the kernel edits; only a thread reads all of
them alike. It is left behind when cancelled: a blocked read of a terminal ends with the process.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import trio

from scalechat.client.chat import ChatClient
from scalechat.client.errors import ChatEnded, ChatError, RequestRefused
from scalechat.client.events import Event
from scalechat.wire.codec import EncodeError

_READ_BYTES = 65_536
#: A line that never ends must not fill the memory. Far above what any server takes in one message.
MAX_LINE_BYTES = 1024 * 1024


class Pipe:
    """Says the lines of `input_fd`; `show` gets what happens meanwhile and must not raise."""

    def __init__(self, chat: ChatClient, input_fd: int, show: Callable[[Event], None]) -> None:
        self._chat = chat
        self._input_fd = input_fd
        self._show = show
        self._line = 0
        self._asked = 0
        self._acknowledged = 0
        self._first_trouble = ""
        self._scope = trio.CancelScope()

    @property
    def trouble(self) -> str:
        """One sentence when not every line was acknowledged; right at any moment, cancelled or not."""
        missed = self._asked - self._acknowledged
        if not missed:
            return ""
        what = "1 line was" if missed == 1 else f"{missed} lines were"
        return f"{what} not acknowledged; {self._first_trouble or f'line {self._line}: interrupted'}"

    async def run(self) -> None:
        """Say line after line, each when the one before is kept; blank ones are skipped.

        Ends with the input, or when the server does not answer any more.
        """
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            nursery.start_soon(self._listen)
            async with aclosing(self._lines()) as lines:
                async for line in lines:
                    self._line += 1
                    if line.strip() and not await self._say(line):
                        break
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """End `run` early."""
        self._scope.cancel()

    async def _say(self, line: str) -> bool:
        self._asked += 1
        try:
            await self._chat.send(line)
        except (RequestRefused, EncodeError) as exc:
            self._note(str(exc))
        except ChatError as exc:
            self._note(f"{exc}; what follows was not sent")
            return False  # every further line would wait as long
        else:
            self._acknowledged += 1
        return True

    def _note(self, why: str) -> None:
        self._first_trouble = self._first_trouble or f"line {self._line}: {why}"

    async def _listen(self) -> None:
        try:
            async for event in self._chat:
                self._show(event)
        except ChatEnded:
            return  # whoever says the next line learns it

    async def _lines(self) -> AsyncGenerator[str, None]:
        rest = b""
        while chunk := await trio.to_thread.run_sync(os.read, self._input_fd, _READ_BYTES, abandon_on_cancel=True):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _text(line)
            # What is cut here stays too long to be sent, so it is refused as a whole and not said in pieces.
            rest = rest[:MAX_LINE_BYTES]
        if rest:
            yield _text(rest)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
