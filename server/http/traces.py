"""The span of each HTTP request. A socket has none: it lasts for days, and its sends have spans of their own."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.http.operations import Handler
from server.http.responses import REQUEST_ID, route_of
from server.runtime.tracing import Tracing

SOCKET = "/apps/buzz/socket"


def traces_middleware(tracing: Tracing) -> Middleware:
    """Return a middleware that makes a span of each request: its method, route, status and request id."""

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        if route == SOCKET:
            return await handler(request)
        attributes = {"http.request.method": request.method, "http.route": route}
        with tracing.span(f"{request.method} {route}", attributes, request.headers) as put:
            response = await handler(request)
            put("http.response.status_code", response.status)
            put("buzz.request_id", request[REQUEST_ID])
            return response

    return traced
