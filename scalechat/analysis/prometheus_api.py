"""The HTTP API of a Prometheus, as far as a report asks it; whatever goes wrong is one line."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Final

import msgspec

from scalechat.config import OperationalError

__all__ = ["Series", "query_range"]

_ANSWER_S: Final = 30.0
_ANSWER_BYTES: Final = 256 * 1_000_000
"""Three hundred points of some 30,000 series."""


class Series(msgspec.Struct, frozen=True):
    """One series of an answer: its labels, and pairs of Unix seconds and a number as text."""

    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct, frozen=True):
    result: list[Series]


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data | None = None
    error: str = ""


def query_range(url: str, query: str, start_unix_s: float, end_unix_s: float, step_s: float) -> list[Series]:
    """The series that a PromQL expression yields at every step of a range.

    Raises:
        OperationalError: no Prometheus answers at `url`, or it refuses the question; one line.
    """
    if not url.startswith(("http://", "https://")):
        raise OperationalError(f"{url} is no address of a Prometheus: it looks like http://127.0.0.1:9090")
    asked = {"query": query, "start": f"{start_unix_s:.3f}", "end": f"{end_unix_s:.3f}", "step": f"{step_s:.3f}"}
    # In the body: an expression may be longer than an address.
    request = urllib.request.Request(
        f"{url.rstrip('/')}/api/v1/query_range", urllib.parse.urlencode(asked).encode(), method="POST"
    )
    answer = _decoded(url, _content(url, request))
    if answer.status != "success" or answer.data is None:
        raise OperationalError(f"the Prometheus at {url} refused the question: {_line(answer.error)}")
    return answer.data.result


def _content(url: str, request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            content = bytes(answer.read(_ANSWER_BYTES + 1))
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(10_000)
        try:
            said = msgspec.json.decode(text, type=_Answer).error
        except msgspec.DecodeError:
            said = ""  # a proxy, or something else that speaks HTTP
        raise OperationalError(
            f"the Prometheus at {url} answered {error.code}: {_line(said or error.reason)}"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        said = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise OperationalError(f"cannot reach a Prometheus at {url}: {_line(said)}") from error
    if len(content) > _ANSWER_BYTES:
        raise OperationalError(f"the answer of {url} is too large: name fewer servers (instance)")
    return content


def _decoded(url: str, content: bytes) -> _Answer:
    try:
        return msgspec.json.decode(content, type=_Answer)
    except msgspec.DecodeError as error:
        raise OperationalError(f"what answers at {url} is no Prometheus: {error}") from error


def _line(text: str) -> str:
    return " ".join(text.split())
