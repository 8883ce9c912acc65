"""The ASGI app behind everything on the port that is not a WebSocket: page, metrics, health, API.

FastAPI, because its typed handlers are the OpenAPI document. Every handler is a coroutine, so none leaves the Trio
thread. Read-only pages (`/metrics`, `/stats`, `/docs`, `/openapi.json`) are open on loopback, or when allowed
explicitly, or to whoever has the API key; the API itself always needs the key.
"""

from __future__ import annotations

import hmac
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from scalechat.bus.base import Bus, BusError
from scalechat.server.hub import Hub
from scalechat.server.member import Member
from scalechat.server.metrics import Metrics
from scalechat.wire.codec import MAX_HISTORY_ITEMS
from scalechat.wire.messages import MAX_ID_CHARS, BadMessage, Publication, parse_name

_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class Stats(BaseModel):
    """A few live figures, as the page shows them. Rates are over the last second."""

    connections: int
    rooms: int
    publications_total: int
    deliveries_total: int
    publications_per_s: float
    deliveries_per_s: float
    loop_lag_p99_ms: float
    queue_bytes: int
    cpu_ratio: float
    rss_bytes: int
    uptime_s: float
    draining: bool


class ErrorBody(BaseModel):
    code: str
    detail: str


class Health(BaseModel):
    status: str


class MessageIn(BaseModel):
    """A message to publish; `id` makes a retry safe."""

    client_id: str = Field(alias="clientId", description="Who says it; 1 to 64 letters, digits, -_.")
    text: str = Field(alias="Message")
    id: str | None = Field(default=None, min_length=1, max_length=MAX_ID_CHARS)


class Published(BaseModel):
    room: str
    seq: int
    duplicate: bool = Field(description="True when this client had published this id already: nothing was added.")


class MessageOut(BaseModel):
    client_id: str = Field(serialization_alias="clientId")
    text: str = Field(serialization_alias="Message")
    room: str
    seq: int
    ts: int
    id: str | None = None


class HistoryOut(BaseModel):
    room: str
    epoch: str
    seq: int
    messages: list[MessageOut]


class RoomOut(BaseModel):
    name: str
    seq: int
    clients: int


class Rooms(BaseModel):
    rooms: list[RoomOut]


class PresenceOut(BaseModel):
    room: str
    members: dict[str, int] = Field(description="Connections by clientId.")
    count: int


class ConnectionOut(BaseModel):
    session: str
    client_id: str | None = Field(serialization_alias="clientId")
    dialect: str
    address: str
    rooms: list[str]
    queue_frames: int
    queue_bytes: int
    queue_age_s: float
    connected_unix_s: float


class Connections(BaseModel):
    total: int
    connections: list[ConnectionOut]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see what. `open_pages`: read-only pages need no key."""

    api_key: str | None
    open_pages: bool

    def has_key(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self.api_key is None:
            return False
        return hmac.compare_digest(given.encode(), self.api_key.encode())

    async def page(self, request: Request) -> None:
        if not (self.open_pages or self.has_key(request)):
            raise HTTPException(
                HTTPStatus.FORBIDDEN, "open on loopback only; start with --public-pages, or send the API key"
            )

    async def api(self, request: Request) -> None:
        if self.api_key is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, "the API is closed; start with --api-key to open it")
        if not self.has_key(request):
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "send the API key as 'Authorization: Bearer …'",
                headers={"www-authenticate": "Bearer"},
            )


def build_app(
    *,
    hub: Hub,
    bus: Bus,
    metrics: Metrics,
    access: Access,
    read_stats: Callable[[], Stats],
    not_ready: Callable[[], str | None],
    kick: Callable[[Member], None],
    now_s: Callable[[], float],
) -> FastAPI:
    """The app. `not_ready` returns why no more clients should be sent here; `now_s` is the queues' clock."""
    app = FastAPI(
        title="Scale-Chat",
        version=version("scalechat"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        description="The HTTP side of a Scale-Chat server. Chat itself is the WebSocket at /ws.",
    )
    _answer_errors(app)
    app.include_router(_pages(app, metrics, access, read_stats, not_ready))
    app.include_router(_api(hub, bus, access, kick, now_s))
    return app


def _answer_errors(app: FastAPI) -> None:
    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).name.lower()
        return _error(error.status_code, code, str(error.detail), error.headers)

    async def bad_request(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _error(
            HTTPStatus.UNPROCESSABLE_ENTITY, "bad_request", f"{where}: {first['msg']}" if where else first["msg"]
        )

    async def bad_message(_: Request, error: Exception) -> Response:
        assert isinstance(error, BadMessage)
        return _error(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.detail)

    async def bus_busy(_: Request, error: Exception) -> Response:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, "busy", str(error), {"retry-after": "1"})

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, bad_request)
    app.add_exception_handler(BadMessage, bad_message)
    app.add_exception_handler(BusError, bus_busy)


def _error(status: int, code: str, detail: str, headers: object = None) -> JSONResponse:
    extra = headers if isinstance(headers, dict) else None
    return JSONResponse(ErrorBody(code=code, detail=detail).model_dump(), status, headers=extra)


