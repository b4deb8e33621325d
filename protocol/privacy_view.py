"""A privacy request as the app's routes, live events and the operators' page show it: booleans, RFC 3339 times."""

from __future__ import annotations

import msgspec

from protocol.activity import rfc3339
from protocol.privacy_request import CallSession, PrivacyRequest, Progress, RequestType, ServiceCode, WebFormSession
from protocol.times import Day, Time


class ServiceCodeView(msgspec.Struct, frozen=True):
    """The code by which the consumer named the company."""

    code: str
    """The code."""
    name: str
    """What the code is for."""
    created_at: Time
    updated_at: Time


class WebFormView(msgspec.Struct, frozen=True):
    """What a consumer wrote into the web form. Text is empty where it was left out or erased."""

    id: str
    """The id of the form as it was sent."""
    created_at: Time
    first_name: str
    """The consumer's first name."""
    last_name: str
    """The consumer's last name."""
    email: str
    """The consumer's email address."""
    state: str
    """The two letters of the state where the consumer lives."""
    requester_type: str
    """What the consumer is to the company, such as `Consumer` or `Employee`."""
    tell_me: bool
    """Whether they ask which data the company has about them."""
    delete_me: bool
    """Whether they ask for its deletion."""
    do_not_sell: bool
    """Whether they ask for an end of its sale."""
    send_me: bool
    """Whether they ask for a copy of it."""
    other: str
    """What else they ask for."""
    remote_ip: str
    """The address from which the form was sent."""
    suspected_spam: bool
    """Whether a field that people do not see was filled in."""


class CallView(msgspec.Struct, frozen=True):
    """A call to the privacy line."""

    created_at: Time
    ended_at: Time | None
    """When the call ended; null until that is known."""
    caller_id: str
    """The caller's number."""
    caller_name: str
    """The name that the caller's network shows."""
    caller_state: str
    """The state of the caller's number."""
    recording_status: Progress
    """Empty until Twilio has reported the recording."""
    transcription_status: Progress
    """Empty until Twilio has reported the transcription."""
    transcription_text: str
    """The words of the voicemail."""
    do_not_sell: bool | None
    """Whether the voicemail asks for an end of the sale of data; null until the company says so."""


class PrivacyRequestView(msgspec.Struct, frozen=True):
    """One privacy request in its present state; one of its two sessions is null, according to its type."""

    id: str
    """The request's id."""
    company_id: int
    type: RequestType
    """How it arrived."""
    acknowledged: bool
    """Whether the company has confirmed that it has the request."""
    extended: bool
    """Whether the company has taken the longer deadline."""
    completed: bool
    """Whether the company has done what was asked."""
    deadline: Day
    """The day by which the company must have answered."""
    confirmation_due: Day
    """The day by which the company must have confirmed that it has the request."""
    opt_out_due: Day | None
    """The day by which the sale of data must have ended; null if that is not asked for."""
    created_at: Time
    updated_at: Time
    erased_at: Time | None
    """When the personal fields and the recording were erased."""
    service_code: ServiceCodeView
    """The code by which the consumer named the company."""
    web_form_session: WebFormView | None
    """What the consumer wrote into the form."""
    call_session: CallView | None
    """The call to the privacy line."""


def view(request: PrivacyRequest) -> PrivacyRequestView:
    """Return the request as it is shown."""
    form, call = request.web_form_session, request.call_session
    return PrivacyRequestView(
        id=request.id,
        company_id=request.company_id,
        type=request.type,
        acknowledged=request.state.acknowledged,
        extended=request.state.extended,
        completed=request.state.completed,
        deadline=request.deadline.isoformat(),
        confirmation_due=request.confirmation_due.isoformat(),
        opt_out_due=request.opt_out_due.isoformat() if request.opt_out_due else None,
        created_at=rfc3339(request.created_at_ms),
        updated_at=rfc3339(request.updated_at_ms),
        erased_at=_time(request.erased_at_ms),
        service_code=_service_code_view(request.service_code),
        web_form_session=None if form is None else _web_form_view(form),
        call_session=None if call is None else _call_view(call),
    )


def _service_code_view(code: ServiceCode) -> ServiceCodeView:
    return ServiceCodeView(code.code, code.name, rfc3339(code.created_at_ms), rfc3339(code.updated_at_ms))


def _web_form_view(session: WebFormSession) -> WebFormView:
    return WebFormView(
        id=session.id,
        created_at=rfc3339(session.created_at_ms),
        first_name=session.first_name,
        last_name=session.last_name,
        email=session.email,
        state=session.state,
        requester_type=session.requester_type,
        tell_me=session.tell_me,
        delete_me=session.delete_me,
        do_not_sell=session.do_not_sell,
        send_me=session.send_me,
        other=session.other,
        remote_ip=session.remote_ip,
        suspected_spam=session.suspected_spam,
    )


def _call_view(session: CallSession) -> CallView:
    return CallView(
        created_at=rfc3339(session.created_at_ms),
        ended_at=_time(session.ended_at_ms),
        caller_id=session.caller_id,
        caller_name=session.caller_name,
        caller_state=session.caller_state,
        recording_status=session.recording_status,
        transcription_status=session.transcription_status,
        transcription_text=session.transcription_text,
        do_not_sell=session.do_not_sell,
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
