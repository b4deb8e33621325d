"""GET /openapi.json, /asyncapi.json: the API as programs read it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from server.description.asyncapi import asyncapi
from server.description.openapi import openapi
from server.http.operations import Operation, operation
from server.http.public_address import PublicAddress
from server.http.responses import json_response


def _described(id: str, summary: str) -> Operation:
    return Operation(id, summary, "description", credential="none", answer=dict[str, Any])


class DescriptionResource:
    """The two documents."""

    def __init__(self, address: PublicAddress) -> None:
        self._address = address
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
        return [web.get("/openapi.json", self.http), web.get("/asyncapi.json", self.socket)]
