"""GET and PUT /apps/buzz/call-settings."""

from __future__ import annotations

from aiohttp import web

from protocol.attestation import CALL_SETTINGS, CallSettings, CallSettingsAnswer
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import json_response
from server.services.telephony.call_settings import OwnCallSettings


def routes(settings: OwnCallSettings, auth: Authenticator) -> list[web.RouteDef]:
    """The routes of this resource."""

    @operation(
        Operation(
            "What the caller requires of calls to them, and what is in force",
            "telephony",
            answer=CallSettingsAnswer,
            errors=(401, 503),
        )
    )
    async def get(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(await settings.get(caller.person))

    @operation(
        Operation(
            "Require more than the operator's setting, or (null) the same; less is not possible",
            "telephony",
            body=CallSettings,
            answer=CallSettingsAnswer,
            errors=(400, 401, 413, 415, 503),
        )
    )
    async def put(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(await settings.put(caller.person, await read_json(request, CALL_SETTINGS)))

    return [web.get("/apps/buzz/call-settings", get), web.put("/apps/buzz/call-settings", put)]
