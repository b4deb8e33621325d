"""PUT, GET and DELETE /apps/buzz/push, POST /apps/buzz/push/test, GET /apps/buzz/push/key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field, TypeAdapter

from protocol.encryption import DeviceId
from protocol.push import (
    PushKeyAnswer,
    PushKind,
    PushRegistration,
    PushRegistrationAnswer,
    PushTest,
    PushTestAnswer,
    read_registration,
)
from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json, read_json_body, read_query
from server.http.responses import JsonResponse, json_response
from server.push.registrations import Registrations

MAX_BODY_BYTES: Final = 8 * 1024


class RemoveQuery(Strict):
    """Which of the device's registrations to delete."""

    kind: Annotated[PushKind | None, Field(strict=False)] = None
    """Only the one of this kind; all of them if it is left out."""


_REMOVE: TypeAdapter[RemoveQuery] = TypeAdapter(RemoveQuery)
_TEST: TypeAdapter[PushTest] = TypeAdapter(PushTest)
_Device = Annotated[DeviceId, Field(description="The device, by the id that it gives in `hello`.")]


@dataclass(frozen=True)
class PushResource:
    """Where the caller's devices can be woken."""

    registrations: Registrations
    auth: Authenticator

    @operation(
        Operation(
            "registerForPush",
            "Say where one of the caller's devices can be woken",
            "push",
            body=PushRegistration,
            errors=(400, 401, 413, 415, 429, 503),
        )
    )
    async def put(self, request: web.Request) -> JsonResponse[PushRegistrationAnswer]:
        caller = await self.auth.person(request)
        wanted = read_registration(await read_json_body(request, MAX_BODY_BYTES))
        return json_response(await self.registrations.put(caller, wanted))

    @operation(
        Operation("listPushRegistrations", "List where the caller's devices can be woken", "push", errors=(401, 503))
    )
    async def listed(self, request: web.Request) -> JsonResponse[list[PushRegistrationAnswer]]:
        caller = await self.auth.person(request)
        return json_response(await self.registrations.listed(caller.person))

    @operation(
        Operation(
            "removePushRegistration",
            "Wake one of the caller's devices no more",
            "push",
            query=RemoveQuery,
            status=204,
            errors=(400, 401, 404, 503),
            path={"device_id": _Device},
        )
    )
    async def remove(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        query = read_query(request, _REMOVE)
        await self.registrations.remove(caller.person, request.match_info["device_id"], query.kind)
        return web.Response(status=204)

    @operation(
        Operation(
            "testPush",
            "Send a test push to one of the caller's devices",
            "push",
            body=PushTest,
            errors=(400, 401, 404, 413, 415, 429, 503),
        )
    )
    async def test(self, request: web.Request) -> JsonResponse[PushTestAnswer]:
        caller = await self.auth.person(request)
        wanted = await read_json(request, _TEST, MAX_BODY_BYTES)
        return json_response(await self.registrations.test(caller.person, wanted))

    @operation(Operation("getPushKey", "Return the key for a browser's subscription", "push", errors=(401, 404)))
    async def key(self, request: web.Request) -> JsonResponse[PushKeyAnswer]:
        await self.auth.person(request)
        return json_response(PushKeyAnswer(self.registrations.public_key()))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.put("/apps/buzz/push", self.put),
            web.get("/apps/buzz/push", self.listed),
            web.post("/apps/buzz/push/test", self.test),
            web.get("/apps/buzz/push/key", self.key),
            web.delete("/apps/buzz/push/{device_id}", self.remove),
        ]
