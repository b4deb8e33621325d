"""POST /apps/buzz/voice-token."""

from __future__ import annotations

from aiohttp import web

from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import json_response
from server.services.telephony.voice_tokens import VoiceToken, VoiceTokens


def routes(tokens: VoiceTokens, auth: Authenticator) -> list[web.RouteDef]:
    """The routes of this resource."""

    @operation(
        Operation(
            "Create a short-lived Twilio access token with which the caller's app receives calls",
            "telephony",
            answer=VoiceToken,
            errors=(401, 404),
        )
    )
    async def make(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        response = json_response(tokens.make(caller))
        response.headers["Cache-Control"] = "no-store"
        return response

    return [web.post("/apps/buzz/voice-token", make)]
