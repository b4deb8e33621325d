"""GET /apps/buzz/companies/{company_id}/members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from protocol.activity import Id
from protocol.answers import CompanyMembersAnswer
from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import JsonResponse, json_response
from storage.database import Database
from storage.directory import reads

MAX_MEMBERS_LISTED: Final = 100
"""More than the devices that one message can be encrypted for."""


@dataclass(frozen=True)
class CompanyMembersResource:
    """The members of companies, whose devices read what is sent to the company."""

    database: Database
    auth: Authenticator

    @operation(
        Operation(
            "listCompanyMembers",
            "List the ids of a company's members, whose public keys a message to the company is encrypted for",
            "encryption",
            errors=(400, 401, 404, 503),
            path={"company_id": Id},
        )
    )
    async def get(self, request: web.Request) -> JsonResponse[CompanyMembersAnswer]:
        await self.auth.person(request)
        company_id = _company_id(request.match_info["company_id"])
        found = await reads.first_members(self.database, company_id, MAX_MEMBERS_LISTED + 1)
        if not found and not await reads.existing(self.database, [-company_id]):
            raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no company:{company_id}.")
        more = len(found) > MAX_MEMBERS_LISTED
        return json_response(CompanyMembersAnswer(tuple(found[:MAX_MEMBERS_LISTED]), more))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/apps/buzz/companies/{company_id}/members", self.get)]


def _company_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= MAX_ID):
        raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: 'company_id': should be 1 to {MAX_ID}")
    return int(text)
