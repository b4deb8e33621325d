"""POST /apps/buzz/voice-token."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import JsonResponse, json_response
from server.services.telephony.voice_tokens import VoiceToken, VoiceTokens


@dataclass(frozen=True)
class VoiceTokenResource:
    """Twilio access tokens for a person's app."""

    tokens: VoiceTokens
    auth: Authenticator

    @operation(
        Operation(
            "createVoiceToken",
            "Create a short-lived Twilio access token with which the caller's app receives calls",
            "telephony",
            errors=(401, 404),
        )
    )
    async def make(self, request: web.Request) -> JsonResponse[VoiceToken]:
        caller = await self.auth.person(request)
        response = json_response(self.tokens.make(caller))
        response.headers["Cache-Control"] = "no-store"
        return response

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/apps/buzz/voice-token", self.make)]
