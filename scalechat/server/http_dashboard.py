"""The dashboard, for those without Grafana: one page, and the figures of the last fifteen minutes that it draws."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from scalechat.server.assets import Asset
from scalechat.server.http_access import Access
from scalechat.server.recent import Sample
from scalechat.server.site import ConnectionOut, Site, SortConnections

SLOWEST = 10
"""A screenful. Whoever wants more asks /api/connections."""


class Columns(BaseModel):
    """One list for each figure, all of the same length; a second in which nothing was published has no fan-out."""

    unix_s: list[int] = Field(description="The second, ascending. Seconds may be missing.")
    connections: list[int]
    publications_per_s: list[float]
    deliveries_per_s: list[float]
    fanout_p50_ms: list[float | None] = Field(description="From a publication to the last member's queue.")
    fanout_p99_ms: list[float | None]
    queue_bytes: list[int] = Field(description="Waiting for slow clients.")
    queue_age_s: list[float] = Field(description="Age of the oldest of it.")
    loop_lag_ms: list[float] = Field(description="How late the event loop was at worst in that second.")
    cpu_ratio: list[float] = Field(description="1.0 is one core.")
    rss_bytes: list[int]


class Who(BaseModel):
    session: str
    client_id: str | None = Field(serialization_alias="clientId")
    address: str


class SlowClient(BaseModel):
    queue_frames: int
    queue_bytes: int
    queue_age_s: float
    who: Who | None = Field(description="None where clients are not named.")


class Lately(BaseModel):
    columns: Columns
    named: bool = Field(description="Whether slow clients are named: only to whoever sends the API key.")
    slowest: list[SlowClient] = Field(description="Those that anything waits for, the slowest first, ten at most.")


def dashboard_router(page: Asset, site: Site, access: Access) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/dashboard", include_in_schema=False)
    async def dashboard(request: Request) -> Response:
        return page.response(request)  # Nothing in it is anybody's: the figures are what is guarded.

    @router.get("/stats/recent", dependencies=[Depends(access.page)], tags=["health"])
    async def recent(
        request: Request,
        since: Annotated[int, Query(description="Only seconds after this one, Unix time.")] = 0,
        sort: Annotated[SortConnections, Query(description="What makes a client slow.")] = "queue",
    ) -> Lately:
        """The last fifteen minutes, second by second, of all processes behind this port; and the slowest clients."""
        samples = await site.recent(since)
        slowest = (await site.connections(sort, SLOWEST)).connections
        named = access.has_key(request)
        return Lately(
            columns=_columns(samples),
            named=named,
            slowest=[_slow(one, named=named) for one in slowest if one.queue_frames],
        )

    return router


def _columns(samples: list[Sample]) -> Columns:
    return Columns(**{name: [getattr(sample, name) for sample in samples] for name in Sample.__struct_fields__})


def _slow(one: ConnectionOut, *, named: bool) -> SlowClient:
    return SlowClient(
        queue_frames=one.queue_frames,
        queue_bytes=one.queue_bytes,
        queue_age_s=one.queue_age_s,
        who=Who(session=one.session, client_id=one.client_id, address=one.address) if named else None,
    )
