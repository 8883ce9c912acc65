"""Protocols described by a table: what is sent, what is understood, and that the ledger stays exact."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from scalechat.client.shared_reader import SharedReader
from scalechat.config import OperationalError
from scalechat.load.dialects import UNKNOWN, Acknowledged, Entered, Names, Nothing, Refused, Reply
from scalechat.load.results import ErrorRow, read_run
from scalechat.load.template import ByTemplate
from scalechat.tables import Template, Where
from scalechat.wire.messages import PlainMessage

from .broadcaster import Broadcaster
from .lies import Lies
from .test_exactness import require_equal
from .worlds import virtual_run

NAMES = Names(0xC0FFEE, "/start?x=1")
ROOM = NAMES.room(2)
NATS = Path(__file__).parents[2] / "configs/targets/nats.toml"
MESSAGE = b"MSG room 1 5\r\nhello\r\n"


def template_of(text: str) -> Template:
    return msgspec.convert(tomllib.loads(text)["template"], Template)


def nats() -> ByTemplate:
    return ByTemplate(template_of(NATS.read_text()))


@pytest.mark.parametrize(
    "unit, said",
    [
        (MESSAGE, PlainMessage("", "hello")),
        (b"PING\r\n", Reply(b"PONG\r\n")),
        (b"PONG\r\n", Entered()),
        (b"-ERR 'Authorization Violation'\r\n", Refused("'Authorization Violation'")),
        (b'INFO {"port":1}\r\n', Nothing()),
        (b"+OK\r\n", UNKNOWN),
        (b"\xff\r\n", UNKNOWN),
    ],
)
def test_what_nats_says_is_understood(unit: bytes, said: object) -> None:
    """And what the table does not describe is unknown, which is no failure."""
    assert nats().read(unit) == said


def test_what_is_sent_has_its_placeholders_filled_and_its_braces_left() -> None:
    """JSON's own braces are no placeholders, and the size is the text's."""
    dialect = nats()
    assert dialect.hello(NAMES, 7, ROOM)[:2] == [b'CONNECT {"verbose":false}\r\n', f"SUB {ROOM} 1\r\n".encode()]
    assert dialect.publish(NAMES, 7, ROOM)(b"Uz{room}", 3) == f"PUB {ROOM} 8\r\nUz{{room}}\r\n".encode()
    assert dialect.resource(NAMES, 7, ROOM) == "/start?x=1"


def test_path_and_headers_name_the_client() -> None:
    """For servers that want to know in the handshake who comes."""
    names = Names(1, "/", token="secret")
    table = 'path = "/w?u={client_id}&n={client}"\nheaders = { Authorization = "Bearer {token}" }\n'
    dialect = ByTemplate(template_of(f'[template]\npublish = "{{message}}"\ndelivery = {{ json = "" }}\n{table}'))
    assert dialect.resource(names, 4, "r") == "/w?u=load-00000001-c4&n=4"
    assert dialect.extra_headers(names, 4, "r") == [(b"Authorization", b"Bearer secret")]


@pytest.mark.parametrize(
    "pointer, text",
    [
        ("/push/pub/data", "hello"),
        ("/list/1/body", "hello"),
        ("/a~1b/m~0n", "hello"),
        ("/none", None),
        ("/list/9", None),
    ],
)
def test_a_json_pointer_finds_the_text(pointer: str, text: str | None) -> None:
    """RFC 6901, its escapes included."""
    payload = b'{"push":{"pub":{"data":"hello"}},"list":[0,{"body":"hello"}],"a/b":{"m~n":"hello"}}'
    said = ByTemplate(Template(publish="{message}", delivery=Where(json=pointer))).read(payload)
    assert said == (UNKNOWN if text is None else PlainMessage("", text))


@pytest.mark.parametrize("ack, number", [(b'{"id":17}', 17), (b'{"id":"17"}', 17), (b'{"id":"x"}', None)])
def test_an_acknowledgement_carries_the_number(ack: bytes, number: int | None) -> None:
    """As a number or as text; anything else is no answer to a message of ours."""
    table = '[template]\npublish = "{message}"\ndelivery = { json = "/text" }\nack = { json = "/id" }'
    assert ByTemplate(template_of(table)).read(ack) == (UNKNOWN if number is None else Acknowledged(number))


REPLYING = r"""
[template]
publish = "{message}"
delivery = { regex = '^m:(.*)' }
[template.answers]
ping = "pong {client}"
[[template.replies]]
to = { regex = '^go' }
send = "join {room} as {client_id}"
"""


@pytest.mark.parametrize(
    "said, answer",
    [(b"ping", b"pong 7"), (b'go{"id":1}', f"join {ROOM} as {NAMES.client_id(7)}".encode()), (b"goo", None)],
)
def test_what_is_answered_has_the_clients_own_names(said: bytes, answer: bytes | None) -> None:
    """The same frame may go to everybody; each answers for itself."""
    reply = ByTemplate(template_of(REPLYING.replace("'^go'", r"'^go\{'") if answer is None else REPLYING)).read(said)
    assert reply == UNKNOWN if answer is None else isinstance(reply, Reply) and reply.of(NAMES, 7, ROOM) == answer


@pytest.mark.parametrize(
    "line, words",
    [
        ('heartbeat = { every_s = 0, send = "x" }', "every_s must be a whole number of seconds, at least 1"),
        ('heartbeat = { every_s = 9, send = "{number}" }', "{number} is no placeholder here"),
        ('replies = [{ to = { json = "/a" }, send = "{size}" }]', "{size} is no placeholder here"),
        ('answers = { ping = "{message}" }', "{message} is no placeholder here"),
    ],
)
def test_what_nobody_could_send_is_refused(line: str, words: str) -> None:
    """Before anything starts, with the place."""
    with pytest.raises(msgspec.ValidationError, match=re.escape(words)):
        template_of(f'[template]\npublish = "{{message}}"\ndelivery = {{ json = "" }}\n{line}')


@given(st.binary(max_size=300))
def test_nothing_a_server_says_is_too_strange(payload: bytes) -> None:
    """A frame is something or unknown; nothing is raised."""
    nats().read(payload)
    ByTemplate(template_of('[template]\npublish = "{message}"\ndelivery = { json = "/a/b" }')).read(payload)


@given(
    st.lists(st.sampled_from([MESSAGE, b"PING\r\n", b"+OK\r\n", b'INFO {"a":1}\r\n']), max_size=8),
    st.lists(st.integers(0, 150), max_size=12),
)
def test_units_are_the_same_wherever_frames_begin_and_end(units: list[bytes], cuts: list[int]) -> None:
    """Several in one frame, one over several frames, and cut inside of a line's end."""
    stream = b"".join(units)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = nats().reader(list, SharedReader(list))
    found = [unit for low, high in itertools.pairwise(edges) for unit in reader.decode([stream[low:high]])]
    assert found == units


