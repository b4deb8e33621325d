"""Privacy requests: receiving them by web form, and the functions of company members and the operator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID, uuid4, uuid5

from protocol.errors import ApiError, ErrorCode
from protocol.privacy_request import (
    DEADLINE_DAYS,
    CallSession,
    PrivacyRequest,
    RequestType,
    State,
    WebFormSession,
    deadline,
    utc_date,
)
from protocol.validation import Strict
from protocol.web_form import TRAPS, WebForm
from server.services.privacy.changes import PrivacyChanges
from storage.database import Database
from storage.directory import service_codes
from storage.directory.service_codes import OwnedCode
from storage.privacy import requests
from storage.privacy.requests import AuditEntry
from storage.privacy.rows import KeptRequest
from storage.webhooks import deliveries

_SUBMISSIONS = UUID("5d0c8a0e-54a1-4a39-9d0e-5a7a6a0a8a57")
"""Namespace for the ids of requests whose form names its submission (RFC 9562, 5.5): sent twice, it is one request."""


class StateChange(Strict):
    """A member's changes; omitted fields stay unchanged.

    ``do_not_sell``: whether a voicemail asks for an end of the sale of data. A web form states this itself.
    """

    acknowledged: bool | None = None
    """Whether the company has confirmed that it has the request."""
    extended: bool | None = None
    """Whether the company takes the longer deadline."""
    completed: bool | None = None
    """Whether the company has done what was asked."""
    do_not_sell: bool | None = None
    """Whether a voicemail asks for an end of the sale of data. A web form says so itself."""


class PrivacyRequests:
    """The rules of privacy requests.

    ``companies_of`` returns the party keys (negative) of the companies that a person is a member of; ``wake`` is called
    when something is to be deleted at Twilio.
    """

    def __init__(
        self,
        database: Database,
        changes: PrivacyChanges,
        companies_of: Callable[[int], Awaitable[Sequence[int]]],
        now_ms: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._changes = changes
        self._companies_of = companies_of
        self._now_ms = now_ms
        self._wake = wake

    # --- taking in ------------------------------------------------------------------------------------------------

    async def service_code(self, code: str) -> OwnedCode:
        """Return the code that a consumer names. Raises ApiError(not_found)."""
        found = await service_codes.find(self._database, code)
        if found is None:
            raise ApiError(ErrorCode.NOT_FOUND, "Not Found: there is no such service code.")
        return found

    async def take_web_form(self, code: str, form: WebForm, remote_ip: str) -> PrivacyRequest:
        """Store a consumer's web form. A repeated submission is the same request.

        Raises ApiError(not_found) for an unknown code.
        """
        owned, now_ms = await self.service_code(code), self._now_ms()
        request = PrivacyRequest(
            id=_request_id(code, form),
            company_id=owned.company_id,
            type=RequestType.WEB_FORM,
            state=State(),
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
            service_code=owned.code,
            web_form_session=_session(form, remote_ip, now_ms),
        )
        async with self._changes.open() as change:
            how = "by web form, with a field filled in that people do not see"
            if await change.receive(KeptRequest(request), "consumer", how if form.suspected_spam else "by web form"):
                return request
        return await self.one(request.id)

    # --- a company's members --------------------------------------------------------------------------------------

    async def listed(self, person_id: int, after: tuple[int, str], limit: int) -> list[PrivacyRequest]:
        """Return the requests of the person's companies after a time of change (milliseconds) and id, in that order."""
        company_ids = [-key for key in await self._companies_of(person_id)]
        return await requests.listed(self._database, company_ids, *after, limit)

    async def of_member(self, person_id: int, request_id: str) -> PrivacyRequest:
        """Return one request of the person's companies.

        Raises ApiError(not_found), also for other companies' requests.
        """
        found = await requests.find(self._database, request_id.lower())
        if found is None or -found.request.company_id not in await self._companies_of(person_id):
            raise _no_such_request()
        return found.request

    # --- anybody who may --------------------------------------------------------------------------------------------

    async def every(self, after: tuple[int, str], limit: int) -> list[PrivacyRequest]:
        """Return the requests of all companies: the operator's list."""
        return await requests.every(self._database, *after, limit)

    async def one(self, request_id: str) -> PrivacyRequest:
        """Return any request. Raises ApiError(not_found)."""
        found = await requests.find(self._database, request_id.lower())
        if found is None:
            raise _no_such_request()
        return found.request

    async def trail(self, request_id: str, after_revision: int, limit: int) -> list[AuditEntry]:
        """Return the audit trail of a request after a revision, oldest first."""
        return await requests.trail(self._database, request_id.lower(), after_revision, limit)

    async def recording(self, request_id: str) -> bytes:
        """Return the MP3. Raises ApiError(not_found) if there is none."""
        mp3 = await requests.recording(self._database, request_id.lower())
        if mp3 is None:
            raise ApiError(ErrorCode.NOT_FOUND, "Not Found: there is no recording of this request.")
        return mp3

    async def change(self, request_id: str, wanted: StateChange, actor: str) -> PrivacyRequest:
        """Change the state, on behalf of ``actor`` (for the audit trail). If nothing changes, nobody is notified.

        Raises ApiError: not_found, conflict if the request does not allow it.
        """
        async with self._changes.open() as change:
            kept = await requests.hold(change.transaction, request_id.lower())
            if kept is None:
                raise _no_such_request()
            before, after = kept.request, _changed(kept.request, wanted, utc_date(self._now_ms()))
            if after == before:
                return before
            return await change.update(replace(kept, request=after), actor, "changed", _difference(before, after))

    async def erase(self, request_id: str, actor: str) -> PrivacyRequest:
        """Erase the recording (at Twilio too, in the background) and the personal fields.

        The request, its outcome and its audit trail stay. Raises ApiError(not_found).
        """
        async with self._changes.open() as change:
            kept = await requests.hold(change.transaction, request_id.lower())
            if kept is None:
                raise _no_such_request()
            if kept.request.erased_at_ms is not None:
                return kept.request
            await requests.drop_recording(change.transaction, kept.request.id)
            erased = replace(kept, request=_without_person(kept.request, change.now_ms))
            told = await change.update(erased, actor, "erased")
            await deliveries.forget_answers(change.transaction, told.id)
        self._wake()
        return told

    async def erase_callers(self, numbers: Sequence[str], actor: str) -> int:
        """Erase every request made by a call from one of these numbers (E.164); returns how many."""
        request_ids = await requests.of_callers(self._database, numbers)
        for request_id in request_ids:
            await self.erase(request_id, actor)
        return len(request_ids)


