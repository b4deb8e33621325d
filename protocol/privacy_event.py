"""The privacy-request events that go out: objects of objects whose every value is a string.

Fields, their order and their spelling are the seed's. ``protocol/received_event.py`` parses them, ``protocol/forms.py``
converts them to form fields with nested keys.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias

from protocol.forms import Tree
from protocol.privacy_request import CallSession, PrivacyRequest, ServiceCode, WebFormSession
from protocol.privacy_signature import EventSignature
from protocol.recording_link import RecordingLink

Recording: TypeAlias = "bytes | RecordingLink | None"
"""How an event has the recording: as bytes, as a link, or not at all."""

_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S UTC"


class PrivacyEventName(StrEnum):
    """The two events of a privacy request, and the marked test event that an operator sends to an endpoint."""

    RECEIVED = "privacy_request.received"
    UPDATED = "privacy_request.updated"
    TEST = "privacy_request.test"


def event_of(
    name: PrivacyEventName, signature: EventSignature, request: PrivacyRequest, recording: Recording = None
) -> Tree:
    """Return the whole event. ``recording``: the bytes in the one event that contains them, a link in each event."""
    event: Tree = {"event_name": name.value, "signature": signature._asdict(), **fields_of(request, recording)}
    if name is PrivacyEventName.TEST:
        event["test"] = "true"
    return event


def fields_of(request: PrivacyRequest, recording: Recording = None) -> Tree:
    """Return the latest state of a request as receivers get it."""
    fields: Tree = {
        "id": request.id,
        "type": request.type.value,
        "acknowledged": _flag(request.state.acknowledged),
        "extended": _flag(request.state.extended),
        "completed": _flag(request.state.completed),
        "deadline": request.deadline.isoformat(),
        "created_at": _time(request.created_at_ms),
        "updated_at": _time(request.updated_at_ms),
        "service_code": _service_code(request.service_code),
    }
    if request.web_form_session is not None:
        fields["web_form_session"] = _web_form(request.web_form_session)
    if request.call_session is not None:
        fields["call_session"] = _call(request.call_session, recording)
    return fields


def _service_code(code: ServiceCode) -> Tree:
    return {
        "code": code.code,
        "name": code.name,
        "created_at": _time(code.created_at_ms),
        "updated_at": _time(code.updated_at_ms),
    }


def _web_form(session: WebFormSession) -> Tree:
    return {
        "id": session.id,
        "created_at": _time(session.created_at_ms),
        "first_name": session.first_name,
        "last_name": session.last_name,
        "email": session.email,
        "requester_type": session.requester_type,
        "tell_me": _flag(session.tell_me),
        "delete_me": _flag(session.delete_me),
        "do_not_sell": _flag(session.do_not_sell),
        "other": session.other,
        "send_me": _flag(session.send_me),
        "remote_ip": session.remote_ip,
        "state": session.state,
    }


def _call(session: CallSession, recording: Recording) -> Tree:
    mp3 = recording if isinstance(recording, bytes) else b""
    fields: Tree = {
        "created_at": _time(session.created_at_ms),
        "ended_at": "" if session.ended_at_ms is None else _time(session.ended_at_ms),
        "caller_id": session.caller_id,
        "caller_name": session.caller_name,
        "caller_state": session.caller_state,
        "recording_status": session.recording_status.value,
        "mp3_encoded_bytes": base64.b64encode(mp3).decode(),
        "transcription_status": session.transcription_status.value,
        "transcription_text": session.transcription_text,
    }
    if isinstance(recording, RecordingLink):
        expires_at = _time(recording.expires_at_seconds * 1000) if recording.url else ""
        fields |= {"mp3_url": recording.url, "mp3_url_expires_at": expires_at}
    return fields


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime(_TIME_FORMAT)
