"""/apps/buzz/privacy-requests: how a company's members read and change its consumers' requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import TypeAdapter

from protocol.privacy_request import PrivacyRequest
from protocol.privacy_view import PrivacyRequestView, view
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.pages import page, page_response
from server.http.requests import read_json
from server.http.responses import JsonResponse, json_response
from server.routes.change_list import NEXT_PAGE, ListQuery, list_query
from server.services.privacy.requests import PrivacyRequests, StateChange
from storage.privacy.requests import is_full

_PATH: Final = "/apps/buzz/privacy-requests"
RECORDING_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
_CHANGE: TypeAdapter[StateChange] = TypeAdapter(StateChange)


async def list_response(
    request: web.Request, found: list[PrivacyRequest], limit: int
) -> JsonResponse[list[PrivacyRequestView]]:
    """Return one page, with a Link to the next if there may be one: it ends at its limit, or at about 1 MiB."""
    more = len(found) == limit or is_full(found)
    return page_response(request, await page(found, view, _after, more=more))


def _after(last: PrivacyRequest) -> dict[str, str]:
    return {"cursor": f"{last.updated_at_ms}.{last.id}"}


@dataclass(frozen=True)
class MemberRequestResource:
    """The privacy requests of a member's companies."""

    requests: PrivacyRequests
    auth: Authenticator

    @operation(
        Operation(
            "listPrivacyRequests",
            "The privacy requests of the caller's companies, by time of change",
            "privacy requests",
            query=ListQuery,
            answer_headers=NEXT_PAGE,
            errors=(400, 401, 503),
        )
    )
    async def listed(self, request: web.Request) -> JsonResponse[list[PrivacyRequestView]]:
        caller = await self.auth.person(request)
        query = list_query(request)
        found = await self.requests.listed(caller.person, query.position, query.limit)
        return await list_response(request, found, query.limit)

    @operation(
        Operation(
            "getPrivacyRequest",
            "One privacy request",
            "privacy requests",
            errors=(401, 404, 503),
        ),
    )
    async def one(self, request: web.Request) -> JsonResponse[PrivacyRequestView]:
        caller = await self.auth.person(request)
        return json_response(view(await self.requests.of_member(caller.person, request.match_info["id"])))

    @operation(
        Operation(
            "getRecording",
            "The recording of a voicemail",
            "privacy requests",
            content_type="audio/mpeg",
            answer=bytes,
            errors=(401, 404, 503),
        )
    )
    async def recording(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        found = await self.requests.of_member(caller.person, request.match_info["id"])
        return recording_response(await self.requests.recording(found.id))

    @operation(
        Operation(
            "changePrivacyRequest",
            "Acknowledge, extend or complete a privacy request",
            "privacy requests",
            body=StateChange,
            errors=(400, 401, 404, 413, 415, 503),
        )
    )
    async def change(self, request: web.Request) -> JsonResponse[PrivacyRequestView]:
        caller = await self.auth.person(request)
        # The body first: it may arrive slowly, and the caller must be a member after it has arrived.
        wanted = await read_json(request, _CHANGE)
        found = await self.requests.of_member(caller.person, request.match_info["id"])
        return json_response(view(await self.requests.change(found.id, wanted, f"person:{caller.person}")))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(_PATH, self.listed),
            web.get(_PATH + "/{id}", self.one),
            web.get(_PATH + "/{id}/recording.mp3", self.recording),
            web.patch(_PATH + "/{id}", self.change),
        ]


def recording_response(mp3: bytes) -> web.Response:
    """Return an MP3 that browsers never interpret as anything else."""
    return web.Response(body=mp3, content_type="audio/mpeg", headers=RECORDING_HEADERS)