def _request_id(code: str, form: WebForm) -> str:
    if not form.submission:
        return str(uuid4())
    # The content is part of the id: a form that was corrected and sent again is another request.
    return str(uuid5(_SUBMISSIONS, f"{code}\n{form.model_dump_json(exclude=set(TRAPS))}"))


def _session(form: WebForm, remote_ip: str, now_ms: int) -> WebFormSession:
    written = form.model_dump(exclude={"submission", *TRAPS})
    return WebFormSession(
        id=str(uuid4()),
        created_at_ms=now_ms,
        remote_ip=remote_ip,
        suspected_spam=form.suspected_spam,
        **written,
    )


def _changed(request: PrivacyRequest, wanted: StateChange, today: date) -> PrivacyRequest:
    """Return the request with the changes. Raises ApiError(conflict) if it does not allow them."""
    wishes = wanted.model_dump(exclude_none=True)
    do_not_sell = wishes.pop("do_not_sell", None)
    state = replace(request.state, **wishes)
    last_day = deadline(request.received_on, extended=False)
    if state.extended and not request.state.extended and today > last_day:
        raise ApiError(
            ErrorCode.CONFLICT,
            f"Conflict: a request can be extended only in its first {DEADLINE_DAYS} days; these ended on {last_day}.",
        )
    if do_not_sell is None:
        return replace(request, state=state)
    if request.call_session is None:
        raise ApiError(ErrorCode.CONFLICT, "Conflict: 'do_not_sell' can be changed only for a voicemail.")
    return replace(request, state=state, call_session=replace(request.call_session, do_not_sell=do_not_sell))


def _difference(before: PrivacyRequest, after: PrivacyRequest) -> str:
    names = ("acknowledged", "extended", "completed")
    changed = {name: getattr(after.state, name) for name in names}
    told = [f"{name}: {str(now).lower()}" for name, now in changed.items() if now != getattr(before.state, name)]
    if before.call_session != after.call_session and after.call_session is not None:
        told.append(f"do_not_sell: {str(after.call_session.do_not_sell).lower()}")
    return ", ".join(told)


def _without_person(request: PrivacyRequest, now_ms: int) -> PrivacyRequest:
    form, call = request.web_form_session, request.call_session
    return replace(
        request,
        erased_at_ms=now_ms,
        web_form_session=form and replace(form, first_name="", last_name="", email="", other="", remote_ip=""),
        call_session=call and _without_caller(call),
    )


def _without_caller(call: CallSession) -> CallSession:
    return replace(call, caller_id="", caller_name="", transcription_text="")


def _no_such_request() -> ApiError:
    return ApiError(ErrorCode.NOT_FOUND, "Not Found: there is no such privacy request.")
