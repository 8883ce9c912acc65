"""The web page's files: read once, served with a strict content policy and an ETag."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib import resources

from fastapi import Request, Response

_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
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
        content_type, _ = mimetypes.guess_type(file.name)
        if file.is_file() and content_type is not None and not file.name.endswith(".py"):
            body = file.read_bytes()
            assets[file.name] = Asset(body, content_type, f'"{sha256(body).hexdigest()[:16]}"')
    return assets
