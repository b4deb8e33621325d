"""/admin/service-codes and /admin/privacy-requests: the operator's side of privacy requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec.structs import asdict
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, WithJsonSchema

from protocol.activity import Id, rfc3339
from protocol.embedded import embedded_list
from protocol.privacy_view import PrivacyRequestView, ServiceCodeView, view
from protocol.times import Time
from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.pages import page, page_response, response_with_page
from server.http.requests import read_json, read_query
from server.http.responses import JsonResponse, json_response
from server.routes.change_list import MAX_LISTED, NEXT_PAGE, Few, ListQuery, list_query
from server.routes.privacy_requests import list_response, recording_response
from server.services.privacy.requests import PrivacyRequests, StateChange
from server.services.privacy.retention import PrivacyRetention, Purge, Purged
from server.services.privacy.service_codes import ServiceCodes
from storage.directory.service_codes import OwnedCode
from storage.privacy.requests import AuditEntry

_CODES: Final = "/admin/service-codes"
_REQUESTS: Final = "/admin/privacy-requests"
_CODE: Final = re.compile("[A-Za-z0-9_-]{1,32}")


def _code_text(value: str) -> str:
    if _CODE.fullmatch(value) is None:
        raise ValueError("should be 1 to 32 letters, digits, _ or -")
    return value


def _named(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("should be one line of text")
    return value.strip()


Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(_named)]
Code = Annotated[str, AfterValidator(_code_text), WithJsonSchema({"type": "string", "pattern": f"^{_CODE.pattern}$"})]


class NewServiceCode(Strict):
    """``POST /admin/service-codes``. Only codes of digits can be dialled on the privacy line."""

    code: Code
    """1 to 32 letters, digits, `_` or `-`."""
    name: Name
    """What the code is for."""
    company_id: Id


class OwnedServiceCode(ServiceCodeView, frozen=True, kw_only=True):
    """A service code and the company that it stands for."""

    company_id: int


class AuditAnswer(msgspec.Struct, frozen=True):
    """One entry of a privacy request's audit trail."""

    at: Time
    """When it was done."""
    actor: str
    """Who did it, such as `person:456`."""
    action: str
    """What was done."""
    detail: str
    """What else is known about it."""


class AuditedRequest(PrivacyRequestView, frozen=True, kw_only=True):
    """A privacy request with its audit trail."""

    audit: Annotated[msgspec.Raw, embedded_list(AuditAnswer)]
    """What was done with the request, the oldest first; `Link` leads to the rest of a long trail."""


class CodeQuery(Strict):
    """Which codes to list: after a code."""

    after: Annotated[str, StringConstraints(max_length=64)] = ""
    """Only codes after this one, in order."""
    limit: Few = MAX_LISTED
    """How many to return at most."""


class TrailQuery(Strict):
    """Where the audit trail begins: after a number of the trail."""

    audit_after: Annotated[int, Field(strict=False, ge=-1, lt=2**63)] = -1
    """Only the audit trail's entries after this number, as the `Link` header says."""


_CODE_QUERY: TypeAdapter[CodeQuery] = TypeAdapter(CodeQuery)
_TRAIL_QUERY: TypeAdapter[TrailQuery] = TypeAdapter(TrailQuery)
_NEW_CODE: TypeAdapter[NewServiceCode] = TypeAdapter(NewServiceCode)
_CHANGE: TypeAdapter[StateChange] = TypeAdapter(StateChange)
_PURGE: TypeAdapter[Purge] = TypeAdapter(Purge)


def _described(id: str, summary: str, **more: Any) -> Operation:
    more.setdefault("errors", (400, 401, 403, 404, 503))
    return Operation(id, summary, "privacy requests", credential="admin", **more)


def routes(
    codes: ServiceCodes, requests: PrivacyRequests, retention: PrivacyRetention, auth: Authenticator
) -> list[web.RouteDef]:
    """Return the operator's routes."""
    return [
        *ServiceCodeResource(codes, auth).routes(),
        *OperatorRequestResource(requests, auth).routes(),
        *RetentionResource(retention, auth).routes(),
    ]


