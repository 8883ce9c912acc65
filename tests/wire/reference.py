"""What wsproto makes of a byte stream: the authority that our own frame code is compared with."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage


@dataclass(slots=True)
class Seen:
    """Everything a stream said, until it ended or broke a rule."""

    texts: list[str] = field(default_factory=list)
    binaries: list[bytes] = field(default_factory=list)
    controls: list[tuple[str, bytes]] = field(default_factory=list)
    close_code: int | None = None


class Library:
    """wsproto at one end of an open connection."""

    def __init__(self, kind: ConnectionType = ConnectionType.SERVER) -> None:
        self._connection = Connection(kind)
        self._text: list[str] = []
        self._binary: list[bytes] = []
        self.seen = Seen()

    def feed(self, data: bytes) -> None:
        """Give it received bytes; nothing happens once it has seen the end."""
        seen = self.seen
        if seen.close_code is not None:
            return
        self._connection.receive_data(data)
        for event in self._connection.events():
            match event:
                case TextMessage():
                    self._text.append(event.data)
                    if event.message_finished:
                        seen.texts.append("".join(self._text))
                        self._text.clear()
                case BytesMessage():
                    self._binary.append(bytes(event.data))
                    if event.message_finished:
                        seen.binaries.append(b"".join(self._binary))
                        self._binary.clear()
                case Ping():
                    seen.controls.append(("ping", bytes(event.payload)))
                case Pong():
                    seen.controls.append(("pong", bytes(event.payload)))
                case CloseConnection():
                    seen.close_code = int(event.code)
                    return


def understood(chunks: Iterable[bytes], kind: ConnectionType = ConnectionType.SERVER) -> Seen:
    """What wsproto alone sees in these bytes."""
    library = Library(kind)
    for chunk in chunks:
        library.feed(chunk)
    return library.seen
