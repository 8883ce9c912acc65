"""A socket with a small buffer, and what its peer has read: backpressure byte by byte, without a network."""

import trio


class SmallSocket(trio.abc.SendStream):
    """Takes what fits into `room_bytes` and makes writers wait for the rest, as the kernel does.

    `on_wire` is everything ever taken, in `writes` calls; only what the peer reads makes room again.
    """

    def __init__(self, room_bytes: int) -> None:
        self.on_wire = b""
        self.writes = 0
        self.broken = False
        self._room_bytes = room_bytes
        self._changed = trio.Event()
        self._writing = False

    def send_now(self, data: bytes) -> int:
        """See `scalechat.server.outbox.SendNow`."""
        if self.broken:
            raise ConnectionResetError
        self.writes += 1
        taken = data[: self._room_bytes]
        self._room_bytes -= len(taken)
        self.on_wire += taken
        return len(taken)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Cancelled or broken in the middle, it has sent a part."""
        if self._writing:
            raise trio.BusyResourceError("two writers at once")
        self._writing = True
        try:
            await trio.lowlevel.checkpoint()
            rest = bytes(data)
            while True:
                if self.broken:
                    raise trio.BrokenResourceError
                rest = rest[self.send_now(rest) :]
                if not rest:
                    return
                await self._changed.wait()
        finally:
            self._writing = False

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError("nobody asks")

    async def aclose(self) -> None:
        self.reset()
        await trio.lowlevel.checkpoint()

    # --- the peer ---------------------------------------------------------------------------------------------------

    def read(self, max_bytes: int = 10**9) -> None:
        """Make room for so many more bytes."""
        self._room_bytes += max_bytes
        self._tell()

    def reset(self) -> None:
        """The connection breaks."""
        self.broken = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
