"""The privacy line: a call with a service code and a message makes one privacy request.

Twilio reports the progress of the call in callbacks that may be repeated and come in any order. Each names the call and
(in its URL, which Twilio's signature covers) the code: the first one makes the request, under an id derived from the
call. The recording and the transcription each make one update; ``completed`` is final.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from protocol.privacy_request import CallSession, PrivacyRequest, Progress, RequestType, State
from protocol.received_event import MAX_SHORT_CHARACTERS, MAX_TEXT_CHARACTERS
from server.services.privacy.changes import Change, PrivacyChanges
from storage.directory import service_codes
from storage.privacy import recording_fetches, requests, twilio_copies
from storage.privacy.rows import KeptRequest

_CALLS: Final = UUID("6a1e6f0c-9b0e-4e0f-8f0e-0c7c1c8f3f57")
"""Namespace for the ids of requests made by calls (RFC 9562, 5.5): one call makes one request."""

_ACTOR: Final = "twilio"


class LineCall(NamedTuple):
    """The data about a call in each of Twilio's requests, and the service code that the caller dialled."""

    call_sid: str
    code: str
    caller_id: str = ""
    caller_name: str = ""
    caller_state: str = ""


class Voicemail:
    """The rules of voicemails. ``wake`` wakes the workers that fetch and delete at Twilio."""

    def __init__(self, changes: PrivacyChanges, wake: Callable[[], None]) -> None:
        self._changes = changes
        self._wake = wake

    async def begin(self, call: LineCall) -> bool:
        """Make the request after the caller has dialled a code. False if there is no such code."""
        async with self._changes.open() as change:
            return await _held(change, call) is not None

    async def ended(self, call: LineCall) -> None:
        """Record that the caller has hung up. It is sent with the next event, not in one of its own."""
        async with self._changes.open() as change:
            kept = await _held(change, call)
            session = kept and kept.request.call_session
            if kept and session and session.ended_at_ms is None:
                await change.note(_with(kept, replace(session, ended_at_ms=change.now_ms)), _ACTOR, "call ended")

    async def recorded(self, call: LineCall, recording_sid: str, *, completed: bool) -> None:
        """Record that a recording can be fetched, or that there will be none."""
        async with self._changes.open() as change:
            kept = await _held(change, call)
            session = kept and kept.request.call_session
            if not kept or not session:
                return
            if completed:
                await _note_copy(change, kept, recording_sid)
            await self._settle(change, kept, session, recording_sid if completed else None)
        self._wake()

    async def _settle(self, change: Change, kept: KeptRequest, session: CallSession, sid: str | None) -> None:
        if session.recording_status is Progress.COMPLETED or kept.request.erased_at_ms is not None:
            return
        if sid is not None:
            await recording_fetches.order(change.transaction, kept.request.id, sid, change.now_ms)
        elif session.recording_status is Progress.NONE:
            await change.update(_with_recording(kept, Progress.FAILED, change.now_ms), _ACTOR, "recording failed")

    async def transcribed(self, call: LineCall, text: str, transcription_sid: str, *, completed: bool) -> None:
        """Store the transcription, or that there will be none. An empty SID means that Twilio has none to delete."""
        status = Progress.COMPLETED if completed else Progress.FAILED
        async with self._changes.open() as change:
            kept = await _held(change, call)
            session = kept and kept.request.call_session
            if not kept or not session:
                return
            if transcription_sid:
                await _note_copy(change, kept, transcription_sid)
            await self._keep_words(change, kept, session, text, status)
        self._wake()

    async def _keep_words(
        self, change: Change, kept: KeptRequest, session: CallSession, text: str, status: Progress
    ) -> None:
        if session.transcription_status not in (Progress.COMPLETED, status):
            words = (
                text[:MAX_TEXT_CHARACTERS] if status is Progress.COMPLETED and kept.request.erased_at_ms is None else ""
            )
            heard = replace(session, transcription_status=status, transcription_text=words)
            await change.update(_with(kept, heard), _ACTOR, f"transcription {status.value}")


async def keep_recording(change: Change, request_id: str, mp3: bytes | None) -> None:
    """Store the fetched recording (None: it failed), as part of a change. Does nothing if the result is final."""
    kept = await requests.hold(change.transaction, request_id)
    if kept is None or kept.request.erased_at_ms is not None or kept.request.call_session is None:
        return
    status = kept.request.call_session.recording_status
    if status is Progress.COMPLETED or (mp3 is None and status is Progress.FAILED):
        return
    if mp3 is None:
        await change.update(_with_recording(kept, Progress.FAILED, change.now_ms), _ACTOR, "recording failed")
        return
    await requests.keep_recording(change.transaction, request_id, mp3, change.now_ms)
    completed = _with_recording(kept, Progress.COMPLETED, change.now_ms)
    await change.update(completed, _ACTOR, "recording completed", with_recording=True)


async def _note_copy(change: Change, kept: KeptRequest, sid: str) -> None:
    unwanted = kept.request.erased_at_ms is not None
    await twilio_copies.note(change.transaction, sid, kept.request.id, unwanted=unwanted)


async def _held(change: Change, call: LineCall) -> KeptRequest | None:
    """Return the call's request, locked; it is made now if this is the first callback and its code exists."""
    request_id = str(uuid5(_CALLS, call.call_sid))
    kept = await requests.hold(change.transaction, request_id)
    if kept is not None:
        return kept
    owned = await service_codes.find(change.transaction, call.code)
    if owned is None:
        return None
    request = PrivacyRequest(
        id=request_id,
        company_id=owned.company_id,
        type=RequestType.VOICEMAIL,
        state=State(),
        created_at_ms=change.now_ms,
        updated_at_ms=change.now_ms,
        service_code=owned.code,
        call_session=_session(call, change.now_ms),
    )
    await change.receive(KeptRequest(request, call_sid=call.call_sid), _ACTOR, "by voicemail")
    return await requests.hold(change.transaction, request_id)


def _session(call: LineCall, now_ms: int) -> CallSession:
    return CallSession(
        created_at_ms=now_ms,
        caller_id=call.caller_id[:MAX_SHORT_CHARACTERS],
        caller_name=call.caller_name[:MAX_SHORT_CHARACTERS],
        caller_state=call.caller_state[:MAX_SHORT_CHARACTERS],
    )


def _with(kept: KeptRequest, session: CallSession) -> KeptRequest:
    return replace(kept, request=replace(kept.request, call_session=session))


def _with_recording(kept: KeptRequest, status: Progress, now_ms: int) -> KeptRequest:
    session = kept.request.call_session
    assert session is not None, "a voicemail has a call session"
    return _with(kept, replace(session, recording_status=status, ended_at_ms=session.ended_at_ms or now_ms))
