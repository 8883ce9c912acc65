"""The HTTP API under ``/api``: typed handlers, which are also its OpenAPI description."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AfterValidator, BaseModel, Field
from starlette.exceptions import HTTPException

from scalechat.bus.base import Bus
from scalechat.server.http_access import Access
from scalechat.server.hub import Hub
from scalechat.server.site import Connections, Site, SortConnections
from scalechat.wire.codec import MAX_HISTORY_ITEMS
from scalechat.wire.messages import MAX_ID_CHARS, Publication, parse_name


class ErrorBody(BaseModel):
    code: str
    detail: str


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:  # Python's JSON lets lone surrogates in, and then no frame can hold them.
        raise ValueError("not Unicode text") from exc
    return text


Text = Annotated[str, AfterValidator(_encodable)]


class MessageIn(BaseModel):
    """A message to publish; `id` makes a retry safe."""

    client_id: str = Field(alias="clientId", description="Who says it; 1 to 64 letters, digits, -_.")
    text: Text = Field(alias="Message")
    id: Text | None = Field(default=None, min_length=1, max_length=MAX_ID_CHARS)


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


RoomName = Annotated[str, Path(description="Room name: 1 to 64 letters, digits, -_.")]


def api_router(hub: Hub, bus: Bus, site: Site, access: Access, presence_limit: int) -> APIRouter:
    """The routes."""
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
        """Who is in the room; of one with more clients than `--presence-limit` the count alone."""
        name = parse_name(room, "room")
        count = await bus.population(name)
        return PresenceOut(room=room, members=await bus.presence(name) if count <= presence_limit else {}, count=count)

    @router.get("/connections", tags=["connections"])
    async def connections(
        sort: Annotated[SortConnections, Query(description="Largest first.")] = "queue",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Connections:
        """Connections of this port's processes; by default the slowest clients first."""
        return await site.connections(sort, limit)

    @router.delete(
        "/connections/{session}",
        status_code=HTTPStatus.NO_CONTENT,
        tags=["connections"],
        responses={202: {"description": "It is not here; every other node has been asked to end it."}},
    )
    async def disconnect(session: str) -> Response:
        """End one connection, on whichever node it is, with code 4005."""
        if await site.kick(session):
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if site.knows_all_nodes:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such connection")
        await bus.kick(session)
        return Response(status_code=HTTPStatus.ACCEPTED)

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
