"""GET /openapi.json, /asyncapi.json, /docs: the API as programs and as people read it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from server.description.asyncapi import asyncapi
from server.description.openapi import openapi
from server.http.operations import Operation, described, operation
from server.http.public_address import PublicAddress
from server.http.responses import json_response

_FOLDER: Final = Path(__file__).parents[2] / "web" / "docs"
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def _described(id: str, summary: str) -> Operation:
    return Operation(id, summary, "description", credential="none", answer=dict[str, Any])


def _file(content_type: str) -> Operation:
    return Operation("", "", "description", credential="none", content_type=content_type, listed=False)


class DescriptionResource:
    """The two documents, and the page that shows them with its files."""

    def __init__(self, address: PublicAddress, folder: Path = _FOLDER) -> None:
        """``folder`` has the page."""
        self._address = address
        self._folder = folder
        self._openapi: bytes | None = None

    @operation(_described("getOpenapi", "The description of HTTP, as OpenAPI 3.1"))
    async def http(self, request: web.Request) -> web.Response:
        if self._openapi is None:
            # This takes a tenth of a second, once, so not in the event loop.
            document = await asyncio.to_thread(openapi, list(request.app.router.routes()))
            self._openapi = msgspec.json.encode(document)
        return json_response(msgspec.Raw(self._openapi), headers={"Cache-Control": "no-cache"})

    @operation(_described("getAsyncapi", "The description of the socket, as AsyncAPI 3.0"))
    async def socket(self, request: web.Request) -> web.Response:
        document = await asyncio.to_thread(asyncapi, self._address.of(request))
        return json_response(document, headers={"Cache-Control": "no-cache"})

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        parts = [path for path in sorted(self._folder.iterdir()) if path.suffix in (".js", ".css")]
        return [
            web.get("/openapi.json", self.http),
            web.get("/asyncapi.json", self.socket),
            _page("/docs", self._folder / "index.html"),
            *(_page(f"/docs/{path.name}", path) for path in parts),
        ]


class _File:
    """One file of the page, read once."""

    def __init__(self, path: Path) -> None:
        self._body = path.read_bytes()
        self._tag = hashlib.sha256(self._body).hexdigest()[:16]
        self.content_type = _TYPES[path.suffix]

    async def show(self, request: web.Request) -> web.Response:
        known = any(each.value == self._tag for each in request.if_none_match or ())
        response = web.Response(status=304) if known else web.Response(body=self._body)
        response.etag = self._tag
        response.headers.update(_HEADERS)
        if not known:
            response.content_type = self.content_type
            response.charset = "utf-8"
        return response


def _page(route: str, path: Path) -> web.RouteDef:
    file = _File(path)
    return web.get(route, described(_file(file.content_type), file.show))
