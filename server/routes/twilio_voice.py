"""POST /twilio/voice, …/ended and …/unavailable: the voice URL of a phone number.

``…/ended`` gets the outcome of the call; ``…/unavailable`` answers if the voice URL has failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from protocol import twiml
from protocol.screening import read_call, read_outcome
from protocol.twiml import RejectReason
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.routes.lookups import TOKEN_HEADER
from server.services.telephony.screening import Screening
from server.twilio.form import twilio_form

VOICE_PATH: Final = "/twilio/voice"
UNAVAILABLE_PATH: Final = "/twilio/voice/unavailable"
_ENDED_PATH: Final = "/twilio/voice/ended"


def _described(id: str, summary: str) -> Operation:
    return Operation(
        id,
        summary,
        "twilio",
        credential="twilio",
        body_types=("application/x-www-form-urlencoded",),
        content_type=twiml.CONTENT_TYPE,
        answer=str,
        errors=(400, 401, 403, 413, 503),
    )


@dataclass(frozen=True)
class VoiceResource:
    """The voice URL of a phone number, and what follows a call."""

    screening: Screening
    auth: Authenticator

    @operation(_described("answerCall", "Answer an incoming call: ring the person's app, or reject the call"))
    async def voice(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        call = read_call(await twilio_form(request))
        rings = await self.screening.ring(call, request.headers.get(TOKEN_HEADER))
        return _twiml(twiml.reject(rings) if isinstance(rings, RejectReason) else twiml.dial_person(rings, _ENDED_PATH))

    @operation(_described("endCall", "Record a call that has ended as an activity"))
    async def ended(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        form = await twilio_form(request)
        call = read_call(form)
        outcome = read_outcome(call, form)
        if outcome is not None:
            await self.screening.ended(call, outcome)
        return _twiml(twiml.hang_up())

    # It uses neither storage nor the signature, and does not read the body, so that the cause of the voice URL's
    # failure (also a wrong auth token or BUZZ_PUBLIC_URL) does not make this one fail too. It reveals nothing.
    @operation(
        Operation(
            "answerFailedCall",
            "Answer when the voice URL has failed: the caller hears the busy tone",
            "twilio",
            credential="none",
            content_type=twiml.CONTENT_TYPE,
            answer=str,
        )
    )
    async def unavailable(self, _: web.Request) -> web.Response:
        return _twiml(twiml.reject(RejectReason.BUSY))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(VOICE_PATH, self.voice),
            web.post(_ENDED_PATH, self.ended),
            web.post(UNAVAILABLE_PATH, self.unavailable),
        ]


def _twiml(document: bytes) -> web.Response:
    return web.Response(body=document, content_type=twiml.CONTENT_TYPE, charset="utf-8")
