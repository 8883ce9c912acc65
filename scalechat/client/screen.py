"""The terminal of a person: a line to edit at the bottom, the chat scrolling above it.

prompt_toolkit does the editing and needs an asyncio loop of its own. It gets one in a worker
thread, which its documentation supports (``in_thread``); Trio keeps the main thread. Across the border go
only immutable values: lines typed come out, lines to show and the status go in. The thread always
ends, and restores the terminal, before `Screen.run` returns.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import trio
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.defaults import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import SearchToolbar

from scalechat.client.commands import Known, complete
from scalechat.client.transcript import fit, name_style
from scalechat.client.visible import visible
from scalechat.client.wrap import Line

#: Lines typed and not yet worked off. A person is that far ahead only while the server is away.
MAX_LINES_AHEAD = 64
#: Rows that the completion menu opens below the line at most.
_MENU_ROWS = 8

STYLE = Style.from_dict(
    {
        "time": "#808080",
        "bar": "#808080",
        "notice": "#808080",
        "presence": "#808080",
        "good": "#5f9f3f",
        "warning": "#af8700",
        "error": "#d75f5f",
        "status": "bg:#3a3a3a #d0d0d0",
        "status.room": "bold",
        "status.warning": "#ffaf00",
        "completion-menu": "bg:#303030 #d0d0d0",
        "completion-menu.completion.current": "bg:#5f87d7 #ffffff",
        "completion-menu.meta.completion": "bg:#303030 #909090",
        "completion-menu.meta.completion.current": "bg:#5f87d7 #ffffff",
    }
)


@dataclass(frozen=True, slots=True)
class Status:
    """What the line at the bottom and the prompt say."""

    name: str = ""
    room: str | None = None
    rooms: int = 0
    people: int = 0
    waiting: int = 0
    trouble: str = ""
    known: Known = field(default_factory=Known)


class Screen:
    """Runs the terminal; see the module. `lines` gives what is typed, one line at a time.

    `input` and `output` are the real terminal unless a test brings its own.
    """

    def __init__(self, *, input: Input | None = None, output: Output | None = None) -> None:
        self._typed, self.lines = trio.open_memory_channel[str](MAX_LINES_AHEAD)
        self._status = Status()
        self._input = input
        self._output = output
        self._app: Application[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shows: set[trio.Event] = set()
        self._cancelled = False

    # ---- Trio's side -----------------------------------------------------------------------

    async def run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Show the prompt until the user leaves with Ctrl-C or Ctrl-D; ends at once when cancelled.

        Reports started when the prompt is there.
        """
        token = trio.lowlevel.current_trio_token()

        def ready() -> None:
            if self._cancelled:
                self._exit()
            token.run_sync_soon(task_status.started)

        def typed(line: str) -> None:
            token.run_sync_soon(self._take, line)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._leave_when_cancelled)
                # Not abandoned when cancelled: the thread gives the terminal back. It ends because of the task above.
                await trio.to_thread.run_sync(lambda: asyncio.run(self._serve(ready, typed)))
                nursery.cancel_scope.cancel()
        finally:
            self._loop = None
            self._typed.close()
            for shown in self._shows:
                shown.set()

    async def show(self, lines: Iterable[Line]) -> None:
        """Print `lines` above the prompt and wait until the terminal has taken them."""
        new = list(lines)
        if not new or self._loop is None:
            await trio.lowlevel.checkpoint()
            return
        token = trio.lowlevel.current_trio_token()
        shown = trio.Event()
        self._shows.add(shown)
        try:
            self._loop.call_soon_threadsafe(self._print, new, lambda: token.run_sync_soon(shown.set))
            await shown.wait()
        except RuntimeError:
            return  # the loop closed between our look and the call: nobody sees it any more
        finally:
            self._shows.discard(shown)

    def set_status(self, status: Status) -> None:
        """Change the line at the bottom, the prompt and what completes."""
        self._status = status  # one assignment, so the other thread sees the old or the new
        if self._app is not None:
            self._app.invalidate()  # thread-safe by its documentation

    @property
    def status(self) -> Status:
        """What is shown at the bottom."""
        return self._status

    def _take(self, line: str) -> None:
        try:
            self._typed.send_nowait(line)
        except trio.WouldBlock:
            self.set_status(
                replace(self._status, trouble=f"{MAX_LINES_AHEAD} lines wait already; the last was not taken")
            )
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return

    async def _leave_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._cancelled = True  # for an application that is only starting
            if self._loop is not None:
                with suppress(RuntimeError):  # its loop is closed: it is ending by itself
                    self._loop.call_soon_threadsafe(self._exit)

    # ---- the thread's side -----------------------------------------------------------------

    async def _serve(self, ready: Callable[[], None], typed: Callable[[str], None]) -> None:
        app = self._application(typed)
        self._app, self._loop = app, asyncio.get_running_loop()
        try:
            await app.run_async(pre_run=ready, set_exception_handler=False, handle_sigint=False)
        finally:
            self._app = None

    def _exit(self) -> None:
        if self._app is not None and self._app.is_running and not self._app.is_done:
            self._app.exit()

    def _print(self, lines: list[Line], done: Callable[[], None]) -> None:
        # Not `run_in_terminal`: it gives the terminal back to the kernel meanwhile, which then echoes what is typed in
        # that moment and takes Ctrl-D for itself. A raw terminal prints lines as well.
        app = self._app
        if app is not None and not app.is_done:
            text: StyleAndTextTuples = []
            for line in fit(lines, app.output.get_size().columns):
                text += [*line, ("", "\n")]
            app.renderer.erase()
            print_formatted_text(app.output, FormattedText(text), STYLE)
            app.invalidate()
        done()

    def _application(self, typed: Callable[[str], None]) -> Application[None]:
        def accept(buffer: Buffer) -> bool:
            typed(buffer.text)
            return False  # the line is ours now: clear it, keep the prompt

        buffer = Buffer(completer=_Completer(self), history=InMemoryHistory(), multiline=False, accept_handler=accept)
        search = SearchToolbar()
        line = Window(
            BufferControl(
                buffer,
                input_processors=[BeforeInput(self._prompt)],
                search_buffer_control=search.control,
                preview_search=True,
            ),
            height=lambda: Dimension(min=1 + _menu_rows(buffer)),
            wrap_lines=True,
            dont_extend_height=True,
        )
        status = Window(FormattedTextControl(self._status_line), height=1, style="class:status")
        menu = Float(CompletionsMenu(max_height=_MENU_ROWS), xcursor=True, ycursor=True)
        return Application(
            layout=Layout(FloatContainer(HSplit([line, search, status]), [menu]), focused_element=line),
            key_bindings=_keys(),
            style=STYLE,
            include_default_pygments_style=False,
            erase_when_done=True,
            input=self._input or create_input(),
            output=self._output or _quiet_output(),
        )

    def _prompt(self) -> StyleAndTextTuples:
        status = self._status
        return [(name_style(status.name), visible(status.name)), ("class:bar", " › ")]  # noqa: RUF001

    def _status_line(self) -> StyleAndTextTuples:
        status = self._status
        where = visible(status.room) if status.room else "in no room"
        parts: StyleAndTextTuples = [("class:status.room", f" {where} ")]
        if status.room and status.people:
            parts.append(("", f"· {status.people} here "))
        if status.rooms > 1:
            parts.append(("", f"· {status.rooms} rooms "))
        if status.waiting:
            parts.append(("class:status.warning", f"· {status.waiting} waiting to be sent "))
        parts.append(("class:status.warning", f"· {status.trouble}") if status.trouble else ("", "· /help"))
        return parts


class _Completer(Completer):
    """Completes commands, rooms and people as the status knows them."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def get_completions(self, document: Document, _event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        word = before.rpartition(" ")[2]
        for text, meaning in complete(before, self._screen.status.known):
            yield Completion(visible(text), start_position=-len(word), display_meta=meaning)


def _menu_rows(buffer: Buffer) -> int:
    state = buffer.complete_state
    return min(_MENU_ROWS, len(state.completions)) if state else 0


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c")
    @keys.add("<sigint>")
    def leave(event: KeyPressEvent) -> None:
        event.app.exit()

    @keys.add("c-d")
    def leave_or_delete(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.delete()
        else:
            event.app.exit()

    return keys


def _quiet_output() -> Output:
    output = create_output()
    if isinstance(output, Vt100_Output):
        # Asking the terminal where its cursor is costs a round trip for every message, and we do not need to know:
        # nothing here is placed by absolute rows.
        output.enable_cpr = False
    return output
