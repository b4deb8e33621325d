"""GET and POST /privacy-requests/{code}: the hosted form, and the same for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Final
from uuid import uuid4

import msgspec
from aiohttp import web
from pydantic import ValidationError

from protocol.errors import ApiError, ErrorCode
from protocol.forms import Tree
from protocol.privacy_request import PrivacyRequest
from protocol.validation import describe
from protocol.web_form import WEB_FORM, WebForm, faults
from server.http.client_address import address_group, client_address
from server.http.forms import TYPES, tree_of_body
from server.http.operations import Operation, operation
from server.http.requests import read_body
from server.http.responses import JsonResponse, json_response
from server.routes.privacy_page import PrivacyPage
from server.runtime.limits import Buckets
from server.services.privacy.requests import PrivacyRequests
from storage.directory.service_codes import OwnedCode

MAX_FORM_BYTES: Final = 64 * 1024
_PATH: Final = "/privacy-requests/{code:[A-Za-z0-9_-]{1,32}}"


class MadeRequest(msgspec.Struct, frozen=True):
    """The privacy request that was made."""

    id: str
    """The request's id."""


@dataclass(frozen=True)
class PrivacyFormResource:
    """The hosted form. One address may send ``forms_per_minute``, also all at once."""

    requests: PrivacyRequests
    page: PrivacyPage
    forms_per_minute: InitVar[int]
    trusted_hops: int
    limit: Buckets[str] = field(init=False)

    def __post_init__(self, forms_per_minute: int) -> None:
        object.__setattr__(self, "limit", Buckets(forms_per_minute / 60, forms_per_minute))

    @operation(
        Operation(
            "showPrivacyForm",
            "The hosted privacy form",
            "privacy requests",
            credential="none",
            content_type="text/html",
            answer=str,
            errors=(404,),
        )
    )
    async def show(self, request: web.Request) -> web.Response:
        try:
            owned = await self.requests.service_code(request.match_info["code"])
        except ApiError as error:
            if not _wants_page(request):
                raise
            return _problem(self.page, error)
        return _html(self.page, self.page.form(request.path, owned.code.name, str(uuid4()), {}, {}))

    @operation(
        Operation(
            "makePrivacyRequest",
            "Make a privacy request",
            "privacy requests",
            credential="none",
            body=WebForm,
            body_types=TYPES,
            status=201,
            errors=(400, 404, 413, 415, 429, 503),
        )
    )
    async def submit(self, request: web.Request) -> JsonResponse[MadeRequest] | web.Response:
        address = client_address(request, self.trusted_hops)
        try:
            wait = self.limit.take(address_group(address))
            if wait:
                raise ApiError(ErrorCode.RATE_LIMITED, "Too Many Requests: wait a little and send it again.", wait)
            return await self._taken(request, address)
        except ApiError as error:
            if not _wants_page(request):
                raise
            return _problem(self.page, error)

    async def _taken(self, request: web.Request, address: str) -> JsonResponse[MadeRequest] | web.Response:
        owned = await self.requests.service_code(request.match_info["code"])
        written = await tree_of_body(request, await read_body(request, MAX_FORM_BYTES))
        try:
            form = WEB_FORM.validate_python(written)
        except ValidationError as error:
            if not _wants_page(request):
                raise ApiError(ErrorCode.BAD_REQUEST, describe(error)) from error
            return self._again(request, owned, written, faults(error))
        return self._done(request, owned, await self.requests.take_web_form(owned.code.code, form, address))

    def _again(self, request: web.Request, owned: OwnedCode, written: Tree, wrong: Mapping[str, str]) -> web.Response:
        texts = {name: value for name, value in written.items() if isinstance(value, str)}
        submission = texts.get("submission") or str(uuid4())
        return _html(self.page, self.page.form(request.path, owned.code.name, submission, texts, wrong), status=400)

    def _done(
        self, request: web.Request, owned: OwnedCode, made: PrivacyRequest
    ) -> JsonResponse[MadeRequest] | web.Response:
        if not _wants_page(request):
            return json_response(MadeRequest(made.id), status=201)
        return _html(self.page, self.page.received(owned.code.name, made.id, made.deadline), status=201)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get(_PATH, self.show), web.post(_PATH, self.submit)]


def _wants_page(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "") and request.content_type != "application/json"


def _problem(page: PrivacyPage, error: ApiError) -> web.Response:
    title, _, text = error.message.partition(": ")
    response = _html(page, page.problem(title, text or title), status=error.kind.http_status)
    if error.retry_after_seconds:
        response.headers["Retry-After"] = str(max(1, -int(-error.retry_after_seconds // 1)))
    return response


def _html(page: PrivacyPage, text: str, status: int = 200) -> web.Response:
    headers = {
        "Content-Security-Policy": page.content_security_policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)
