"""The AsyncAPI 3.0 document of ``/ws``, made from the very structs that the codec writes and reads.

``python -m scalechat.wire.asyncapi`` prints it; it is kept in ``docs/reference/asyncapi.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import msgspec

from scalechat.wire import messages
from scalechat.wire.codec import MAX_HISTORY_ITEMS

Json = dict[str, object]

_REF = "#/components/schemas/{name}"
_KEYS = {"text": "Message", "client_id": "clientId"}
"""Of a command, which is decoded by hand: its Python names as they are on the wire."""


class _Asked(NamedTuple):
    named: str
    answer: type[msgspec.Struct]
    title: str


_COMMANDS: Mapping[type[msgspec.Struct], _Asked] = {
    messages.Publish: _Asked("message", messages.Ack, "Say something in a room; acknowledged if it has an id"),
    messages.SendDirect: _Asked("direct", messages.Ack, "Say something to every connection of one client"),
    messages.Join: _Asked("join", messages.Joined, "Join a room, or resume where a connection broke"),
    messages.Leave: _Asked("leave", messages.Left, "Leave a room"),
    messages.ReadHistory: _Asked("history", messages.History, "Ask for messages of the past"),
    messages.ReadPresence: _Asked("presence", messages.Presence, "Ask who is in a room"),
}
_TITLES: Mapping[type[msgspec.Struct], str] = {
    messages.PlainMessage: "A chat message in the plain dialect",
    messages.PlainDirect: "A private message in the plain dialect",
    messages.Publication: "A chat message: every member of the room receives the same bytes",
    **{kind: asked.title for kind, asked in _COMMANDS.items()},
}


def document() -> Json:
    """The document as JSON; the same every time."""
    commands = list(_COMMANDS)
    answers: list[type[msgspec.Struct]] = [messages.Publication, *get_args(messages.ServerSays)]
    plain: list[type[msgspec.Struct]] = [messages.PlainMessage, messages.PlainDirect]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Scale-Chat over WebSocket",
            "version": "1.0.0",
            "description": "Text frames, one JSON object each. What no schema says (resume, retry, close codes, what "
            "an acknowledgement means) is in protocol.md.",
        },
        "defaultContentType": "application/json",
        "servers": {"here": {"host": "localhost:8080", "protocol": "ws"}},
        "channels": {
            "v1": _channel(f"With the subprotocol {messages.SUBPROTOCOL}", [*commands, *answers], _subprotocol()),
            "plain": _channel("Without a subprotocol", [*plain, messages.Publication], {}),
        },
        "operations": _operations(commands, answers),
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in (*commands, *answers, *plain)},
            "schemas": _schemas(commands, [*answers, *plain]),
        },
    }


def _subprotocol() -> Json:
    name = "Sec-WebSocket-Protocol"
    properties = {name: {"type": "string", "const": messages.SUBPROTOCOL}}
    return {"headers": {"type": "object", "properties": properties, "required": [name]}}


def _channel(title: str, kinds: Sequence[type[msgspec.Struct]], binding: Json) -> Json:
    name = {"type": "string", "minLength": 1, "maxLength": messages.MAX_NAME_CHARS}
    query = {
        "clientId": name,
        "room": {"type": "string", "maxLength": messages.MAX_NAME_CHARS, "default": messages.DEFAULT_ROOM},
        "token": {"type": "string"},
        "history": {"type": "integer", "minimum": 0, "maximum": MAX_HISTORY_ITEMS},
        "since_epoch": {"type": "string"},
        "since_seq": {"type": "integer", "minimum": 0},
        "presence": {"type": "integer", "default": 0},
    }
    return {
        "address": "/ws",
        "title": title,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in kinds},
        "bindings": {"ws": {"method": "GET", "query": {"type": "object", "properties": query}} | binding},
    }


def _operations(commands: Sequence[type[msgspec.Struct]], answers: Sequence[type[msgspec.Struct]]) -> Json:
    """As AsyncAPI has it, from the application that is described: the server receives commands and sends the rest."""
    found: Json = {
        f"receive{kind.__name__}": _operation("receive", "v1", [kind])
        | {
            "reply": {
                "channel": {"$ref": "#/channels/v1"},
                "messages": [_ref("v1", _COMMANDS[kind].answer), _ref("v1", messages.ErrorAnswer)],
            }
        }
        for kind in commands
    }
    found["send"] = _operation("send", "v1", answers)
    found["receivePlain"] = _operation("receive", "plain", [messages.PlainMessage])
    found["sendPlain"] = _operation("send", "plain", [messages.Publication, messages.PlainDirect])
    return found


def _operation(action: str, channel: str, kinds: Sequence[type[msgspec.Struct]]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [_ref(channel, kind) for kind in kinds],
    }


def _ref(channel: str, kind: type[msgspec.Struct]) -> Json:
    return {"$ref": f"#/channels/{channel}/messages/{kind.__name__}"}


def _message(kind: type[msgspec.Struct]) -> Json:
    said = f'Answer or notice of type "{kind.__struct_config__.tag}"'
    return {
        "name": kind.__name__,
        "title": _TITLES.get(kind, said),
        "payload": {"$ref": _REF.format(name=kind.__name__)},
    }


def _schemas(commands: Sequence[type[msgspec.Struct]], said: Sequence[type[msgspec.Struct]]) -> Json:
    """A schema for each struct and those inside; commands with their wire names, history with what it holds."""
    _, schemas = msgspec.json.schema_components([*commands, *said], ref_template=_REF)
    for kind, asked in _COMMANDS.items():
        schemas[kind.__name__] = _command(schemas[kind.__name__], asked.named)
    for holder, key in ((messages.Joined, "history"), (messages.History, "messages")):
        schemas[holder.__name__]["properties"][key]["items"] = {"$ref": _REF.format(name="Publication")}
    schemas["PresenceEvent"]["properties"]["event"] = {"type": "string", "enum": ["join", "leave"]}
    return schemas


def _command(schema: Mapping[str, object], type_: str) -> Json:
    properties = schema["properties"]
    required = schema["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    wire: Json = {"type": {"type": "string", "const": type_}}
    wire |= {_KEYS.get(str(name), str(name)): shape for name, shape in properties.items()}
    wire["id"] = {"type": ["string", "null"], "minLength": 1, "maxLength": messages.MAX_ID_CHARS}
    # Without a type it is a message.
    named = [] if type_ == "message" else ["type"]
    return {**schema, "properties": wire, "required": [*named, *(_KEYS.get(name, name) for name in required)]}


def document_text() -> str:
    """The document as it is kept."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document_text())
