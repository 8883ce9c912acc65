"""A network that can fail: a TCP proxy on loopback, in Trio in a thread of its own."""

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import trio

_CHUNK_BYTES = 65536
_START_S = 10.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST, as a lost network would look.


class Proxy:
    """Passes bytes between its own port and `target_port`, until told otherwise.

    `cut` resets every connection and refuses new ones until `restore`. `mute` swallows what the target says from then
    on, on the connections of that moment: what is asked still arrives, no answer does.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._is_cut = False
        self._links: set[_Link] = set()
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_START_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._inside(self._scope.cancel)
        self._thread.join(_START_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._inside(self._cut)

    def restore(self) -> None:
        self._is_cut = False

    def mute(self) -> None:
        for link in list(self._links):
            link.is_mute = True

    def _inside(self, action: Callable[[], None]) -> None:
        assert self._token is not None
        trio.from_thread.run_sync(action, trio_token=self._token)

    def _cut(self) -> None:
        self._is_cut = True
        for link in self._links:
            link.scope.cancel()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._link, [listener])
                self._ready.set()

    async def _link(self, client: trio.SocketStream) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if self._is_cut:
            await trio.aclose_forcefully(client)
            return
        link = _Link()
        self._links.add(link)
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self._target_port) as target, client:
                with link.scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(link.pump, client, target, False)
                        nursery.start_soon(link.pump, target, client, True)
        except OSError:  # The target is away.
            pass
        finally:
            self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.is_mute = False

    async def pump(self, source: trio.SocketStream, sink: trio.SocketStream, answers: bool) -> None:
        try:
            while chunk := await source.receive_some(_CHUNK_BYTES):
                if not (answers and self.is_mute):
                    await sink.send_all(chunk)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.scope.cancel()
