"""GET /apps/buzz/heartbeat."""

from __future__ import annotations

from aiohttp import web

from protocol.heartbeat import Heartbeat
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import json_response
from server.services.telephony.heartbeat import Heartbeats


def routes(heartbeats: Heartbeats, auth: Authenticator) -> list[web.RouteDef]:
    """The routes of this resource."""

    @operation(
        Operation(
            "Get the times of the last changes; assigns a number to the caller if they have none",
            "telephony",
            answer=Heartbeat,
            errors=(401, 503),
        )
    )
    async def beat(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(await heartbeats.beat(caller.person))

    return [web.get("/apps/buzz/heartbeat", beat, allow_head=False)]
