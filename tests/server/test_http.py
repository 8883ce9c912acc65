"""The HTTP side of a whole node: page, health, metrics, API and its description, over real connections."""

import re
from collections.abc import Mapping
from importlib import resources

import pytest
from openapi_spec_validator import validate
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from trio.testing import wait_all_tasks_blocked

from scalechat.config import ServeConfig
from scalechat.server.figures import Rates
from scalechat.server.metrics import CONNECTION_ERRORS, EVICTIONS, MESSAGE_KINDS

from ..rough import NO_HEADERS, RoughPeer, plain, said
from .running import Answer, Running, running

KEY = "a key that opens the API"
OPEN = ServeConfig(api_key=KEY)
PUBLIC = ServeConfig(host="0.0.0.0", api_key=KEY)
API = (
    ("POST", "/api/rooms/tea/messages"),
    ("GET", "/api/rooms"),
    ("GET", "/api/rooms/tea/history"),
    ("GET", "/api/rooms/tea/presence"),
    ("GET", "/api/connections"),
    ("DELETE", "/api/connections/none"),
)
READ_ONLY = ("/metrics", "/stats", "/stats/recent", "/docs", "/openapi.json", "/asyncapi.json")


async def publish(server: Running, text: str, *, room: str = "tea", client: str = "bot", **more: object) -> Answer:
    body = {"clientId": client, "Message": text, **more}
    return await server.fetch(f"/api/rooms/{room}/messages", "POST", body=body, key=True)


# --- who may see what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method, path", API)
async def test_the_api_is_closed_without_a_key_and_to_a_wrong_one(method: str, path: str) -> None:
    """No key configured: 403 for everybody. A key configured: 401 without it, with another, or in another scheme."""
    async with running() as closed:
        assert (await closed.fetch(path, method, {"authorization": "Bearer "})).status == 403
    async with running(OPEN) as server:
        for value in (
            "",
            "Bearer",
            "Bearer wrong",
            f"Basic {KEY}",
            f"Bearer {KEY}x",
            f"Bearer {KEY[:-1]}",
            "Bearer \xe9",
        ):
            headers: Mapping[str, str] = {"authorization": value} if value else NO_HEADERS
            refused = await server.fetch(path, method, headers)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer"), value
            assert refused.code == "unauthorized"


@pytest.mark.parametrize("path", READ_ONLY)
async def test_read_only_pages_are_open_on_loopback_only(path: str) -> None:
    """Bound to the world they need the key, or the operator's word that they may be seen."""
    async with running() as loopback:
        assert (await loopback.fetch(path)).status == 200
    async with running(PUBLIC) as public:
        assert (await public.fetch(path)).status == 403
        assert (await public.fetch(path, key=True)).status == 200
        for always in ("/", "/chat.js", "/healthz", "/readyz"):
            assert (await public.fetch(always)).status == 200
    async with running(ServeConfig(host="0.0.0.0", public_pages=True)) as allowed:
        assert (await allowed.fetch(path)).status == 200


# --- page and health ------------------------------------------------------------------------------------------------


async def test_every_file_of_the_page_is_served_under_a_strict_policy() -> None:
    """Its own scripts and styles only, no framing, no sniffing; unchanged files are not sent again."""
    async with running() as server:
        names = [f.name for f in (resources.files("scalechat") / "web").iterdir() if f.name.split(".")[-1] in TYPES]
        assert "index.html" in names
        for name in ["", *names]:
            got = await server.fetch(f"/{name}")
            assert got.status == 200
            assert got.headers["content-type"].partition(";")[0] == TYPES[name.rpartition(".")[2] or "html"]
            policy = got.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert got.headers["x-content-type-options"] == "nosniff"
            again = await server.fetch(f"/{name}", headers={"if-none-match": got.headers["etag"]})
            assert (again.status, again.body) == (304, b"")


TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/__init__.py",
        "/..%2fcli.py",
        "/../cli.py",
        "/%2e%2e/cli.py",
        "/web/chat.js",
        "/a/b/c",
        "//",
        "/\\",
        "/%00",
    ],
)
async def test_what_is_not_there_is_404(path: str) -> None:
    """No path leads out of the page's folder."""
    async with running() as server:
        missing = await server.fetch(path)
        assert (missing.status, missing.code) == (404, "not_found")


async def test_the_websocket_endpoint_tells_http_clients_to_upgrade() -> None:
    """426, with the protocol that is meant."""
    async with running() as server:
        told = await server.fetch("/ws")
        assert (told.status, told.headers["upgrade"]) == (426, "websocket")
        assert told.code == "upgrade_required"


async def test_methods_that_a_page_does_not_have_are_405() -> None:
    """Wrong methods are client errors."""
    async with running() as server:
        for method, path in (("POST", "/"), ("DELETE", "/metrics"), ("PUT", "/healthz"), ("PATCH", "/api/rooms")):
            assert (await server.fetch(path, method, body=b"")).status == 405


async def test_readiness_says_why_not() -> None:
    """Alive stays alive; ready is over as soon as the node drains."""
    async with running() as server:
        assert (await server.fetch("/readyz")).json == {"status": "ready"}
        server.node.admission.draining = True
        draining = await server.fetch("/readyz")
        assert (draining.status, draining.json) == (503, {"status": "draining"})
        assert (await server.fetch("/healthz")).json == {"status": "ok"}


async def test_stats_are_the_figures_that_the_page_shows() -> None:
    """Every key of the page's live line, with totals that count what happened."""
    async with running() as server, server.peer() as peer:
        await peer.enter("/ws?clientId=a")
        await peer.send(plain("a", "one"), plain("a", "two"))
        await peer.hear_all(2)
        stats = (await server.fetch("/stats")).json
        assert stats.keys() == {
            "connections",
            "rooms",
            "publications_total",
            "deliveries_total",
            "publications_per_s",
            "deliveries_per_s",
            "loop_lag_p99_ms",
            "queue_bytes",
            "cpu_ratio",
            "rss_bytes",
            "uptime_s",
            "draining",
        }
        assert (stats["connections"], stats["rooms"], stats["draining"]) == (1, 1, False)
        assert (stats["publications_total"], stats["deliveries_total"]) == (2, 2)


# --- metrics --------------------------------------------------------------------------------------------------------


