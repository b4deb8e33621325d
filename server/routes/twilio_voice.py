"""POST /twilio/voice and /twilio/voice/ended: a phone number's voice URL, and what became of the call."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from protocol import twiml
from protocol.screening import read_call, read_outcome
from server.auth import Authenticator
from server.http import Operation, operation
from server.routes.lookups import TOKEN_HEADER
from server.services.screening import Screening
from server.twilio_form import twilio_form

VOICE_PATH: Final = "/twilio/voice"
_ENDED_PATH: Final = "/twilio/voice/ended"


def routes(screening: Screening, auth: Authenticator) -> list[web.RouteDef]:
    """The voice routes."""

    @operation(_described("A call comes in: ring the person's app, or reject it"))
    async def voice(request: web.Request) -> web.Response:
        await auth.twilio(request)
        call = read_call(await twilio_form(request))
        person_id = await screening.ring(call, request.headers.get(TOKEN_HEADER))
        return _twiml(twiml.reject() if person_id is None else twiml.dial_person(person_id, _ENDED_PATH))

    @operation(_described("A call has ended: it is recorded as an activity"))
    async def ended(request: web.Request) -> web.Response:
        await auth.twilio(request)
        form = await twilio_form(request)
        call = read_call(form)
        outcome = read_outcome(call, form)
        if outcome is not None:
            await screening.ended(call, outcome)
        return _twiml(twiml.hang_up())

    return [web.post(VOICE_PATH, voice), web.post(_ENDED_PATH, ended)]


def _described(summary: str) -> Operation:
    return Operation(
        summary,
        "twilio",
        credential="twilio",
        body_types=("application/x-www-form-urlencoded",),
        content_type=twiml.CONTENT_TYPE,
        errors=(400, 401, 403, 413, 503),
    )


def _twiml(document: bytes) -> web.Response:
    return web.Response(body=document, content_type=twiml.CONTENT_TYPE, charset="utf-8")
