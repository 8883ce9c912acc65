"""The web page's files: read once, served with a strict content policy and an ETag."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib import resources

from fastapi import Request, Response

_CONTENT_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
"""Ours, not the machine's: with ``nosniff`` a machine that calls scripts plain text would break the page."""
_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    content_type: str
    etag: str

    def response(self, request: Request) -> Response:
        headers = {**_SECURITY_HEADERS, "etag": self.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(self.body, media_type=self.content_type, headers=headers)


def load_assets() -> dict[str, Asset]:
    """The page's files, all in memory: together they are smaller than one connection's queue."""
    assets = {}
    for file in (resources.files("scalechat") / "web").iterdir():
        content_type = _CONTENT_TYPES.get(file.name.rpartition(".")[2])
        if content_type is not None:
            body = file.read_bytes()
            assets[file.name] = Asset(body, content_type, f'"{sha256(body).hexdigest()[:16]}"')
    return assets
