"""PUT and GET /apps/buzz/encryption."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from protocol.encryption import ENCRYPTION_DATA, EncryptionAnswer, EncryptionData
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import JsonResponse, json_response
from server.services.keys import Keys


@dataclass(frozen=True, slots=True)
class Saved:
    """The encryption data that is stored now."""

    success: bool = field(default=True, init=False)
    """Always true: a refusal has another form."""
    data: EncryptionAnswer
    """The data that is stored now."""


@dataclass(frozen=True)
class EncryptionResource:
    """A person's encryption data."""

    keys: Keys
    auth: Authenticator

    @operation(
        Operation(
            "saveEncryptionData",
            "Store the caller's encryption data",
            "encryption",
            body=EncryptionData,
            errors=(400, 401, 413, 415, 429, 503),
            flat_400=True,
        )
    )
    async def put(self, request: web.Request) -> JsonResponse[Saved]:
        caller = await self.auth.person(request)
        data = await read_json(request, ENCRYPTION_DATA)
        return json_response(Saved(await self.keys.put_encryption(caller.person, data)))

    @operation(Operation("getEncryptionData", "The caller's encryption data", "encryption", errors=(401, 404, 503)))
    async def get(self, request: web.Request) -> JsonResponse[Saved]:
        caller = await self.auth.person(request)
        return json_response(Saved(await self.keys.encryption(caller.person)))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.put("/apps/buzz/encryption", self.put), web.get("/apps/buzz/encryption", self.get)]
