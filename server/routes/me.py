"""GET /apps/buzz/me."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from protocol.activity import Party
from protocol.answers import MeAnswer, MyCompany
from protocol.names import PersonName
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import JsonResponse, json_response
from server.live.parties import Parties


@dataclass(frozen=True)
class MeResource:
    """Who the caller is."""

    parties: Parties
    auth: Authenticator

    @operation(
        Operation(
            "getMe",
            "Say who the caller is: their name, and the companies that they are a member of",
            "directory",
            errors=(401, 503),
        )
    )
    async def show(self, request: web.Request) -> JsonResponse[MeAnswer]:
        person_id = (await self.auth.person(request)).person
        companies = await self.parties.companies_of(person_id)
        await self.parties.load((person_id, *companies))
        name = self.parties.shown(person_id).name
        assert isinstance(name, PersonName)
        # Their keys are negative, the smallest id last.
        found = tuple(MyCompany(Party.of_key(key).id, self.parties.shown(key).name.display) for key in companies[::-1])
        return json_response(MeAnswer(name.id, name.first_name, name.middle_name, name.last_name, found))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/apps/buzz/me", self.show)]
