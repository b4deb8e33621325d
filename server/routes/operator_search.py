"""GET /admin/people, /admin/companies and /admin/activities/{id}/timeline: what an operator looks up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from aiohttp import web
from pydantic import Field, TypeAdapter, model_validator

from protocol.activity import Id
from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.requests import read_query
from server.http.responses import JsonResponse, json_response
from server.routes.change_list import NEXT_PAGE
from server.services.operator.directory_search import DirectorySearch, FoundCompany, FoundPerson, read_text
from server.services.operator.timeline import Timeline, Timelines
from storage.directory.search import Wanted

MAX_LISTED: Final = 100
_MAX: Final = 2**63 - 1
Found = TypeVar("Found", FoundPerson, FoundCompany)
_ERRORS: Final = (400, 401, 403, 503)


class SearchQuery(Strict):
    """Either ``q``: a part of a name, the beginning of a number, or an id; or ``ids``, separated by commas.

    ``after``: go on after this id.
    """

    q: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A part of a name, the beginning of a number, or an id."""
    ids: Annotated[str, Field(pattern=r"^[0-9]{1,18}(,[0-9]{1,18}){0,99}$")] | None = None
    """Up to 100 ids with commas between them, instead of `q`."""
    after: Annotated[int, Field(strict=False, ge=0, le=_MAX)] = 0
    """Only those with a larger id than this."""
    limit: Annotated[int, Field(strict=False, ge=1, le=MAX_LISTED)] = 50
    """How many to return at most."""

    @model_validator(mode="after")
    def _one_of_them(self) -> SearchQuery:
        if (self.q is None) == (self.ids is None):
            raise ValueError("Give either 'q' or 'ids'.")
        return self

    @property
    def wanted(self) -> Wanted:
        """Return what to search for."""
        if self.ids is None:
            return read_text(self.q or "", self.after)
        return Wanted((), ids=tuple(map(int, self.ids.split(","))), after=self.after)


_SEARCH: TypeAdapter[SearchQuery] = TypeAdapter(SearchQuery)


def _described(id: str, summary: str, tag: str, **more: Any) -> Operation:
    return Operation(id, summary, tag, credential="admin", **{"errors": _ERRORS, **more})


@dataclass(frozen=True)
class OperatorSearchResource:
    """The directory's people and companies by name, number or id; and how far an activity has come."""

    search: DirectorySearch
    timelines: Timelines
    auth: Authenticator

    @operation(
        _described(
            "findPeople", "Find people by name, number or id", "directory", query=SearchQuery, answer_headers=NEXT_PAGE
        )
    )
    async def people(self, request: web.Request) -> JsonResponse[list[FoundPerson]]:
        await self.auth.admin(request)
        query = read_query(request, _SEARCH)
        return _page(request, query, await self.search.people(query.wanted, query.limit))

    @operation(
        _described(
            "findCompanies",
            "Find companies by name, number or id",
            "directory",
            query=SearchQuery,
            answer_headers=NEXT_PAGE,
        )
    )
    async def companies(self, request: web.Request) -> JsonResponse[list[FoundCompany]]:
        await self.auth.admin(request)
        query = read_query(request, _SEARCH)
        return _page(request, query, await self.search.companies(query.wanted, query.limit))

    @operation(
        _described(
            "getActivityTimeline",
            "What each device of its parties has of an activity; never the activity's text",
            "operation",
            errors=(*_ERRORS, 404),
            path={"id": Id},
        )
    )
    async def timeline(self, request: web.Request) -> JsonResponse[Timeline]:
        await self.auth.admin(request)
        return json_response(await self.timelines.of(_activity_id(request)))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/admin/people", self.people),
            web.get("/admin/companies", self.companies),
            web.get("/admin/activities/{id:[0-9]{1,19}}/timeline", self.timeline),
        ]


def _activity_id(request: web.Request) -> int:
    return min(int(request.match_info["id"]), _MAX)


def _page(request: web.Request, query: SearchQuery, found: list[Found]) -> JsonResponse[list[Found]]:
    response = json_response(found)
    if len(found) == query.limit:
        response.headers["Link"] = f'<{request.rel_url.update_query(after=str(found[-1].id))}>; rel="next"'
    return response
