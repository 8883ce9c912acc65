"""The AsyncAPI document: valid by the specification's own schema, and true of what the codec writes."""

import json
from pathlib import Path
from typing import get_args

import jsonschema
import msgspec
from hypothesis import given

from scalechat.wire import messages
from scalechat.wire.asyncapi import document, document_text
from scalechat.wire.codec import encode, encode_command
from tests.wire.strategies import answers, commands, publications

_HERE = Path(__file__).parent
_KEPT = _HERE.parents[1] / "docs/reference/asyncapi.json"


def _fits(kind: type, payload: bytes) -> None:
    schema = {"$ref": f"#/components/schemas/{kind.__name__}", "components": document()["components"]}
    jsonschema.Draft202012Validator(schema).validate(json.loads(payload))


def test_document_is_valid_by_the_schema_of_asyncapi_3() -> None:
    """`asyncapi/3.0.0.json` is the specification's (Apache License 2.0, beside it)."""
    schema = json.loads((_HERE / "asyncapi/3.0.0.json").read_bytes())
    jsonschema.Draft7Validator(schema).validate(document())


def test_a_document_with_an_unknown_action_is_not_valid() -> None:
    """The schema says no when there is a reason: the test above can fail."""
    schema = json.loads((_HERE / "asyncapi/3.0.0.json").read_bytes())
    broken = document() | {"operations": {"shout": {"action": "shout", "channel": {"$ref": "#/channels/v1"}}}}
    assert not jsonschema.Draft7Validator(schema).is_valid(broken)


def test_the_kept_document_is_todays() -> None:
    """Otherwise: ``python -m scalechat.wire.asyncapi > docs/reference/asyncapi.json``."""
    assert _KEPT.read_text() == document_text()


@given(command=commands)
def test_every_command_of_the_codec_fits_its_schema(command: messages.Command) -> None:
    """What a client of ours writes is what the document says may be written."""
    _fits(type(command), encode_command(command))


@given(answer=answers)
def test_every_answer_of_the_codec_fits_its_schema(answer: messages.ServerSays) -> None:
    """What the server writes is what the document says it writes."""
    _fits(type(answer), encode(answer))


@given(publication=publications)
def test_every_chat_message_fits_its_schema(publication: messages.Publication) -> None:
    """And so do the bytes every member receives."""
    _fits(messages.Publication, encode(publication))


@given(publication=publications)
def test_joined_and_history_hold_chat_messages(publication: messages.Publication) -> None:
    """The codec carries them as bytes; the document still says what they are."""
    held = [msgspec.Raw(encode(publication))]
    _fits(messages.History, encode(messages.History(room="a", epoch="e", messages=held)))
    joined = messages.Joined(room="a", epoch="e", seq=1, members=1, recovered=True, history=held)
    _fits(messages.Joined, encode(joined))


def test_every_reference_leads_somewhere() -> None:
    """No message, channel or schema is named that the document does not have."""
    whole = document()
    stack: list[object] = [whole]
    seen = 0
    while stack:
        match stack.pop():
            case {"$ref": str(target)}:
                at: object = whole
                for step in target.removeprefix("#/").split("/"):
                    assert isinstance(at, dict)
                    at = at[step]
                seen += 1
            case dict() as inner:
                stack += inner.values()
            case list() as inner:
                stack += inner
    assert seen > len(get_args(messages.ServerSays))
