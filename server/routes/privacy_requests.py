"""/apps/buzz/privacy-requests: what a company's members see of its consumers' requests, and do about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import AfterValidator, TypeAdapter

from protocol.privacy_request import PrivacyRequest, view
from protocol.validation import Strict
from server.auth import Authenticator
from server.http import Operation, json_response, operation, read_json, read_query
from server.services.privacy import MAX_LISTED, Position, PrivacyRequests, StateChange

_PATH: Final = "/apps/buzz/privacy-requests"
_CHANGE: TypeAdapter[StateChange] = TypeAdapter(StateChange)


def _moment(text: str) -> str:
    try:
        if datetime.fromisoformat(text).tzinfo is None:
            raise ValueError(text)
    except ValueError as error:
        raise ValueError("should be a time such as 2020-03-14T18:44:40Z") from error
    return text


def _position(text: str) -> str:
    at, dot, request_id = text.partition(".")
    if not (dot and at.isascii() and at.isdigit() and len(at) <= 18 and len(request_id) <= 64):
        raise ValueError("should be the cursor that a Link header gave")
    return text


def _few(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LISTED):
        raise ValueError(f"should be 1 to {MAX_LISTED}")
    return text


class ListQuery(Strict):
    """``since`` is an ``updated_at`` (whole seconds, itself included); ``cursor`` goes on where a page ended."""

    since: Annotated[str, AfterValidator(_moment)] | None = None
    cursor: Annotated[str, AfterValidator(_position)] | None = None
    limit: Annotated[str, AfterValidator(_few)] = "100"

    @property
    def position(self) -> Position:
        """Where to begin."""
        if self.cursor is not None:
            at, _, request_id = self.cursor.partition(".")
            return Position(int(at), request_id)
        if self.since is None:
            return Position()
        return Position(max(0, int(datetime.fromisoformat(self.since).timestamp()) * 1000))


_LIST: TypeAdapter[ListQuery] = TypeAdapter(ListQuery)


def list_query(request: web.Request) -> ListQuery:
    """The query of a list of requests. Raises ApiError(bad_request) naming the parameter."""
    return read_query(request, _LIST)


def list_response(request: web.Request, found: list[PrivacyRequest], limit: int) -> web.Response:
    """One page, with a Link to the next where there may be one."""
    response = json_response([view(one) for one in found])
    if len(found) == limit:
        cursor = f"{found[-1].updated_at_ms}.{found[-1].id}"
        following = request.rel_url.without_query_params("since").update_query(cursor=cursor)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def routes(requests: PrivacyRequests, auth: Authenticator) -> list[web.RouteDef]:
    """The members' routes."""

    @operation(
        Operation(
            "The privacy requests of the caller's companies, by time of change",
            "privacy requests",
            query=ListQuery,
            answer=list[dict[str, Any]],
            errors=(400, 401, 503),
        )
    )
    async def listed(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        query = list_query(request)
        limit = int(query.limit)
        return list_response(request, await requests.listed(caller.person, query.position, limit), limit)

    @operation(
        Operation("One privacy request", "privacy requests", answer=dict[str, Any], errors=(401, 404, 503)),
    )
    async def one(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        return json_response(view(await requests.of_member(caller.person, request.match_info["id"])))

    @operation(
        Operation(
            "The recording of a voicemail",
            "privacy requests",
            content_type="audio/mpeg",
            errors=(401, 404, 503),
        )
    )
    async def recording(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        found = await requests.of_member(caller.person, request.match_info["id"])
        return recording_response(await requests.recording(found.id))

    @operation(
        Operation(
            "Acknowledge, extend or complete a privacy request",
            "privacy requests",
            body=StateChange,
            answer=dict[str, Any],
            errors=(400, 401, 404, 413, 415, 503),
        )
    )
    async def change(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        found = await requests.of_member(caller.person, request.match_info["id"])
        wanted = await read_json(request, _CHANGE)
        return json_response(view(await requests.change(found.id, wanted, f"person:{caller.person}")))

    return [
        web.get(_PATH, listed),
        web.get(_PATH + "/{id}", one),
        web.get(_PATH + "/{id}/recording.mp3", recording),
        web.patch(_PATH + "/{id}", change),
    ]


def recording_response(mp3: bytes) -> web.Response:
    """An MP3, never interpreted as anything else."""
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
    return web.Response(body=mp3, content_type="audio/mpeg", headers=headers)
