"""GET /apps/buzz/heartbeat."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from protocol.heartbeat import Heartbeat
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import JsonResponse, json_response
from server.services.telephony.heartbeat import Heartbeats


@dataclass(frozen=True)
class HeartbeatResource:
    """The heartbeat."""

    heartbeats: Heartbeats
    auth: Authenticator

    @operation(
        Operation(
            "getHeartbeat",
            "Get the times of the last changes; assigns a number to the caller if they have none",
            "telephony",
            errors=(401, 503),
        )
    )
    async def beat(self, request: web.Request) -> JsonResponse[Heartbeat]:
        caller = await self.auth.person(request)
        return json_response(await self.heartbeats.beat(caller.person))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/apps/buzz/heartbeat", self.beat)]