@dataclass(frozen=True)
class ServiceCodeResource:
    """Service codes."""

    codes: ServiceCodes
    auth: Authenticator

    @operation(_described("saveServiceCode", "Create or change a service code", body=NewServiceCode, status=201))
    async def put(self, request: web.Request) -> JsonResponse[OwnedServiceCode]:
        await self.auth.admin(request)
        new = await read_json(request, _NEW_CODE)
        return json_response(_code(await self.codes.put(new.code, new.company_id, new.name)), status=201)

    @operation(_described("listServiceCodes", "The service codes, by code", query=CodeQuery, answer_headers=NEXT_PAGE))
    async def listed(self, request: web.Request) -> JsonResponse[list[OwnedServiceCode]]:
        await self.auth.admin(request)
        query = read_query(request, _CODE_QUERY)
        found = await self.codes.listed(query.after, query.limit)
        more = len(found) == query.limit
        return page_response(request, await page(found, _code, lambda last: {"after": last.code.code}, more=more))

    @operation(_described("removeServiceCode", "Stop accepting requests for a service code", status=204))
    async def delete(self, request: web.Request) -> web.Response:
        await self.auth.admin(request)
        await self.codes.remove(request.match_info["code"])
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(_CODES, self.put), web.get(_CODES, self.listed), web.delete(_CODES + "/{code}", self.delete)]


@dataclass(frozen=True)
class OperatorRequestResource:
    """The privacy requests of all companies."""

    requests: PrivacyRequests
    auth: Authenticator

    @operation(
        _described(
            "listEveryPrivacyRequest",
            "The privacy requests of all companies",
            query=ListQuery,
            answer_headers=NEXT_PAGE,
        )
    )
    async def listed(self, request: web.Request) -> JsonResponse[list[PrivacyRequestView]]:
        await self.auth.admin(request)
        query = list_query(request)
        found = await self.requests.every(query.position, query.limit)
        return await list_response(request, found, query.limit)

    @operation(
        _described(
            "getAuditedPrivacyRequest",
            "One privacy request with its audit trail",
            query=TrailQuery,
            answer_headers=NEXT_PAGE,
        )
    )
    async def one(self, request: web.Request) -> JsonResponse[AuditedRequest]:
        await self.auth.admin(request)
        found = await self.requests.one(request.match_info["id"])
        query = read_query(request, _TRAIL_QUERY)
        trail = await self.requests.trail(found.id, query.audit_after, MAX_LISTED)
        more = len(trail) == MAX_LISTED
        shown = await page(trail, _audit, lambda last: {"audit_after": str(last.revision)}, more=more)
        whole = AuditedRequest(**asdict(view(found)), audit=msgspec.Raw(shown.json))
        return response_with_page(request, shown, whole)

    @operation(_described("getAnyRecording", "The recording of a voicemail", content_type="audio/mpeg", answer=bytes))
    async def recording(self, request: web.Request) -> web.Response:
        await self.auth.admin(request)
        return recording_response(await self.requests.recording(request.match_info["id"]))

    @operation(
        _described("changeAnyPrivacyRequest", "Acknowledge, extend or complete a privacy request", body=StateChange)
    )
    async def change(self, request: web.Request) -> JsonResponse[PrivacyRequestView]:
        caller = await self.auth.admin(request)
        wanted = await read_json(request, _CHANGE)
        return json_response(
            view(await self.requests.change(request.match_info["id"], wanted, f"admin:{caller.subject}"))
        )

    @operation(_described("erasePrivacyRequest", "Erase the recording and the personal fields"))
    async def erase(self, request: web.Request) -> JsonResponse[PrivacyRequestView]:
        caller = await self.auth.admin(request)
        return json_response(view(await self.requests.erase(request.match_info["id"], f"admin:{caller.subject}")))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(_REQUESTS, self.listed),
            web.get(_REQUESTS + "/{id}", self.one),
            web.get(_REQUESTS + "/{id}/recording.mp3", self.recording),
            web.patch(_REQUESTS + "/{id}", self.change),
            web.post(_REQUESTS + "/{id}/erase", self.erase),
        ]


@dataclass(frozen=True)
class RetentionResource:
    """The deletion of old privacy requests."""

    retention: PrivacyRetention
    auth: Authenticator

    @operation(
        _described(
            "purgePrivacyRequests",
            "Delete completed privacy requests that are older than a number of months",
            body=Purge,
        )
    )
    async def purge(self, request: web.Request) -> JsonResponse[Purged]:
        caller = await self.auth.admin(request)
        wanted = await read_json(request, _PURGE)
        done = await self.retention.purge(wanted, f"admin:{caller.subject}")
        return json_response(done)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(_REQUESTS + "/purge", self.purge)]


def _code(owned: OwnedCode) -> OwnedServiceCode:
    code = owned.code
    made, changed = rfc3339(code.created_at_ms), rfc3339(code.updated_at_ms)
    return OwnedServiceCode(code.code, code.name, made, changed, company_id=owned.company_id)


def _audit(entry: AuditEntry) -> AuditAnswer:
    return AuditAnswer(rfc3339(entry.at_ms), entry.actor, entry.action, entry.detail)
