"""Pages of lists: an answer ends at its limit or at about 1 MiB, and a Link header says where the list goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from server.http.responses import JsonResponse, json_response
from server.http.sending import ANSWER_BYTES
from server.runtime.turns import Turns

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R", bound=web.Response)
_json = msgspec.json.Encoder()


class EncodedPage(NamedTuple, Generic[S]):
    """The rows that fit on a page, as a JSON array of S.

    ``next``: the parameters of the next page, None for the last one.
    """

    json: bytes
    next: Mapping[str, str] | None


async def fitting(rows: Iterable[T], encode: Callable[[T], bytes], max_bytes: int = ANSWER_BYTES) -> list[bytes]:
    """Return the first rows, encoded, until they reach ``max_bytes``: at least one if there is any."""
    turns, found, size = Turns(), list[bytes](), 0
    for row in rows:
        found.append(encode(row))
        size += len(found[-1])
        if size >= max_bytes:
            break
        await turns.give()
    return found


def array(encoded: Iterable[bytes]) -> bytes:
    """Return a JSON array of encoded values."""
    return b"[" + b",".join(encoded) + b"]"


async def page(
    rows: Sequence[T], show: Callable[[T], S], after: Callable[[T], Mapping[str, str]], *, more: bool
) -> EncodedPage[S]:
    """Return the page with as many of the rows as fit.

    ``show`` makes of a row what is encoded, ``after`` the parameters of the page that begins behind it; ``more``:
    whether there may be rows after these.
    """
    encoded = await fitting(rows, lambda row: _json.encode(show(row)))
    goes_on = bool(encoded) and (more or len(encoded) < len(rows))
    return EncodedPage(array(encoded), after(rows[len(encoded) - 1]) if goes_on else None)


def page_response(request: web.Request, found: EncodedPage[S]) -> JsonResponse[list[S]]:
    """Answer with a page."""
    return _linked(request, found, JsonResponse(body=found.json, content_type="application/json"))


def response_with_page(request: web.Request, found: EncodedPage[S], whole: T) -> JsonResponse[T]:
    """Answer with ``whole``, which has the page in it."""
    return _linked(request, found, json_response(whole))


def _linked(request: web.Request, found: EncodedPage[S], response: R) -> R:
    if found.next is not None:
        response.headers["Link"] = f'<{request.rel_url.update_query(found.next)}>; rel="next"'
    return response
