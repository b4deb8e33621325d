"""GET /apps/buzz/blocked."""

from __future__ import annotations

from aiohttp import web

from protocol.lookup import BlockedCallAnswer
from server.auth import Authenticator
from server.http import Operation, json_response, operation
from server.services.trust import Trust


def routes(trust: Trust, auth: Authenticator) -> list[web.RouteDef]:
    """The routes of this resource."""

    @operation(
        Operation(
            "The caller's latest 100 blocked calls, the newest first",
            "telephony",
            answer=list[BlockedCallAnswer],
            errors=(401, 503),
        )
    )
    async def blocked(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(await trust.blocked(caller.person))

    return [web.get("/apps/buzz/blocked", blocked)]
