"""GET /apps/buzz/devices, PUT and DELETE /apps/buzz/devices/{device_id}; GET and PUT /apps/buzz/receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from aiohttp import web
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from protocol.answers import DeviceAnswer, ReceiptsAnswer
from protocol.encryption import DeviceId
from protocol.validation import Strict, without_controls
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import JsonResponse, json_response
from server.services.devices import Devices
from server.services.receipts import Receipts

MAX_NAME_CHARACTERS: Final = 64


class DeviceName(Strict):
    """``PUT devices/{device_id}``: the device's name for its person; null takes it away."""

    name: (
        Annotated[
            str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(without_controls)
        ]
        | None
    )
    """What the person calls the device."""


class ReceiptChoice(Strict):
    """Whether a person sends and gets receipts."""

    enabled: bool
    """False: the person sends none and gets none."""


_RECEIPTS: TypeAdapter[ReceiptChoice] = TypeAdapter(ReceiptChoice)
_Device = Annotated[DeviceId, Field(description="The device, by the id that it gives in `hello`.")]
_NAME: TypeAdapter[DeviceName] = TypeAdapter(DeviceName)


@dataclass(frozen=True)
class DeviceResource:
    """The caller's devices."""

    devices: Devices
    auth: Authenticator

    @operation(
        Operation(
            "listDevices",
            "List the caller's devices, the one that connected last first",
            "devices",
            errors=(401, 503),
        )
    )
    async def listed(self, request: web.Request) -> JsonResponse[list[DeviceAnswer]]:
        caller = await self.auth.person(request)
        return json_response(await self.devices.devices(caller.person))

    @operation(
        Operation(
            "nameDevice",
            "Give one of the caller's devices a name",
            "devices",
            body=DeviceName,
            status=204,
            errors=(400, 401, 404, 413, 415, 503),
            path={"device_id": _Device},
        )
    )
    async def rename(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        wanted = await read_json(request, _NAME)
        await self.devices.rename(caller.person, request.match_info["device_id"], wanted.name)
        return web.Response(status=204)

    @operation(
        Operation(
            "signOutDevice",
            "Sign one of the caller's devices out: its sessions end and its keys are revoked",
            "devices",
            status=204,
            errors=(401, 404, 429, 503),
            path={"device_id": _Device},
        )
    )
    async def remove(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        await self.devices.remove(caller, request.match_info["device_id"])
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/apps/buzz/devices", self.listed),
            web.put("/apps/buzz/devices/{device_id}", self.rename),
            web.delete("/apps/buzz/devices/{device_id}", self.remove),
        ]


@dataclass(frozen=True)
class ReceiptResource:
    """Whether the caller sends and gets receipts."""

    receipts: Receipts
    auth: Authenticator

    @operation(
        Operation(
            "getReceipts",
            "Say whether the caller sends and gets receipts",
            "devices",
            errors=(401, 503),
        )
    )
    async def get(self, request: web.Request) -> JsonResponse[ReceiptsAnswer]:
        caller = await self.auth.person(request)
        return json_response(ReceiptsAnswer(await self.receipts.enabled(caller.person)))

    @operation(
        Operation(
            "setReceipts",
            "Turn the caller's receipts on or off: without them, the caller gets none either",
            "devices",
            body=ReceiptChoice,
            errors=(400, 401, 413, 415, 503),
        )
    )
    async def put(self, request: web.Request) -> JsonResponse[ReceiptsAnswer]:
        caller = await self.auth.person(request)
        wanted = await read_json(request, _RECEIPTS)
        await self.receipts.enable(caller.person, wanted.enabled)
        return json_response(ReceiptsAnswer(wanted.enabled))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/apps/buzz/receipts", self.get), web.put("/apps/buzz/receipts", self.put)]
