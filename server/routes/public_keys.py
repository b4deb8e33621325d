"""PUT and GET /apps/buzz/public-key, and GET /apps/buzz/public-key/{person_id}."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from aiohttp import web
from pydantic import Field, PlainValidator, TypeAdapter, WithJsonSchema

from protocol.activity import Id
from protocol.encryption import NEW_PUBLIC_KEY, ChangedKeyAnswer, NewPublicKey, PublicKeyAnswer
from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID, Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.pages import page, page_response
from server.http.requests import read_json, read_query
from server.http.responses import JsonResponse, json_response
from server.routes.change_list import NEXT_PAGE, ListQuery, list_query
from server.services.keys import Keys, shown_change, shown_key
from storage.directory.keys import MAX_KEYS_LISTED, ChangedKey, KeyPosition, ListedKey


@dataclass(frozen=True, slots=True)
class Published:
    """The answer: the key as others get it."""

    success: bool = field(default=True, init=False)
    """Always true: a refusal has another form."""
    data: PublicKeyAnswer
    """The key as others get it."""


def _key_position(text: str) -> KeyPosition:
    revoked, at_ms, id = [*text.split("."), "", ""][:3]
    if revoked not in ("0", "1") or not (at_ms.isascii() and at_ms.isdigit() and len(at_ms) <= 18) or len(id) > 64:
        raise ValueError("should be the cursor that a Link header gave")
    return KeyPosition(revoked == "1", int(at_ms), id)


class KeysQuery(Strict):
    """Which of a person's keys to list. ``cursor`` continues where a page ended."""

    cursor: Annotated[KeyPosition, PlainValidator(_key_position), WithJsonSchema({"type": "string"})] | None = None
    """Where the page before ended, as its `Link` header says."""
    limit: Annotated[int, Field(strict=False, ge=1, le=MAX_KEYS_LISTED)] = MAX_KEYS_LISTED
    """How many to return at most."""


_KEYS_QUERY: TypeAdapter[KeysQuery] = TypeAdapter(KeysQuery)


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
            errors=(400, 401, 409, 413, 415, 429, 503),
            flat_400=True,
        )
    )
    async def put(self, request: web.Request) -> JsonResponse[Published]:
        caller = await self.auth.person(request)
        new = await read_json(request, NEW_PUBLIC_KEY)
        return json_response(Published(await self.keys.publish(caller, new)))

    @operation(
        Operation(
            "listPublicKeysOfPerson",
            "A person's public keys: those in force first, then the revoked ones, the newest first",
            "encryption",
            query=KeysQuery,
            answer_headers=NEXT_PAGE,
            errors=(400, 401, 404, 503),
            path={"person_id": Id},
        )
    )
    async def get(self, request: web.Request) -> JsonResponse[list[PublicKeyAnswer]]:
        await self.auth.person(request)
        query = read_query(request, _KEYS_QUERY)
        found = await self.keys.keys(_person_id(request.match_info["person_id"]), query.cursor, query.limit)
        more = len(found) == query.limit
        return page_response(request, await page(found, lambda one: shown_key(one.key), _after, more=more))

    @operation(
        Operation(
            "listChangedPublicKeys",
            "The public keys that were added or revoked since a time: the caller's and those of everybody they have "
            "talked with, by time of change",
            "encryption",
            query=ListQuery,
            answer_headers=NEXT_PAGE,
            errors=(400, 401, 503),
        )
    )
    async def changed(self, request: web.Request) -> JsonResponse[list[ChangedKeyAnswer]]:
        caller = await self.auth.person(request)
        query = list_query(request)
        found = await self.keys.changed(caller.person, query.position, query.limit)
        return page_response(request, await page(found, shown_change, _after_change, more=len(found) == query.limit))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.put("/apps/buzz/public-key", self.put),
            web.get("/apps/buzz/public-key", self.changed),
            web.get("/apps/buzz/public-key/{person_id}", self.get),
        ]


def _after(last: ListedKey) -> dict[str, str]:
    return {"cursor": f"{int(last.position.revoked)}.{last.position.updated_at_ms}.{last.position.id}"}


def _after_change(last: ChangedKey) -> dict[str, str]:
    return {"cursor": f"{last.changed_at_ms}.{last.id}"}


def _person_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= MAX_ID):
        raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: 'person_id': should be 1 to {MAX_ID}")
    return int(text)
