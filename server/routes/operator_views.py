"""GET /admin/trends and /admin/privacy-deadlines: data for the operators' page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from pydantic import Field, TypeAdapter

from protocol.embedded import embedded_list
from protocol.privacy_view import PrivacyRequestView, view
from protocol.times import Day
from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.pages import EncodedPage, array, fitting, response_with_page
from server.http.requests import read_query
from server.http.responses import JsonResponse, json_response
from server.services.operator.trends import TrendPoints, Trends
from server.services.privacy.deadlines import PrivacyDeadlines
from storage.privacy.deadlines import DueCounts, Which

MAX_LISTED: Final = 500
_MAX: Final = 2**63 - 1


class DueAnswer(msgspec.Struct, frozen=True):
    """One page of privacy requests by due date, and how many there are of each kind in all."""

    today: Day
    """The day (UTC) by which it is decided what is late."""
    counts: DueCounts
    """How many requests there are of each kind."""
    requests: Annotated[msgspec.Raw, embedded_list(PrivacyRequestView)]
    """The requests of this page, the earliest deadline first."""


class TrendsQuery(Strict):
    """Points later than ``since``, an ``at_ms`` of an earlier answer."""

    since: Annotated[int, Field(strict=False, ge=0, le=_MAX)] = 0
    """Only points later than this `at_ms` of an earlier answer."""


class DeadlinesQuery(Strict):
    """Which requests, and which page of them."""

    which: Annotated[Which, Field(strict=False)] = Which.OPEN
    """Which requests to return."""
    offset: Annotated[int, Field(strict=False, ge=0, le=_MAX)] = 0
    """How many to leave out at the beginning."""
    limit: Annotated[int, Field(strict=False, ge=1, le=MAX_LISTED)] = 100
    """How many to return at most."""


_json = msgspec.json.Encoder()
_TRENDS: TypeAdapter[TrendsQuery] = TypeAdapter(TrendsQuery)
_DEADLINES: TypeAdapter[DeadlinesQuery] = TypeAdapter(DeadlinesQuery)


def _described(id: str, summary: str, tag: str, query: Any) -> Operation:
    return Operation(id, summary, tag, credential="admin", query=query, errors=(400, 401, 403, 503))


@dataclass(frozen=True)
class OperatorViewResource:
    """Trends, and privacy requests by due date."""

    trends: Trends
    deadlines: PrivacyDeadlines
    auth: Authenticator

    @operation(_described("getTrends", "This node's figures over the last hour", "operation", TrendsQuery))
    async def trends_since(self, request: web.Request) -> JsonResponse[TrendPoints]:
        await self.auth.admin(request)
        return json_response(self.trends.since(read_query(request, _TRENDS).since))

    @operation(
        _described(
            "listDuePrivacyRequests",
            "Privacy requests of all companies by due date",
            "privacy requests",
            DeadlinesQuery,
        )
    )
    async def due(self, request: web.Request) -> JsonResponse[DueAnswer]:
        await self.auth.admin(request)
        query = read_query(request, _DEADLINES)
        found = await self.deadlines.due(query.which, query.offset, query.limit)
        encoded = await fitting(found.requests, lambda one: _json.encode(view(one)))
        following = query.offset + len(encoded)
        more = encoded and (len(encoded) == query.limit or following < found.total)
        shown = EncodedPage[PrivacyRequestView](array(encoded), {"offset": str(following)} if more else None)
        whole = DueAnswer(found.today.isoformat(), found.counts, msgspec.Raw(shown.json))
        return response_with_page(request, shown, whole)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin/trends", self.trends_since), web.get("/admin/privacy-deadlines", self.due)]