async def test_metrics_come_as_text_or_as_openmetrics() -> None:
    """By the Accept header, and each parses as what it says it is, with the same names."""
    async with running() as server:
        text = await server.fetch("/metrics")
        assert text.headers["content-type"].startswith("text/plain; version=")
        openmetrics = await server.fetch("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
        assert openmetrics.body.endswith(b"# EOF\n")
        by_text = {s.name for family in parse_text(text.body.decode()) for s in family.samples}
        families = parse_openmetrics(openmetrics.body.decode())  # type: ignore[no-untyped-call]
        by_openmetrics = {sample.name for family in families for sample in family.samples}
        assert {n for n in by_text if not n.endswith("_created")} == {
            n for n in by_openmetrics if not n.endswith("_created")
        }


async def test_metrics_count_what_happened_and_exist_before_it_does() -> None:
    """Every label value is there at 0 from the start, so a rate over it is 0 and not absent."""
    async with running() as server:
        before = await _samples(server)
        for kind in MESSAGE_KINDS:
            assert before["scalechat_messages_in_total", kind] == 0
        for reason in EVICTIONS:
            assert before["scalechat_evictions_total", reason] == 0
        for kind in CONNECTION_ERRORS:
            assert before["scalechat_connection_errors_total", kind] == 0
        async with server.peer() as a, server.peer() as b:
            await a.enter("/ws?clientId=a")
            await b.enter("/ws?clientId=b", v1=True)
            await b.hear_all(2)
            await b.send(said(Message="one"), said(type="join", room="tea"), said(type="dance"))
            await a.hear()
            await b.hear_all(3)
            after = await _samples(server)
        changed = {key: after[key] - before[key] for key in after if after[key] != before.get(key, 0)}
        assert changed["scalechat_messages_in_total", "message"] == 1
        assert changed["scalechat_messages_in_total", "join"] == 1
        assert changed["scalechat_messages_in_total", "bad"] == 1
        assert changed["scalechat_publications_total", ""] == 1
        assert changed["scalechat_deliveries_total", ""] == 2
        assert changed["scalechat_connections", "plain"] == 1
        assert changed["scalechat_connections", "v1"] == 1
        assert changed["scalechat_rooms", ""] == 2
        assert changed["scalechat_members", ""] == 3
        assert changed["scalechat_accepts_total", "websocket"] == 2


async def _samples(server: Running) -> dict[tuple[str, str], float]:
    """Value by (name, label value) of everything with at most one label."""
    families = parse_text((await server.fetch("/metrics")).body.decode())
    samples = [sample for family in families for sample in family.samples if len(sample.labels) < 2]
    return {(sample.name, "".join(sample.labels.values())): sample.value for sample in samples}


# --- API ------------------------------------------------------------------------------------------------------------


async def test_a_published_message_has_its_place_and_reaches_members() -> None:
    """201 with room and seq; the same id again is the same place and is not broadcast twice."""
    async with running(OPEN) as server, server.peer() as peer:
        await peer.enter("/ws?clientId=a&room=tea")
        first = await publish(server, "hello \U0001f600", id="1")
        assert (first.status, first.json) == (201, {"room": "tea", "seq": 1, "duplicate": False})
        assert (await publish(server, "hello", id="1")).json == {"room": "tea", "seq": 1, "duplicate": True}
        assert (await publish(server, "bye")).json["seq"] == 2
        heard = await peer.hear_all(2)
        assert [(h["clientId"], h["Message"], h["seq"], h.get("id")) for h in heard] == [
            ("bot", "hello \U0001f600", 1, "1"),
            ("bot", "bye", 2, None),
        ]


@pytest.mark.parametrize(
    "path, body, code",
    [
        ("/api/rooms/tea/messages", b"", "bad_request"),
        ("/api/rooms/tea/messages", b"nonsense", "bad_request"),
        ("/api/rooms/tea/messages", b"[" * 60_000, "bad_request"),
        ("/api/rooms/tea/messages", b'{"clientId":"bot","Message":"\\ud800"}', "bad_request"),
        ("/api/rooms/tea/messages", b'{"clientId":"bot","Message":"x","id":"\\ud800"}', "bad_request"),
        ("/api/rooms/tea/messages", b'{"clientId":"\\ud800","Message":"x"}', "bad_name"),
        ("/api/rooms/tea/messages", b'{"clientId":"bot","Message":"\xff"}', "bad_request"),
        ("/api/rooms/tea/messages", {"clientId": "bot"}, "bad_request"),
        ("/api/rooms/tea/messages", {"clientId": "bot", "Message": 5}, "bad_request"),
        ("/api/rooms/tea/messages", {"clientId": "bot", "Message": "x", "id": ""}, "bad_request"),
        ("/api/rooms/tea/messages", {"clientId": "a b", "Message": "x"}, "bad_name"),
        ("/api/rooms/a%20b/messages", {"clientId": "bot", "Message": "x"}, "bad_name"),
        ("/api/rooms/%ff/messages", {"clientId": "bot", "Message": "x"}, "bad_name"),
        ("/api/rooms/.x/messages", {"clientId": "bot", "Message": "x"}, "bad_name"),
    ],
)
async def test_a_bad_publication_is_a_client_error_that_says_what_is_wrong(path: str, body: object, code: str) -> None:
    """422 (400 where the body is no JSON at all), a code and a line; nothing is published, nothing is a bug."""
    async with running(OPEN) as server:
        refused = await server.fetch(path, "POST", body=body, key=True)
        assert refused.status in (400, 422)
        assert refused.code == code
        assert server.node.counters.publications == 0


async def test_bodies_are_bounded() -> None:
    """Larger than a message may be: 413. Of unknown length: 411. Neither reaches the API."""
    async with running(ServeConfig(api_key=KEY, max_message_size_bytes=1000)) as server:
        assert (await publish(server, "x" * 5000)).status == 413
        chunked = await server.fetch(
            "/api/rooms/tea/messages",
            "POST",
            {"transfer-encoding": "chunked", "content-type": "application/json"},
            key=True,
        )
        assert chunked.status == 411
        assert (await publish(server, "x" * 900)).status == 201


async def test_a_draining_server_publishes_nothing() -> None:
    """503 with a time to come back, because nobody would hear it any more."""
    async with running(OPEN) as server:
        server.node.hub.draining = True
        busy = await publish(server, "too late")
        assert (busy.status, busy.code, busy.headers["retry-after"]) == (503, "busy", "1")


async def test_rooms_list_those_with_members_or_messages() -> None:
    """By name, with position and clients."""
    async with running(OPEN) as server, server.peer() as peer:
        await peer.enter("/ws?clientId=a&room=tea")
        await publish(server, "hello", room="coffee")
        assert (await server.fetch("/api/rooms", key=True)).json == {
            "rooms": [{"name": "coffee", "seq": 1, "clients": 0}, {"name": "tea", "seq": 0, "clients": 1}]
        }


async def test_history_pages_backwards() -> None:
    """The newest `limit`, oldest first, below `before`; an unknown room is empty; bounds are checked."""
    async with running(OPEN) as server:
        for number in range(1, 6):
            await publish(server, f"text {number}", id=str(number))
        page = (await server.fetch("/api/rooms/tea/history?limit=2", key=True)).json
        assert (page["room"], page["seq"], [m["seq"] for m in page["messages"]]) == ("tea", 5, [4, 5])
        assert page["messages"][1].keys() == {"clientId", "Message", "room", "seq", "ts", "id"}
        older = (await server.fetch("/api/rooms/tea/history?limit=2&before=4", key=True)).json
        assert [m["Message"] for m in older["messages"]] == ["text 2", "text 3"]
        assert (await server.fetch("/api/rooms/nowhere/history", key=True)).json["messages"] == []
        for bad in ("limit=0", "limit=1001", "limit=x", "before=x"):
            assert (await server.fetch(f"/api/rooms/tea/history?{bad}", key=True)).status == 422


async def test_presence_counts_connections_by_client() -> None:
    """Over every dialect; empty for a room where nobody is."""
    async with running(OPEN) as server, server.peer() as one, server.peer() as two:
        await one.enter("/ws?clientId=a&room=tea")
        await two.enter("/ws?clientId=a&room=tea", v1=True)
        await wait_all_tasks_blocked(0.01)
        there = (await server.fetch("/api/rooms/tea/presence", key=True)).json
        assert there == {"room": "tea", "members": {"a": 2}, "count": 1}
        assert (await server.fetch("/api/rooms/nowhere/presence", key=True)).json["count"] == 0


async def test_connections_are_listed_slowest_first_and_can_be_ended() -> None:
    """Who hangs is at the top; DELETE ends exactly that one with 4005, and once more is 404."""
    async with running(OPEN) as server, server.peer() as quick, server.peer() as slow:
        await quick.enter("/ws?clientId=quick&room=tea")
        await slow.enter("/ws?clientId=slow&room=tea", v1=True)
        await slow.hear_all(2)
        await _stuff(server, slow, quick)
        listed = (await server.fetch("/api/connections", key=True)).json
        assert listed["total"] == 2
        assert [c["clientId"] for c in listed["connections"]] == ["slow", "quick"]
        first = listed["connections"][0]
        assert (first["dialect"], first["address"], first["rooms"]) == ("v1", "127.0.0.1", ["tea"])
        assert first["queue_bytes"] > 0
        assert first["queue_frames"] > 0
        by_age = (await server.fetch("/api/connections?sort=connected&limit=1", key=True)).json
        assert [c["clientId"] for c in by_age["connections"]] == ["quick"]
        assert (await server.fetch("/api/connections?sort=colour", key=True)).status == 422
        session = listed["connections"][1]["session"]
        assert (await server.fetch(f"/api/connections/{session}", "DELETE", key=True)).status == 204
        assert (await quick.ended()).code == 4005
        gone = await server.fetch(f"/api/connections/{session}", "DELETE", key=True)
        assert (gone.status, gone.code) == (404, "not_found")


async def test_the_slowest_are_named_to_whoever_has_the_key_alone() -> None:
    """Everybody on loopback sees that somebody is slow; who it is, and from where, is private."""
    async with running(OPEN) as server, server.peer() as quick, server.peer() as slow:
        assert (await server.fetch("/stats/recent")).json["slowest"] == []
        await quick.enter("/ws?clientId=quick&room=tea")
        await slow.enter("/ws?clientId=slow&room=tea", v1=True)
        await slow.hear_all(2)
        await _stuff(server, slow, quick)
        unnamed, named = [(await server.fetch("/stats/recent?sort=age", key=key)).json for key in (False, True)]
        assert (unnamed["named"], named["named"]) == (False, True)
        [nobody], [somebody] = unnamed["slowest"], named["slowest"]
        assert nobody["who"] is None
        assert nobody["queue_bytes"] == somebody["queue_bytes"] > 0
        assert (somebody["who"]["clientId"], somebody["who"]["address"]) == ("slow", "127.0.0.1")


async def test_the_last_seconds_come_as_columns_and_only_new_ones_when_asked() -> None:
    """One list for each figure, all of one length."""
    async with running(OPEN) as server:
        for _ in range(3):
            server.node.note_second(Rates(deliveries_per_s=5.0))
        columns = (await server.fetch("/stats/recent")).json["columns"]
        assert {len(column) for column in columns.values()} == {3}
        assert columns["deliveries_per_s"] == [5.0, 5.0, 5.0]
        newest = columns["unix_s"][-1]
        assert (await server.fetch(f"/stats/recent?since={newest}")).json["columns"]["unix_s"] == []


async def _stuff(server: Running, slow: RoughPeer, quick: RoughPeer) -> None:
    """Publish until the slow one, which reads nothing, has something queued."""
    (member,) = (m for m in server.node.hub.members.values() if m.client_id == "slow")
    while not member.outbox.bytes:
        await server.node.hub.publish("tea", "bot", "x" * 60_000)
        await quick.hear()


# --- its description ------------------------------------------------------------------------------------------------


async def test_the_description_is_valid_and_describes_what_there_is() -> None:
    """A valid OpenAPI document that names every API operation and every kind of answer it gives."""
    async with running(OPEN) as server:
        document = (await server.fetch("/openapi.json")).json
        validate(document)
        described = {(m.upper(), p) for p, methods in document["paths"].items() for m in methods}
        real = {(method, re.sub(r"/(tea|none)\b", _as_parameter, path)) for method, path in API}
        assert real <= described
        assert {("GET", path) for path in ("/healthz", "/readyz", "/stats", "/stats/recent", "/metrics")} <= described
        for method, path in real:
            operation = document["paths"][path][method.lower()]
            assert operation["summary"]
            assert {"401", "403", "422"} <= operation["responses"].keys()


def _as_parameter(found: re.Match[str]) -> str:
    return "/{room}" if found[1] == "tea" else "/{session}"


async def test_the_page_that_renders_it_loads_nothing_from_elsewhere() -> None:
    """Under the same policy as the chat page."""
    async with running() as server:
        page = await server.fetch("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert b"http://" not in page.body
        assert b"https://" not in page.body
