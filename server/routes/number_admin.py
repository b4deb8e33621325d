"""/admin/numbers: the pool of Buzz numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from pydantic import AfterValidator, Field, TypeAdapter

from protocol.activity import rfc3339
from protocol.phone import parse_e164
from protocol.times import Time
from protocol.validation import Strict
from server.auth.contract import Authenticator
from server.config.settings import NumberSource
from server.http.operations import Operation, operation
from server.http.requests import read_json, read_query
from server.http.responses import JsonResponse, json_response
from storage.telephony.numbers import BuzzNumber, NumberState, NumberStore

MAX_NUMBERS: Final = 1_000
_PATH: Final = "/admin/numbers"


def _e164(text: str) -> str:
    if parse_e164(text) is None:
        raise ValueError("should be a possible number in E.164: + and digits alone, for example +12385551629")
    return text


E164 = Annotated[str, AfterValidator(_e164)]


class NewNumbers(Strict):
    """``POST /admin/numbers``: numbers for the pool."""

    numbers: Annotated[list[E164], Field(min_length=1, max_length=MAX_NUMBERS)]
    """The numbers in E.164."""


class NumbersAdded(msgspec.Struct, frozen=True):
    """What adding numbers to the pool did."""

    added: int
    """How many are new."""
    known: int
    """How many were there already."""


class NumberAnswer(msgspec.Struct, frozen=True):
    """One Buzz number."""

    number: str | None
    """The number in E.164; null while it is being bought."""
    state: NumberState
    """What it is used for."""
    person_id: int | None
    """The person who has it, or for whom it is reserved."""
    until: Time | None
    """Until when it is reserved or rests."""


class NumberList(msgspec.Struct, frozen=True):
    """One page of the Buzz numbers."""

    counts: dict[NumberState, int]
    """How many numbers there are in each state."""
    source: NumberSource
    """Where a person's number comes from when none is free: `pool`: nowhere; `twilio`: Buzz buys one; `fictional`: Buzz
    makes one up (development)."""
    numbers: list[NumberAnswer]
    """The numbers of this page, in order."""


class NumbersQuery(Strict):
    """``GET /admin/numbers``: those after ``after``, in order."""

    after: Annotated[str, Field(max_length=20)] = ""
    """Only numbers after this one, in order."""
    limit: Annotated[int, Field(strict=False, ge=1, le=MAX_NUMBERS)] = MAX_NUMBERS
    """How many to return at most."""


_NEW: TypeAdapter[NewNumbers] = TypeAdapter(NewNumbers)
_LIST: TypeAdapter[NumbersQuery] = TypeAdapter(NumbersQuery)


def _described(id: str, summary: str, **more: Any) -> Operation:
    return Operation(id, summary, "numbers", credential="admin", errors=(400, 401, 403, 413, 503), **more)


@dataclass(frozen=True)
class NumberResource:
    """The pool of Buzz numbers."""

    store: NumberStore
    auth: Authenticator
    now_ms: Callable[[], int]
    source: NumberSource

    @operation(
        _described(
            "addNumbers", "Add numbers to the pool; numbers that are in it stay unchanged", body=NewNumbers, status=201
        )
    )
    async def add(self, request: web.Request) -> JsonResponse[NumbersAdded]:
        await self.auth.admin(request)
        wanted = set((await read_json(request, _NEW)).numbers)
        added = await self.store.add(sorted(wanted), self.now_ms())
        return json_response(NumbersAdded(added, len(wanted) - added), status=201)

    @operation(_described("listNumbers", "Buzz numbers in order, and the count for each state", query=NumbersQuery))
    async def listed(self, request: web.Request) -> JsonResponse[NumberList]:
        await self.auth.admin(request)
        query = read_query(request, _LIST)
        found = await self.store.list(query.limit, query.after)
        return json_response(NumberList(await self.store.counts(), self.source, [_shown(each) for each in found]))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(_PATH, self.add), web.get(_PATH, self.listed)]


def _shown(number: BuzzNumber) -> NumberAnswer:
    until = rfc3339(number.until_ms) if number.until_ms is not None else None
    return NumberAnswer(number.e164, number.state, number.person_id, until)
