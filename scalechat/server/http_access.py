"""Who may see what over HTTP."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from starlette.exceptions import HTTPException


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see what. `open_pages`: read-only pages need no key."""

    api_key: str | None
    open_pages: bool

    def has_key(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self.api_key is None:
            return False
        return hmac.compare_digest(given.encode(), self.api_key.encode())

    async def page(self, request: Request) -> None:
        if not (self.open_pages or self.has_key(request)):
            raise HTTPException(
                HTTPStatus.FORBIDDEN, "open on loopback only; start with --public-pages, or send the API key"
            )

    async def api(self, request: Request) -> None:
        if self.api_key is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, "the API is closed; start with --api-key to open it")
        if not self.has_key(request):
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "send the API key as 'Authorization: Bearer …'",
                headers={"www-authenticate": "Bearer"},
            )
