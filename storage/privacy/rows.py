"""One row for one privacy request: the joined SELECT, and the frozen value made of each of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from protocol.privacy_request import (
    CallSession,
    PrivacyRequest,
    Progress,
    RequestType,
    ServiceCode,
    State,
    WebFormSession,
)
from storage.database import Row

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A request with the columns that only storage uses.

    ``revision`` grows by one with every change. ``source_*`` is about the other service that sent it: which one (None:
    received here), its newest signature time, and the three flags as it last sent them.
    """

    request: PrivacyRequest
    revision: int = 0
    call_sid: str | None = None
    source_id: int | None = None
    source_signed_at_ms: int = 0
    source_state: State = field(default_factory=State)


SELECT = """SELECT
    r.id, r.company_id, r.type, r.acknowledged, r.extended, r.completed, r.created_at_ms, r.updated_at_ms,
    r.erased_at_ms, r.revision, r.source_id, r.source_signed_at_ms, r.source_flags, c.call_sid,
    r.service_code, COALESCE(s.name, r.service_code_name), COALESCE(s.created_at_ms, r.service_code_created_at_ms),
    COALESCE(s.updated_at_ms, r.service_code_updated_at_ms),
    w.id, w.created_at_ms, w.first_name, w.last_name, w.email, w.state, w.requester_type, w.tell_me, w.delete_me,
    w.do_not_sell, w.send_me, w.other, w.remote_ip, w.suspected_spam,
    c.created_at_ms, c.ended_at_ms, c.caller_id, c.caller_name, c.caller_state, c.recording_status,
    c.transcription_status, c.transcription_text, c.do_not_sell
FROM privacy_request r
LEFT JOIN service_code s ON r.source_id IS NULL AND s.code = r.service_code
LEFT JOIN web_form_session w ON w.request_id = r.id
LEFT JOIN call_session c ON c.request_id = r.id"""


def kept_request(row: Row) -> KeptRequest:
    """Build a request from one row of SELECT."""
    request_id, company_id, kind, *row_rest = row
    acknowledged, extended, completed, created_at_ms, updated_at_ms, erased_at_ms, *row_rest = row_rest
    revision, source_id, source_signed_at_ms, source_flags, call_sid, *row_rest = row_rest
    request = PrivacyRequest(
        id=request_id,
        company_id=company_id,
        type=RequestType(kind),
        state=State(bool(acknowledged), bool(extended), bool(completed)),
        created_at_ms=created_at_ms,
        updated_at_ms=updated_at_ms,
        service_code=ServiceCode(*row_rest[:4]),
        web_form_session=_web_form(*row_rest[4:18]) if kind == RequestType.WEB_FORM else None,
        call_session=_call(*row_rest[18:]) if kind == RequestType.VOICEMAIL else None,
        erased_at_ms=erased_at_ms,
    )
    source_state = State(bool(source_flags & 1), bool(source_flags & 2), bool(source_flags & 4))
    return KeptRequest(request, revision, call_sid, source_id, source_signed_at_ms, source_state)


def day_number(day: date) -> int:
    """Return a day as it is stored: days since 1970-01-01."""
    return (day - _EPOCH).days


def _web_form(session_id: str, created_at_ms: int, *rest: Any) -> WebFormSession:
    first_name, last_name, email, state, requester_type, *rest_of_it = rest
    tell_me, delete_me, do_not_sell, send_me, other, remote_ip, suspected_spam = rest_of_it
    return WebFormSession(
        id=session_id,
        created_at_ms=created_at_ms,
        first_name=first_name,
        last_name=last_name,
        email=email,
        state=state,
        requester_type=requester_type,
        tell_me=bool(tell_me),
        delete_me=bool(delete_me),
        do_not_sell=bool(do_not_sell),
        send_me=bool(send_me),
        other=other,
        remote_ip=remote_ip,
        suspected_spam=bool(suspected_spam),
    )


def _call(created_at_ms: int, ended_at_ms: int | None, *rest: Any) -> CallSession:
    caller_id, caller_name, caller_state, recording_status, transcription_status, transcription_text, do_not_sell = rest
    return CallSession(
        created_at_ms,
        ended_at_ms,
        caller_id,
        caller_name,
        caller_state,
        Progress(recording_status),
        Progress(transcription_status),
        transcription_text,
        None if do_not_sell is None else bool(do_not_sell),
    )
