"""PUT and GET /apps/buzz/public-key, and GET /apps/buzz/public-key/{person_id}."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from protocol.activity import Id
from protocol.encryption import NEW_PUBLIC_KEY, ChangedKeyAnswer, NewPublicKey, PublicKeyAnswer
from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import json_response
from server.routes.change_list import ListQuery, Position, link_to_next, list_query
from server.services.keys import Keys, shown_change


@dataclass(frozen=True, slots=True)
class Published:
    """The answer: the key as others get it."""

    success: bool = field(default=True, init=False)
    data: PublicKeyAnswer


@dataclass(frozen=True)
class PublicKeyResource:
    """People's public keys."""

    keys: Keys
    auth: Authenticator

    @operation(
        Operation(
            "publishPublicKey",
            "Publish one of the caller's public keys; the one it replaces is revoked",
            "encryption",
            body=NewPublicKey,
            answer=Published,
            errors=(400, 401, 409, 413, 415, 429, 503),
            flat_400=True,
        )
    )
    async def put(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        new = await read_json(request, NEW_PUBLIC_KEY)
        return json_response(Published(await self.keys.publish(caller.person, new)))

    @operation(
        Operation(
            "listPublicKeysOfPerson",
            "A person's public keys: those in force first, then the revoked ones, the newest first",
            "encryption",
            answer=list[PublicKeyAnswer],
            errors=(400, 401, 404, 503),
            path={"person_id": Id},
        )
    )
    async def get(self, request: web.Request) -> web.Response:
        await self.auth.person(request)
        return json_response(await self.keys.keys(_person_id(request.match_info["person_id"])))

    @operation(
        Operation(
            "listChangedPublicKeys",
            "The public keys that were added or revoked since a time: the caller's and those of everybody they have "
            "talked with, by time of change",
            "encryption",
            query=ListQuery,
            answer=list[ChangedKeyAnswer],
            errors=(400, 401, 503),
        )
    )
    async def changed(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        query = list_query(request)
        found = await self.keys.changed(caller.person, query.position, query.limit)
        response = json_response([shown_change(each) for each in found])
        if len(found) == query.limit:
            response.headers["Link"] = link_to_next(request, Position(found[-1].changed_at_ms, found[-1].id))
        return response

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.put("/apps/buzz/public-key", self.put),
            web.get("/apps/buzz/public-key", self.changed),
            web.get("/apps/buzz/public-key/{person_id}", self.get),
        ]


def _person_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= MAX_ID):
        raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: 'person_id': should be 1 to {MAX_ID}")
    return int(text)