def test_what_never_ends_is_one_unknown_unit() -> None:
    """A stream without a unit in it is not kept for ever."""
    reader = nats().reader(list, SharedReader(list))
    assert reader.decode([b"x" * 1_000_000]) == []
    assert [len(unit) for unit in reader.decode([b"x" * 100_000])] == [1_100_000]
    assert reader.decode([b"PING\r\n"]) == [b"PING\r\n"]


V1_AS_TEMPLATE = r"""
[template]
path = "/ws?clientId={client_id}&room={room}"
subprotocols = ["scalechat.v1"]
publish = '{"Message":"{message}","id":"{client}-{number}"}'
delivery = { json = "/Message" }
ack = { regex = '"type": "ack", "id": "\d+-(\d+)"' }
joined = { regex = '"type": "joined"' }
"""


@pytest.mark.parametrize("lies", [Lies(), Lies(drop=0.05, duplicate=0.05, reorder=0.05, phantom=0.02, swallow=0.05)])
async def test_the_ledger_of_a_described_protocol_is_as_exact(
    lies: Lies, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A protocol with acknowledgements and joining, described instead of built in; its welcome is an unknown frame."""
    server = Broadcaster(v1=True, lies=lies)
    template = template_of(V1_AS_TEMPLATE)
    outcome = await virtual_run(
        server.serve, tmp_path, target="template", template=template, clients=8, rooms=2, msg_frequency_ms=100.0
    )
    assert server.truth.published > 400
    require_equal(outcome, server)
    assert outcome.manifest.target.dialect == "template"
    assert outcome.manifest.ledger.unknown_frames == 8, "each got one welcome"
    assert not list(read_run(outcome.run_dir).rows(ErrorRow))


@pytest.mark.parametrize(
    "joined, v1, words",
    [
        ("{ json = '/nothing' }", True, "the server did not say that the client has joined within 10 s"),
        ("{ regex = 'joined' }", False, "the server does not speak scalechat.v1"),
    ],
)
async def test_a_template_that_does_not_fit_is_one_line(
    joined: str, v1: bool, words: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The greeting goes as far as joining, so a run that could only wait is not begun."""
    template = template_of(re.sub(r"joined = .*", f"joined = {joined}", V1_AS_TEMPLATE))
    with pytest.raises(OperationalError, match=words):
        await virtual_run(Broadcaster(v1=v1).serve, tmp_path / "runs", target="template", template=template)
    assert not (tmp_path / "runs").exists()
