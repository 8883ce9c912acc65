"""`--target template`: a protocol that a scenario file describes instead of code.

What is sent is text with placeholders; what comes is looked through for a delivery, an acknowledgement, an error and
whatever else the template names, in this order. What it does not name is an unknown frame: counted, never fatal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from scalechat.client.shared_reader import SharedReader
from scalechat.load.dialects import (
    UNKNOWN,
    Acknowledged,
    Entered,
    Names,
    Nothing,
    Publish,
    Refused,
    Reply,
    Says,
    T,
    filled,
)
from scalechat.tables import Template, Where
from scalechat.wire.messages import PlainMessage

_MAX_UNFINISHED_BYTES: Final = 1024 * 1024
"""Longest unit that is waited for; what is longer was never one, and counts as unknown."""


class ByTemplate:
    """The `Dialect` of a template."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self.subprotocols = template.subprotocols
        self.headers = template.headers
        self.binary = template.frame == "binary"
        self.acknowledges = template.ack is not None
        self.confirms = template.joined is not None
        self._answers = {said.encode(): Reply(answer.encode()) for said, answer in template.answers.items()}
        self._replies = [(_finder(one.to), Reply(one.send.encode())) for one in template.replies]
        beat = template.heartbeat
        self.heartbeat = None if beat is None else (beat.every_s, Reply(beat.send.encode()))
        self._unit = None if template.unit is None else re.compile(template.unit.encode(), re.DOTALL)
        self._delivery = _finder(template.delivery)
        self._ack, self._joined = _finder(template.ack), _finder(template.joined)
        self._error, self._ignore = _finder(template.error), _finder(template.ignore)

    def resource(self, names: Names, client: int, room: str) -> str:
        """See `Dialect`."""
        path = self._template.path
        return names.path if path is None else filled(path, names.about(client, room))

    def extra_headers(self, names: Names, client: int, room: str) -> list[tuple[bytes, bytes]]:
        """See `Dialect`."""
        about = names.about(client, room)
        return [(name.encode(), filled(value, about).encode()) for name, value in self._template.headers.items()]

    def hello(self, names: Names, client: int, room: str) -> list[bytes]:
        """See `Dialect`."""
        about = names.about(client, room)
        return [filled(text, about).encode() for text in self._template.connect]

    def publish(self, names: Names, client: int, room: str) -> Publish:
        """See `Dialect`."""
        before, after = filled(self._template.publish, names.about(client, room)).split("{message}", 1)

        def made(text: bytes, number: int) -> bytes:
            facts = {"number": str(number), "size": str(len(text)), "message": text.decode()}
            return filled(before, facts).encode() + text + filled(after, facts).encode()

        return made

    def reader(self, decode: Callable[[Sequence[bytes]], T], shared: SharedReader[T]) -> SharedReader[T]:
        """See `Dialect`."""
        return shared if self._unit is None else UnitReader(self._unit, decode)

    def read(self, payload: bytes) -> PlainMessage | Says:
        """See `Dialect`. Never raises."""
        if payload in self._answers:
            return self._answers[payload]
        seen = _Seen(payload)
        if (text := self._delivery(seen)) is not None:
            return PlainMessage("", text.decode(errors="replace"))
        for found, reply in self._replies:
            if found(seen) is not None:
                return reply
        if (number := self._ack(seen)) is not None:
            return Acknowledged(int(number)) if number.isdigit() else UNKNOWN
        if (what := self._error(seen)) is not None:
            return Refused(what.decode(errors="replace"))
        if self._joined(seen) is not None:
            return Entered()
        return UNKNOWN if self._ignore(seen) is None else Nothing()


class UnitReader(SharedReader[T]):
    """For one connection: puts its frames together and takes units out, wherever frames begin and end.

    What was left of the last frame decides what the next one means, so nothing can be remembered by its bytes here;
    equal units are still recognised by the decoder.
    """

    __slots__ = ("_rest", "_unit")

    def __init__(self, unit: re.Pattern[bytes], decode: Callable[[Sequence[bytes]], T]) -> None:
        super().__init__(lambda payloads: decode(self._units(payloads)))
        self._unit = unit
        self._rest = b""

    def recall(self, chunk: bytes) -> T | None:  # noqa: ARG002 - see the class
        """Nothing."""
        return None

    def learn(self, chunk: bytes, payloads: Sequence[bytes]) -> T:  # noqa: ARG002
        """Decode, and remember nothing."""
        return self.decode(payloads)

    def _units(self, payloads: Sequence[bytes]) -> list[bytes]:
        data = self._rest + b"".join(payloads)
        units: list[bytes] = []
        at = 0
        while (found := self._unit.match(data, at)) is not None and found.end() > at:
            units.append(found.group())
            at = found.end()
        if len(data) - at > _MAX_UNFINISHED_BYTES:
            units.append(data[at:])
            at = len(data)
        self._rest = data[at:]
        return units


class _Seen:
    """One unit; read as JSON at most once."""

    __slots__ = ("_document", "_read", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._document: object = None
        self._read = False

    def at(self, keys: Sequence[str]) -> bytes | None:
        """The value at a JSON pointer: a string's text, anything else as JSON; None when there is nothing."""
        if not self._read:
            self._read = True
            try:
                self._document = msgspec.json.decode(self.payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._document = None
        value = self._document
        for key in keys:
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        if value is None:
            return None
        return value.encode(errors="replace") if isinstance(value, str) else msgspec.json.encode(value)


def _finder(where: Where | None) -> Callable[[_Seen], bytes | None]:
    if where is None:
        return lambda _seen: None
    if where.json is not None:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in where.json.split("/")[1:]]
        return lambda seen: seen.at(keys)
    assert where.regex is not None
    pattern = re.compile(where.regex.encode(), re.DOTALL)
    group = 1 if pattern.groups else 0

    def search(seen: _Seen) -> bytes | None:
        found = pattern.search(seen.payload)
        return None if found is None else found.group(group) or b""

    return search
