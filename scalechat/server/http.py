"""The ASGI app behind everything on the port that is not a WebSocket: page, metrics, health, API.

FastAPI, because its typed handlers are the OpenAPI document. Every handler is a coroutine, so none leaves the Trio
thread. Read-only pages (`/metrics`, `/stats`, `/stats/recent`, `/docs`, `/openapi.json`, `/asyncapi.json`) are open on
loopback, or when allowed explicitly, or to whoever has the API key; the API itself always needs the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import cast

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from scalechat.bus.base import Bus, BusError
from scalechat.server.assets import Asset, load_assets
from scalechat.server.http_access import Access
from scalechat.server.http_api import ErrorBody, api_router
from scalechat.server.http_dashboard import dashboard_router
from scalechat.server.hub import Hub
from scalechat.server.site import Site, SiteError, Stats
from scalechat.wire import asyncapi
from scalechat.wire.messages import BadMessage


class Health(BaseModel):
    status: str


def build_app(
    *,
    hub: Hub,
    bus: Bus,
    site: Site,
    presence_limit: int,
    access: Access,
) -> FastAPI:
    """The app. Rooms with more clients than `presence_limit` tell their count alone."""
    app = FastAPI(
        title="Scale-Chat",
        version=version("scalechat"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        description="The HTTP side of a Scale-Chat server. Chat itself is the WebSocket at /ws.",
    )
    _answer_errors(app)
    assets = load_assets()
    app.include_router(dashboard_router(assets["dashboard.html"], site, access))
    app.include_router(_pages(app, site, access, assets))
    app.include_router(api_router(hub, bus, site, access, presence_limit))
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
    app.add_exception_handler(SiteError, bus_busy)


def _error(status: int, code: str, detail: str, headers: object = None) -> JSONResponse:
    extra = headers if isinstance(headers, dict) else None
    return JSONResponse(ErrorBody(code=code, detail=detail).model_dump(), status, headers=extra)


class _Families:
    """What prometheus-client's encoders read: a registry that has been asked already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _pages(app: FastAPI, site: Site, access: Access, assets: Mapping[str, Asset]) -> APIRouter:
    router = APIRouter()
    readable = [Depends(access.page)]

    @router.get("/healthz", tags=["health"])
    async def alive() -> Health:
        """The process runs and its loop turns."""
        return Health(status="ok")

    @router.get("/readyz", tags=["health"], responses={503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """Whether new clients should be sent here: 503 while draining or at a limit."""
        why = await site.not_ready()
        if why is not None:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status=why or "ready")

    @router.get("/stats", dependencies=readable, tags=["health"])
    async def stats() -> Stats:
        """A few live figures."""
        return await site.stats()

    @router.get("/metrics", dependencies=readable, tags=["health"], response_class=PlainTextResponse)
    async def scrape(request: Request) -> Response:
        """Prometheus text, or OpenMetrics when the Accept header asks for it."""
        families = _Families(await site.families())
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(cast("CollectorRegistry", families)), media_type=content_type)

    @router.get("/openapi.json", dependencies=readable, include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @router.get("/asyncapi.json", dependencies=readable, include_in_schema=False)
    async def websocket_protocol() -> JSONResponse:
        return JSONResponse(asyncapi.document())

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
