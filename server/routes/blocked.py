"""GET /apps/buzz/blocked and /apps/buzz/calls."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from protocol.call import BlockedCallAnswer, CallEntry
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import JsonResponse, json_response
from server.services.calls.call_log import CallLog


@dataclass(frozen=True)
class CallListResource:
    """A person's blocked calls, and all of their calls."""

    calls: CallLog
    auth: Authenticator

    @operation(
        Operation(
            "listBlockedCalls",
            "The caller's latest 100 blocked calls, the newest first",
            "telephony",
            errors=(401, 503),
        )
    )
    async def blocked(self, request: web.Request) -> JsonResponse[list[BlockedCallAnswer]]:
        caller = await self.auth.person(request)
        return json_response(await self.calls.blocked(caller.person))

    @operation(
        Operation(
            "listCalls",
            "The latest 100 calls to the caller, newest first, with the outcome of each and the reasons for it",
            "telephony",
            errors=(401, 503),
        )
    )
    async def latest(self, request: web.Request) -> JsonResponse[list[CallEntry]]:
        caller = await self.auth.person(request)
        return json_response(await self.calls.latest(caller.person))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/apps/buzz/blocked", self.blocked), web.get("/apps/buzz/calls", self.latest)]
