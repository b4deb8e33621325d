"""GET /admin/push; GET /admin/people/{person_id}/push, and POST /admin/people/{person_id}/push/test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from protocol.errors import ApiError, ErrorCode
from protocol.push import PushRegistrationAnswer, PushTest, PushTestAnswer
from protocol.validation import MAX_ID
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import JsonResponse, json_response
from server.push.overview import PushOverview, PushOverviews
from server.push.registrations import Registrations

_TEST: TypeAdapter[PushTest] = TypeAdapter(PushTest)


def _described(id: str, summary: str, **more: Any) -> Operation:
    more.setdefault("errors", (401, 403, 503))
    return Operation(id, summary, "operation", credential="admin", **more)


@dataclass(frozen=True)
class PushAdminResource:
    """Push as operators see it."""

    overviews: PushOverviews
    registrations: Registrations
    auth: Authenticator

    @operation(_described("getPushOverview", "The push services, and devices that do not wake"))
    async def overview(self, request: web.Request) -> JsonResponse[PushOverview]:
        await self.auth.admin(request)
        return json_response(await self.overviews.take())

    @operation(
        _described(
            "listPushRegistrationsOfPerson", "Where a person's devices can be woken", errors=(400, 401, 403, 503)
        )
    )
    async def of_person(self, request: web.Request) -> JsonResponse[list[PushRegistrationAnswer]]:
        await self.auth.admin(request)
        return json_response(await self.registrations.listed(_person(request)))

    @operation(
        _described(
            "testPushOfPerson",
            "Send a test push to a person's device",
            body=PushTest,
            errors=(400, 401, 403, 404, 413, 415, 503),
        )
    )
    async def test(self, request: web.Request) -> JsonResponse[PushTestAnswer]:
        await self.auth.admin(request)
        wanted = await read_json(request, _TEST)
        return json_response(await self.registrations.test(_person(request), wanted, limited=False))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/admin/push", self.overview),
            web.get("/admin/people/{person_id}/push", self.of_person),
            web.post("/admin/people/{person_id}/push/test", self.test),
        ]


def _person(request: web.Request) -> int:
    text = request.match_info["person_id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= MAX_ID):
        raise ApiError(ErrorCode.BAD_REQUEST, "Invalid parameter: 'person_id': should be a person's id")
    return int(text)
