"""Text ⇄ message. `BadMessage` is a peer's fault, `EncodeError` is ours.

msgspec does the JSON: it refuses lone surrogates, which the standard library would let in and which would then break
the encoding of a broadcast in its *sender's* path. Nesting too deep for it raises RecursionError: a bad message as
well.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from scalechat.wire.messages import (
    MAX_ID_CHARS,
    BadMessage,
    Command,
    Join,
    Leave,
    PlainDirect,
    PlainMessage,
    Position,
    Publication,
    Publish,
    ReadHistory,
    ReadPresence,
    SendDirect,
    ServerSays,
    parse_name,
)

MAX_HISTORY_ITEMS = 1000
"""Most messages one answer carries; a client that wants more asks again with `before`."""


class EncodeError(Exception):
    """Our fault: a value of ours cannot be written as UTF-8 JSON."""


class _Asked(msgspec.Struct, omit_defaults=True):
    """Every key a v1 client may send. Flat, so that unknown keys are ignored and `type` may be missing."""

    type: str = "message"
    id: str | None = None
    client_id: str | None = msgspec.field(name="clientId", default=None)
    text: str | None = msgspec.field(name="Message", default=None)
    room: str | None = None
    to: str | None = None
    since: Position | None = None
    history: int = 0
    before: int | None = None
    limit: int = 50
    presence: bool = False


class _JustId(msgspec.Struct):
    id: str | None = None


T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_plain_decoder = msgspec.json.Decoder(PlainMessage)
_asked_decoder = msgspec.json.Decoder(_Asked)
_id_decoder = msgspec.json.Decoder(_JustId)
_publication_decoder = msgspec.json.Decoder(Publication)
_said_decoder: msgspec.json.Decoder[ServerSays] = msgspec.json.Decoder(ServerSays)


def decode_plain(payload: bytes) -> PlainMessage:
    """Decode a plain client's message; raises `BadMessage`."""
    return _decode(_plain_decoder, payload)


def decode_command(payload: bytes) -> Command:
    """Decode what a v1 client asks; raises `BadMessage` with the request's id where that could be read."""
    asked = _decode(_asked_decoder, payload)
    if asked.id is not None and not 1 <= len(asked.id) <= MAX_ID_CHARS:
        raise BadMessage("bad_message", f"id must have 1 to {MAX_ID_CHARS} characters")
    try:
        return _command(asked)
    except BadMessage as bad:
        bad.id = asked.id
        raise


def decode_server_text(payload: bytes) -> Publication | ServerSays:
    """Decode what a v1 server says: a chat message (it has no ``type``) or an answer. Raises `BadMessage`."""
    if b'"type"' in payload[:9]:  # Answers are written tag first; a chat message begins with its clientId.
        return _decode(_said_decoder, payload)
    return _decode(_publication_decoder, payload)


def decode_publication(payload: bytes) -> Publication:
    """Decode a chat message of ours; raises `BadMessage`."""
    return _decode(_publication_decoder, payload)


def encode(message: Publication | PlainDirect | ServerSays) -> bytes:
    """Encode a message of ours as UTF-8 JSON; raises `EncodeError`."""
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError as exc:
        raise EncodeError(f"{type(message).__name__} holds text that is not Unicode") from exc


def encode_command(command: Command) -> bytes:
    """Encode what a client asks, the mirror of `decode_command`; raises `EncodeError`."""
    try:
        return _encoder.encode(_asked(command))
    except UnicodeEncodeError as exc:
        raise EncodeError(f"{type(command).__name__} holds text that is not Unicode") from exc


def _asked(command: Command) -> _Asked:
    match command:
        case Publish(text, room, client_id, id):
            return _Asked(text=text, room=room, client_id=client_id, id=id)
        case SendDirect(to, text, id):
            return _Asked(type="direct", to=to, text=text, id=id)
        case Join(room, since, history, presence, id):
            return _Asked(type="join", room=room, since=since, history=history, presence=presence, id=id)
        case Leave(room, id):
            return _Asked(type="leave", room=room, id=id)
        case ReadHistory(room, before, limit, id):
            return _Asked(type="history", room=room, before=before, limit=limit, id=id)
        case ReadPresence(room, id):
            return _Asked(type="presence", room=room, id=id)


def _command(asked: _Asked) -> Command:
    match asked.type:
        case "message":
            room = None if asked.room is None else parse_name(asked.room, "room")
            return Publish(_required(asked.text, "Message"), room, asked.client_id, asked.id)
        case "direct":
            to = parse_name(_required(asked.to, "to"), "to")
            return SendDirect(to, _required(asked.text, "Message"), asked.id)
        case "join":
            return Join(_room(asked), asked.since, _count(asked.history, "history"), asked.presence, asked.id)
        case "leave":
            return Leave(_room(asked), asked.id)
        case "history":
            return ReadHistory(_room(asked), asked.before, _count(asked.limit, "limit"), asked.id)
        case "presence":
            return ReadPresence(_room(asked), asked.id)
    raise BadMessage("unknown_type", "unknown type; known are message, direct, join, leave, history, presence")


def _required(value: str | None, key: str) -> str:
    if value is None:
        raise BadMessage("bad_message", f"{key} is missing")
    return value


def _room(asked: _Asked) -> str:
    return parse_name(_required(asked.room, "room"), "room")


def _count(value: int, key: str) -> int:
    if value < 0:
        raise BadMessage("bad_message", f"{key} must not be negative")
    return min(value, MAX_HISTORY_ITEMS)


def _decode(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as exc:
        raise BadMessage("bad_message", str(exc), read_id(payload)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadMessage("bad_json", f"not JSON: {exc}") from exc
    except RecursionError as exc:
        raise BadMessage("bad_json", "JSON nested too deeply") from exc


def read_id(payload: bytes) -> str | None:
    """The request's own id, where it can be read, so that a refusal can be matched to it."""
    try:
        return _id_decoder.decode(payload).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
