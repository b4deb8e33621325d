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
from server.http.operations import Operation, operation
from server.http.responses import Handler, json_response

_FOLDER: Final = Path(__file__).parents[2] / "web" / "docs"
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def routes(folder: Path = _FOLDER) -> list[web.RouteDef]:
    """The two documents, made at the first request from the application's own routes, and the page that shows them."""
    made: dict[str, bytes] = {}

    @operation(_described("The description of HTTP, as OpenAPI 3.1"))
    async def http(request: web.Request) -> web.Response:
        if "openapi" not in made:
            # A tenth of a second of work, once: not in the event loop.
            document = await asyncio.to_thread(openapi, list(request.app.router.routes()))
            made["openapi"] = msgspec.json.encode(document)
        return json_response(msgspec.Raw(made["openapi"]), headers={"Cache-Control": "no-cache"})

    @operation(_described("The description of the socket, as AsyncAPI 3.0"))
    async def socket(request: web.Request) -> web.Response:
        document = await asyncio.to_thread(asyncapi, request.host)
        return json_response(document, headers={"Cache-Control": "no-cache"})

    page = web.get("/docs", _page(folder / "index.html", "The description of both as a web page"))
    parts = [path for path in sorted(folder.iterdir()) if path.suffix in (".js", ".css")]
    return [
        web.get("/openapi.json", http),
        web.get("/asyncapi.json", socket),
        page,
        *(web.get(f"/docs/{path.name}", _page(path, "A file of that page")) for path in parts),
    ]


def _described(summary: str, answer: Any = dict[str, Any], content_type: str = "application/json") -> Operation:
    return Operation(summary, "description", credential="none", answer=answer, content_type=content_type)


def _page(path: Path, summary: str) -> Handler:
    body = path.read_bytes()
    etag = hashlib.sha256(body).hexdigest()[:16]
    content_type = _TYPES[path.suffix]

    @operation(_described(summary, str, content_type))
    async def page(request: web.Request) -> web.Response:
        known = any(each.value == etag for each in request.if_none_match or ())
        response = web.Response(status=304) if known else web.Response(body=body)
        response.etag = etag
        response.headers.update(_HEADERS)
        if not known:
            response.content_type = content_type
            response.charset = "utf-8"
        return response

    return page