def _pages(
    app: FastAPI,
    metrics: Metrics,
    access: Access,
    read_stats: Callable[[], Stats],
    not_ready: Callable[[], str | None],
) -> APIRouter:
    router = APIRouter()
    assets = _load_assets()
    readable = [Depends(access.page)]

    @router.get("/healthz", tags=["health"])
    async def alive() -> Health:
        """The process runs and its loop turns."""
        return Health(status="ok")

    @router.get("/readyz", tags=["health"], responses={503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """Whether new clients should be sent here: 503 while draining or at a limit."""
        why = not_ready()
        if why is not None:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status=why or "ready")

    @router.get("/stats", dependencies=readable, tags=["health"])
    async def stats() -> Stats:
        """A few live figures."""
        return read_stats()

    @router.get("/metrics", dependencies=readable, tags=["health"], response_class=PlainTextResponse)
    async def scrape(request: Request) -> Response:
        """Prometheus text, or OpenMetrics when the Accept header asks for it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), media_type=content_type)

    @router.get("/openapi.json", dependencies=readable, include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @router.get("/docs", dependencies=readable, include_in_schema=False)
    async def docs(request: Request) -> Response:
        return assets["api.html"].response(request)

    @router.get("/ws", include_in_schema=False)
    async def websocket_only() -> Response:
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        return _error(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", "this is the WebSocket endpoint", headers)

    @router.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return assets["index.html"].response(request)

    @router.get("/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        if name not in assets:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such page")
        return assets[name].response(request)

    return router


RoomName = Annotated[str, Path(description="Room name: 1 to 64 letters, digits, -_.")]


def _api(hub: Hub, bus: Bus, access: Access, kick: Callable[[Member], None], now_s: Callable[[], float]) -> APIRouter:
    errors: dict[int | str, dict[str, type[ErrorBody]]] = {
        status: {"model": ErrorBody} for status in (401, 403, 422, 503)
    }
    router = APIRouter(prefix="/api", dependencies=[Depends(access.api)], responses=errors)

    @router.post("/rooms/{room}/messages", status_code=HTTPStatus.CREATED, tags=["rooms"])
    async def publish(room: RoomName, message: MessageIn) -> Published:
        """Publish a message; when this returns, the message has its place in the room's log."""
        name = parse_name(room, "room")
        receipt = await hub.publish(name, parse_name(message.client_id, "clientId"), message.text, message.id)
        return Published(room=name, seq=receipt.seq, duplicate=receipt.duplicate)

    @router.get("/rooms", tags=["rooms"])
    async def rooms() -> Rooms:
        """Rooms with members or messages."""
        return Rooms(rooms=[RoomOut(name=r.name, seq=r.seq, clients=r.clients) for r in await bus.rooms()])

    @router.get("/rooms/{room}/history", tags=["rooms"])
    async def history(
        room: RoomName,
        before: Annotated[int | None, Query(description="Only messages below this position.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_HISTORY_ITEMS)] = 50,
    ) -> HistoryOut:
        """The newest messages, oldest first."""
        page = await bus.history(parse_name(room, "room"), before=before, limit=limit)
        return HistoryOut(room=room, epoch=page.epoch, seq=page.seq, messages=[_out(p) for p in page.publications])

    @router.get("/rooms/{room}/presence", tags=["rooms"])
    async def presence(room: RoomName) -> PresenceOut:
        """Who is in the room."""
        members = await bus.presence(parse_name(room, "room"))
        return PresenceOut(room=room, members=members, count=len(members))

    @router.get("/connections", tags=["connections"])
    async def connections(
        sort: Annotated[Literal["queue", "age", "connected"], Query(description="Largest first.")] = "queue",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Connections:
        """Connections of this node; by default the slowest clients first."""
        moment_s = now_s()
        keys: dict[str, Callable[[ConnectionOut], float]] = {
            "queue": lambda c: c.queue_bytes,
            "age": lambda c: c.queue_age_s,
            "connected": lambda c: -c.connected_unix_s,
        }
        every = [
            ConnectionOut(
                session=m.session_id,
                client_id=m.client_id,
                dialect=m.session.dialect.value,
                address=m.address,
                rooms=sorted(m.session.rooms),
                queue_frames=m.outbox.frames,
                queue_bytes=m.outbox.bytes,
                queue_age_s=round(m.outbox.age_s(moment_s), 3),
                connected_unix_s=m.connected_unix_s,
            )
            for m in hub.members.values()
        ]
        return Connections(total=len(every), connections=sorted(every, key=keys[sort], reverse=True)[:limit])

    @router.delete("/connections/{session}", status_code=HTTPStatus.NO_CONTENT, tags=["connections"])
    async def disconnect(session: str) -> None:
        """End one connection with code 4005."""
        member = hub.members.get(session)
        if member is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such connection on this node")
        kick(member)

    return router


def _out(publication: Publication) -> MessageOut:
    return MessageOut(
        client_id=publication.client_id,
        text=publication.text,
        room=publication.room,
        seq=publication.seq,
        ts=publication.ts_unix_ms,
        id=publication.id,
    )


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    content_type: str
    etag: str

    def response(self, request: Request) -> Response:
        headers = {**_SECURITY_HEADERS, "etag": self.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(self.body, media_type=self.content_type, headers=headers)


def _load_assets() -> dict[str, _Asset]:
    """The page's files, all in memory: together they are smaller than one connection's queue."""
    assets = {}
    for file in (resources.files("scalechat") / "web").iterdir():
        content_type, _ = mimetypes.guess_type(file.name)
        if file.is_file() and content_type is not None and not file.name.endswith(".py"):
            body = file.read_bytes()
            assets[file.name] = _Asset(body, content_type, f'"{sha256(body).hexdigest()[:16]}"')
    return assets
