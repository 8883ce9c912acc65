"""The opening handshake as we read it, against the library that may have to read it again."""

import subprocess
import sys
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from scalechat.wire.handshake import BadHandshake, accept_response, parse_upgrade, refuse_response

from ..rough import request

LINES = request("/ws?clientId=a", {"Cookie": "a=b; c=d"}, v1=True).split(b"\r\n")[:-2]


def test_a_request_is_read_as_what_it_says() -> None:
    """Target, headers by lower-case name, subprotocols and key; white space around values does not count."""
    upgrade = parse_upgrade(
        b"GET /ws?room=tea HTTP/1.1\r\nHost:\tx \r\nUPGRADE:WebSocket\r\nConnection: keep-alive,\tUpgrade\r\n"
        b"Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: one , two\r\nSec-WebSocket-Protocol:,three\r\nCookie:\r\n\r\n"
    )
    assert upgrade.target == "/ws?room=tea"
    assert (upgrade.headers["host"], upgrade.headers["cookie"]) == ("x", "")
    assert upgrade.subprotocols == ("one", "two", "three")
    assert upgrade.key == "c2l4dGVlbiBieXRlcyBvaw=="


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": ""}, 400),
        ({"Upgrade": "h2c"}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Connection": "Upgraded"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyBvaw==, c2l4dGVlbiBieXRlcyBvaw=="}, 400),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Content-Length": "10"}, 400),
        ({"Transfer-Encoding": "chunked"}, 400),
        ({"Host": "\xe9"}, 400),
        ({"Connection": "Upgrade, \xe9"}, 400),
        ({"X": "a\x00b"}, 400),
        ({"X y": "z"}, 400),
    ],
)
def test_what_is_no_handshake_is_refused_with_a_status(headers: dict[str, str], status: int) -> None:
    """A missing, wrong, doubled or dangerous header; a version that is not ours is told ours."""
    with pytest.raises(BadHandshake) as caught:
        parse_upgrade(request("/ws", headers))
    assert caught.value.status == status


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n\r\n",
        b"GET /ws HTTP/1.0\r\n" + b"\r\n".join(LINES[1:]) + b"\r\n\r\n",
        b"GET  /ws HTTP/1.1\r\n" + b"\r\n".join(LINES[1:]) + b"\r\n\r\n",
        b"GET /w\xff HTTP/1.1\r\n" + b"\r\n".join(LINES[1:]) + b"\r\n\r\n",
        b"\r\n".join(LINES) + b"\r\n",
        b"\n".join(LINES) + b"\n\n",
        b"\r\n".join([*LINES, b" folded"]) + b"\r\n\r\n",
        b"\r\n".join([*LINES, b"Host: y"]) + b"\r\n\r\n",
        b"\r\n".join([*LINES, b"no colon"]) + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_head_is_refused(head: bytes) -> None:
    """HTTP/1.0, bare line feeds, folded lines, a second Host, raw bytes: there is one way to write it."""
    with pytest.raises(BadHandshake):
        parse_upgrade(head)


@st.composite
def near_handshakes(draw: st.DrawFn) -> bytes:
    """A good request with a few lines changed, doubled, dropped or made up."""
    lines = list(LINES)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "double", "bytes", "header"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "bytes":
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(st.binary(max_size=3)) + lines[at][cut:]
            case "header":
                name = draw(
                    st.sampled_from([b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol", b"Connection", b"X"])
                )
                lines.insert(max(1, at), name + b":" + draw(st.text(' \t,;="ax\\', max_size=8)).encode())
            case _:
                pass
    return b"\r\n".join(lines) + b"\r\n\r\n"


@given(near_handshakes())
def test_whatever_we_accept_the_library_accepts_too(head: bytes) -> None:
    """It reads the request again when a connection needs it, and must not fail then."""
    try:
        upgrade = parse_upgrade(head)
    except BadHandshake:
        return
    library = WSConnection(ConnectionType.SERVER)
    library.receive_data(head)
    (event,) = library.events()
    assert isinstance(event, Request)
    assert event.target == upgrade.target
    assert library.send(AcceptConnection()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("subprotocol", [None, "scalechat.v1"])
def test_a_client_of_another_make_accepts_our_answer(subprotocol: str | None) -> None:
    """The key is answered, the subprotocol named, no extension given."""
    client = WSConnection(ConnectionType.CLIENT)
    offered = [subprotocol] if subprotocol else []
    head = client.send(Request(host="x", target="/ws", subprotocols=offered))
    client.receive_data(accept_response(parse_upgrade(head), subprotocol))
    (event,) = client.events()
    assert isinstance(event, AcceptConnection)
    assert (event.subprotocol, event.extensions) == (subprotocol, [])


def test_a_refusal_is_a_whole_http_answer() -> None:
    """Status, length, and what the status obliges us to add."""
    answer = refuse_response(HTTPStatus.UNAUTHORIZED, "who?", (("WWW-Authenticate", "Bearer"),))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Bearer" in head
    assert body == b"who?\n"
    assert f"Content-Length: {len(body)}".encode() in head


def test_no_head_takes_long_to_read() -> None:
    """However it is built, the time grows with the size and not with its powers: the loop stands still meanwhile."""
    hostile = [b" " * 16_000 + b"\x01", b"a" + b" " * 16_000 + b"b", b"\t " * 8_000 + b"\x7f"]
    script = f"""
from scalechat.wire.handshake import BadHandshake, parse_upgrade
for value in {hostile!r}:
    try:
        parse_upgrade(b"GET /ws HTTP/1.1\\r\\nUpgrade: websocket\\r\\nX:" + value + b"\\r\\n\\r\\n")
    except BadHandshake:
        pass
"""
    # In a process of its own: a regular expression that goes astray cannot be interrupted.
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)
