"""POST /twilio/privacy-line…: the voicemail line, with TwiML answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from protocol import twiml
from protocol.call_texts import CallTexts, Texts
from protocol.errors import ApiError, ErrorCode
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.services.privacy.call_status import CallStatus
from server.services.privacy.voicemail import LineCall, Voicemail
from server.twilio.form import twilio_form

MAX_TRIES: Final = 3
_PATH: Final = "/twilio/privacy-line"
STATUS_PATH: Final = f"{_PATH}/status"
_ENDED: Final = frozenset({"completed", "failed", "busy", "no-answer", "canceled"})
_RECORDING_SID: Final = re.compile(r"RE[0-9a-f]{32}")
_TRANSCRIPTION_SID: Final = re.compile(r"TR[0-9a-f]{32}")
_CALL_SID: Final = re.compile(r"CA[0-9A-Za-z]{1,64}")


def _described(id: str, summary: str, *, answers_twiml: bool = False) -> Operation:
    return Operation(
        id,
        summary,
        "twilio",
        credential="twilio",
        body_types=("application/x-www-form-urlencoded",),
        status=200 if answers_twiml else 204,
        content_type=twiml.CONTENT_TYPE,
        answer=str,
        errors=(400, 401, 403, 413, 503),
    )


@dataclass(frozen=True)
class PrivacyLineResource:
    """The privacy line; each route is a callback of Twilio's."""

    voicemail: Voicemail
    call_status: CallStatus
    texts: CallTexts
    auth: Authenticator

    @operation(_described("answerPrivacyLine", "The privacy line answers", answers_twiml=True))
    async def greet(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        tries, said = _tries(request), self.texts.of((await twilio_form(request)).get("To", ""))
        return _twiml(_ask(said, (said.greeting if tries == 1 else said.again,), tries))

    @operation(_described("takeServiceCode", "The caller has dialled a service code", answers_twiml=True))
    async def code(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        form = await twilio_form(request)
        call = _call(form, form.get("Digits", "").strip())
        if await self.voicemail.begin(call):
            self.call_status.report(call.call_sid, call.code)
            after = urlencode({"code": call.code})
            said = self.texts.of(form.get("To", ""), call.code)
            return _twiml(
                twiml.record(
                    said.speech(said.speak),
                    f"{_PATH}/ended?{after}",
                    f"{_PATH}/recording?{after}",
                    f"{_PATH}/transcription?{after}",
                )
            )
        said = self.texts.of(form.get("To", ""))
        return _twiml(_ask(said, (said.unknown, said.again), _tries(request) + 1))

    @operation(_described("endVoicemail", "The caller has finished", answers_twiml=True))
    async def ended(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        form, code = await twilio_form(request), request.query.get("code", "")
        await self.voicemail.ended(_call(form, code))
        said = self.texts.of(form.get("To", ""), code)
        return _twiml(twiml.hang_up(said.speech(said.thanks)))

    @operation(_described("reportPrivacyLineStatus", "The status of a call has changed"))
    async def status(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        form = await twilio_form(request)
        call = _call(form, request.query.get("code", ""))
        if form.get("CallStatus") in _ENDED:
            await self.voicemail.ended(call)
        return web.Response(status=204)

    @operation(_described("reportRecording", "A recording is available, or there is none"))
    async def recording(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        form = await twilio_form(request)
        call, status = _call(form, request.query.get("code", "")), form.get("RecordingStatus", "completed")
        sid = form.get("RecordingSid", "")
        if status in ("completed", "absent", "failed"):
            good = status == "completed" and _RECORDING_SID.fullmatch(sid) is not None
            await self.voicemail.recorded(call, sid, completed=good)
        return web.Response(status=204)

    @operation(_described("reportTranscription", "A transcription is available, or there is none"))
    async def transcription(self, request: web.Request) -> web.Response:
        await self.auth.twilio(request)
        form = await twilio_form(request)
        call, status = _call(form, request.query.get("code", "")), form.get("TranscriptionStatus", "")
        if status in ("completed", "failed"):
            sid = form.get("TranscriptionSid", "")
            sid = sid if _TRANSCRIPTION_SID.fullmatch(sid) else ""
            await self.voicemail.transcribed(
                call, form.get("TranscriptionText", ""), sid, completed=status == "completed"
            )
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(_PATH, self.greet),
            web.post(f"{_PATH}/code", self.code),
            web.post(f"{_PATH}/ended", self.ended),
            web.post(STATUS_PATH, self.status),
            web.post(f"{_PATH}/recording", self.recording),
            web.post(f"{_PATH}/transcription", self.transcription),
        ]


def _ask(said: Texts, prompts: Sequence[str], tries: int) -> bytes:
    if tries > MAX_TRIES:
        return twiml.hang_up(said.speech(said.goodbye))
    speeches = [said.speech(prompt) for prompt in prompts]
    return twiml.gather_digits(speeches, f"{_PATH}/code?attempt={tries}", f"{_PATH}?attempt={tries + 1}")


def _tries(request: web.Request) -> int:
    text = request.query.get("attempt", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 1


def _call(form: dict[str, str], code: str) -> LineCall:
    call_sid = form.get("CallSid", "")
    if _CALL_SID.fullmatch(call_sid) is None:
        raise ApiError(ErrorCode.BAD_REQUEST, "Missing required parameter: 'CallSid'")
    return LineCall(
        call_sid,
        code,
        form.get("From", ""),
        form.get("CallerName", ""),
        form.get("CallerState") or form.get("FromState", ""),
    )


def _twiml(document: bytes) -> web.Response:
    return web.Response(body=document, content_type=twiml.CONTENT_TYPE, charset="utf-8")
