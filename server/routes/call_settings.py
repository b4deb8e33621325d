"""GET and PUT /apps/buzz/call-settings."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from protocol.attestation import CALL_SETTINGS, CallSettings, CallSettingsAnswer
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import JsonResponse, json_response
from server.services.telephony.call_settings import OwnCallSettings


@dataclass(frozen=True)
class CallSettingsResource:
    """What a person requires of calls to them."""

    settings: OwnCallSettings
    auth: Authenticator

    @operation(
        Operation(
            "getCallSettings",
            "What the caller requires of calls to them, and what is in force",
            "telephony",
            errors=(401, 503),
        )
    )
    async def get(self, request: web.Request) -> JsonResponse[CallSettingsAnswer]:
        caller = await self.auth.person(request)
        return json_response(await self.settings.get(caller.person))

    @operation(
        Operation(
            "changeCallSettings",
            "Require more than the operator's setting, or (null) the same; less is not possible",
            "telephony",
            body=CallSettings,
            errors=(400, 401, 413, 415, 503),
        )
    )
    async def put(self, request: web.Request) -> JsonResponse[CallSettingsAnswer]:
        caller = await self.auth.person(request)
        return json_response(await self.settings.put(caller.person, await read_json(request, CALL_SETTINGS)))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/apps/buzz/call-settings", self.get), web.put("/apps/buzz/call-settings", self.put)]
