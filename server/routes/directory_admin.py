"""/admin/directory/…: the operator's main system keeps the directory up to date, one object or a whole import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec
from aiohttp import ClientPayloadError, web
from pydantic import TypeAdapter

from protocol.directory import KEYS, Contact, Kind
from protocol.directory_answers import OBJECTS, DirectoryObject, line
from protocol.directory_lines import DirectoryLine, fields_model, identity_types
from protocol.errors import ApiError, ErrorCode
from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, described, operation
from server.http.requests import read_json_body, read_query
from server.http.responses import JsonResponse, json_response
from server.services.directory.directory import Directory

_PATH: Final = "/admin/directory"
_TAG: Final = "directory"


class ImportQuery(Strict):
    """``dry_run=true``: check everything and return what would change.

    ``deletions=refuse``: import nothing (409) if it would remove anything.
    """

    dry_run: Literal["true", "false"] = "false"
    """`true`: check everything and return what would change."""
    deletions: Literal["allow", "refuse"] = "allow"
    """`refuse`: import nothing (409) if it would remove anything."""


class ImportAnswer(msgspec.Struct, frozen=True):
    """What an import did, or with ``dry_run`` would do: by kind, how many objects it puts and removes.

    Unchanged objects count only in ``lines``. ``warnings``: how many numbers of contacts were
    left out because nobody could call them; ``warned`` names the first of these lines.
    """

    lines: int
    """How many lines were read."""
    changed: int
    """How many objects were put or removed."""
    put: dict[str, int]
    """By kind, how many objects were created or changed."""
    removed: dict[str, int]
    """By kind, how many objects were removed."""
    dry_run: bool
    """Whether nothing was changed."""
    warnings: int
    """How many numbers of contacts were left out because nobody could call them."""
    warned: list[str]
    """The first of the lines with such numbers."""


class PutAnswer(msgspec.Struct, frozen=True):
    """The object as it is now (null: removed), and whether it was otherwise before.

    ``warnings``: how many of a contact's numbers were left out because nobody could call them.
    """

    changed: bool
    """Whether it was otherwise before."""
    object: DirectoryObject | None
    """The object as it is now; null if it was removed."""
    warnings: int = 0
    """How many of a contact's numbers were left out because nobody could call them."""


_PATH_TYPES: Final = {kind: identity_types(kind) for kind in Kind}
_QUERY: TypeAdapter[ImportQuery] = TypeAdapter(ImportQuery)


@dataclass(frozen=True)
class DirectoryResource:
    """The directory: three routes for each kind of object, and the import."""

    directory: Directory
    auth: Authenticator

    @operation(
        Operation(
            "importDirectory",
            "Import directory lines (NDJSON), all or nothing",
            _TAG,
            credential="admin",
            body=DirectoryLine,
            body_types=("application/x-ndjson", "application/json"),
            query=ImportQuery,
            errors=(400, 401, 403, 409, 413, 503),
        )
    )
    async def import_lines(self, request: web.Request) -> JsonResponse[ImportAnswer]:
        await self.auth.admin(request)
        query = read_query(request, _QUERY)
        dry_run = query.dry_run == "true"
        report = await self.directory.import_lines(_pieces(request), dry_run, query.deletions == "allow")
        done = (report.lines, report.changed, report.put, report.removed, dry_run, report.warnings, report.warned)
        return json_response(ImportAnswer(*done))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        found = [web.post(f"{_PATH}/import", self.import_lines)]
        for kind in Kind:
            found += KindResource(kind, self.directory, self.auth).routes()
        return found


@dataclass(frozen=True)
class KindResource:
    """The three routes of one kind of object."""

    kind: Kind
    directory: Directory
    auth: Authenticator

    async def get(self, request: web.Request) -> JsonResponse[DirectoryObject]:
        await self.auth.admin(request)
        return json_response(line(await self.directory.find(self.kind, _identity(self.kind, request))))

    async def put(self, request: web.Request) -> JsonResponse[PutAnswer]:
        await self.auth.admin(request)
        body = await _json_object(request)
        stored, changed = await self.directory.put(self.kind, _identity(self.kind, request), body)
        warnings = stored.dropped_numbers if isinstance(stored, Contact) else 0
        return json_response(PutAnswer(changed, None if stored is None else line(stored), warnings))

    async def delete(self, request: web.Request) -> web.Response:
        await self.auth.admin(request)
        await self.directory.remove(self.kind, _identity(self.kind, request))
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, each described for this kind."""
        kind, words = self.kind, self.kind.value.replace("_", " ")
        common = Operation("", "", _TAG, credential="admin", path=_PATH_TYPES[kind], errors=(400, 401, 403, 404, 503))
        name = "Directory" + "".join(part.capitalize() for part in kind.value.split("_"))
        get = replace(common, id=f"get{name}", summary=f"Get a {words}, as an import line", answer=OBJECTS[kind])
        put = replace(
            common,
            id=f"put{name}",
            summary=f"Create or change a {words}",
            body=fields_model(kind),
            errors=(400, 401, 403, 409, 413, 415, 503),
        )
        delete = replace(common, id=f"remove{name}", summary=f"Remove a {words}", status=204)
        path = "/".join((_PATH, kind.value, *(f"{{{name}}}" for name in KEYS[kind])))
        return [
            web.get(path, described(get, self.get)),
            web.put(path, described(put, self.put)),
            web.delete(path, described(delete, self.delete)),
        ]


def _identity(kind: Kind, request: web.Request) -> tuple[str, ...]:
    return tuple(request.match_info[name] for name in KEYS[kind])


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.content.iter_any():
            yield piece
    except (ClientPayloadError, ConnectionError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, "The import ended too early. Nothing was imported.") from error


async def _json_object(request: web.Request) -> dict[str, Any]:
    data = await read_json_body(request)
    try:
        found = msgspec.json.decode(data or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, "The body is not valid JSON in UTF-8.") from error
    if not isinstance(found, dict):
        raise ApiError(ErrorCode.BAD_REQUEST, "The body should be a JSON object.")
    return found
