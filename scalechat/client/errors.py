"""Everything that can go wrong for somebody who uses the client; each text is one whole sentence.

ChatError
├── CannotConnect           never got in
│   ├── BadAddress          the URL is no WebSocket address
│   ├── HostNotFound        the name does not resolve
│   ├── Unreachable         nobody listens there, or nobody answers in time
│   ├── TlsFailed           no encrypted connection that can be trusted
│   ├── NotAWebSocket       something answers, and it is not a WebSocket server
│   ├── WrongProtocol       a WebSocket server that does not speak scalechat.v1
│   └── Rejected            the server refused the handshake: token, name, origin, load
├── RequestRefused          the server answered one request with an error; the chat goes on
├── NoAnswer                no answer in time; the chat goes on
└── ChatEnded               the chat is over and coming back is no use
"""


class ChatError(Exception):
    """Base of all errors of the client."""


class CannotConnect(ChatError):
    """A connection could not be made. `lasting` means that trying again is no use, even if it once worked."""

    lasting = False
    retry_after_ms: int | None = None


class BadAddress(CannotConnect):
    """The URL is not of the form ``ws://host:port/ws``."""

    lasting = True


class HostNotFound(CannotConnect):
    """The host name does not resolve."""


class Unreachable(CannotConnect):
    """Nobody listens at the address, or nobody answers within the time limit."""


class TlsFailed(CannotConnect):
    """The server shows no certificate that can be trusted, or does not speak TLS."""


class NotAWebSocket(CannotConnect):
    """Something else than a WebSocket server answers, or it hangs up before it has answered.

    After a connection that worked this is a restart or a proxy in between, so it does not last.
    """


class WrongProtocol(CannotConnect):
    """The server speaks WebSocket but not ``scalechat.v1``."""

    lasting = True


class Rejected(CannotConnect):
    """The server refused the handshake with HTTP `status`, or closed before its welcome."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        lasting: bool = True,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.lasting = lasting
        self.retry_after_ms = retry_after_ms


class RequestRefused(ChatError):
    """The server answered a request with an ``error``; `code` is its machine-readable word."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class NoAnswer(ChatError):
    """The server did not answer in time. A message may or may not have its place in the log."""


class ChatEnded(ChatError):
    """The connection ended for good; `code` is the close code of ``scalechat.wire.closing``."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
