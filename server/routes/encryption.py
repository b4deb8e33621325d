"""PUT and GET /apps/buzz/encryption."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from protocol.encryption import ENCRYPTION_DATA, EncryptionAnswer, EncryptionData
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import json_response
from server.services.keys import Keys


@dataclass(frozen=True, slots=True)
class Saved:
    """The encryption data that is stored now."""

    success: bool = field(default=True, init=False)
    data: EncryptionAnswer


def routes(keys: Keys, auth: Authenticator) -> list[web.RouteDef]:
    """The routes of this resource."""

    @operation(
        Operation(
            "Store the caller's encryption data",
            "encryption",
            body=EncryptionData,
            answer=Saved,
            errors=(400, 401, 413, 415, 429, 503),
            flat_400=True,
        )
    )
    async def put(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        data = await read_json(request, ENCRYPTION_DATA)
        return json_response(Saved(await keys.put_encryption(caller.person, data)))

    @operation(Operation("The caller's encryption data", "encryption", answer=Saved, errors=(401, 404, 503)))
    async def get(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(Saved(await keys.encryption(caller.person)))

    return [web.put("/apps/buzz/encryption", put), web.get("/apps/buzz/encryption", get)]
