"""Browsers on other sites: one list of origins for the socket and for HTTP.

CORS as in https://fetch.spec.whatwg.org/#http-cors-protocol; no cookies are used, so there is no credentials mode.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web

_APP_ROUTES = "/apps/buzz/"
_PREFLIGHT_ANSWER = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "7200",
}
_SHOWN_HEADERS = "Buzz-Log-Epoch, Idempotent-Replayed, Link, Retry-After, X-Request-Id"


def is_allowed(origin: str, host: str, origins: Collection[str]) -> bool:
    """Return whether a page of ``origin`` may use this server: it is of the same host, or on the list."""
    return origin.partition("://")[2] == host or origin in origins


def preflights(origins: Collection[str]) -> Callable[[web.Request], web.StreamResponse | None]:
    """Return the handler of preflight requests to the app's routes; it returns None if the request is not allowed."""

    def answer(request: web.Request) -> web.StreamResponse | None:
        asks = "Access-Control-Request-Method" in request.headers
        if not asks or _shared_with(request, origins) is None:
            return None
        return web.Response(status=204, headers=_PREFLIGHT_ANSWER)

    return answer


def share(origins: Collection[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return an ``on_response_prepare`` signal that lets pages of the listed origins read the app routes' responses."""

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        origin = _shared_with(request, origins)
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _SHOWN_HEADERS
            response.headers.add("Vary", "Origin")

    return mark


def _shared_with(request: web.Request, origins: Collection[str]) -> str | None:
    origin = request.headers.get("Origin")
    if origin is None or not request.path.startswith(_APP_ROUTES):
        return None
    return origin if is_allowed(origin, request.host, origins) else None
