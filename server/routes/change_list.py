"""Lists in the order in which their rows changed: where a page begins, and the link to the next one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, NamedTuple

from aiohttp import web
from pydantic import PlainValidator, TypeAdapter, WithJsonSchema

from protocol.validation import Strict
from server.http.requests import read_query

MAX_LISTED: Final = 500
NEXT_PAGE: Final = {"Link": 'The next page (`rel="next"`), if there may be one'}
"""The header of a page, for the description of its route."""


class Position(NamedTuple):
    """Where a list continues: after this time of change (milliseconds) and id."""

    changed_at_ms: int = 0
    id: str = ""


def _moment_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
    except ValueError as error:
        raise ValueError("should be a time such as 2020-03-14T18:44:40Z") from error
    return max(0, int(moment.timestamp()) * 1000)


def _position(text: str) -> Position:
    at, dot, row_id = text.partition(".")
    if not (dot and at.isascii() and at.isdigit() and len(at) <= 18 and len(row_id) <= 64):
        raise ValueError("should be the cursor that a Link header gave")
    return Position(int(at), row_id)


def _few(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LISTED):
        raise ValueError(f"should be 1 to {MAX_LISTED}")
    return int(text)


_MOMENT: Final = WithJsonSchema({"type": "string", "format": "date-time"})
_FEW: Final = WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LISTED})


Few = Annotated[int, PlainValidator(_few), _FEW]
"""How many rows of a list to answer with at most."""


class ListQuery(Strict):
    """``since`` is a time of change (whole seconds, itself included); ``cursor`` continues where a page ended."""

    since: Annotated[int, PlainValidator(_moment_ms), _MOMENT] | None = None
    """Only what changed at this time or later."""
    cursor: Annotated[Position, PlainValidator(_position), WithJsonSchema({"type": "string"})] | None = None
    """Where the page before ended, as its `Link` header says."""
    limit: Few = 100
    """How many to return at most."""

    @property
    def position(self) -> Position:
        """The position at which to begin."""
        return self.cursor or Position(self.since or 0)


_LIST: TypeAdapter[ListQuery] = TypeAdapter(ListQuery)


def list_query(request: web.Request) -> ListQuery:
    """Read the query of a list. Raises ApiError(bad_request) naming the parameter."""
    return read_query(request, _LIST)
