"""GET /apps/buzz/blocked and /apps/buzz/calls."""

from __future__ import annotations

from aiohttp import web

from protocol.call import BlockedCallAnswer, CallEntry
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import json_response
from server.services.calls.call_log import CallLog


def routes(calls: CallLog, auth: Authenticator) -> list[web.RouteDef]:
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
        return json_response(await calls.blocked(caller.person))

    @operation(
        Operation(
            "The latest 100 calls to the caller, newest first, with the outcome of each and the reasons for it",
            "telephony",
            answer=list[CallEntry],
            errors=(401, 503),
        )
    )
    async def latest(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(await calls.latest(caller.person))

    return [web.get("/apps/buzz/blocked", blocked), web.get("/apps/buzz/calls", latest)]
