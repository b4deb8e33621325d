"""POST and GET /apps/buzz/activity, /apps/buzz/conversations, DELETE /apps/buzz/clear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web
from pydantic import AfterValidator, TypeAdapter, WithJsonSchema
from yarl import URL

from protocol.activity import (
    MAX_IDEMPOTENCY_KEY_CHARACTERS,
    Activity,
    NewActivity,
    Party,
    is_idempotency_key,
    posted,
    read_new_activity,
)
from protocol.answers import ActivityAnswer, ConversationAnswer, PostAnswer
from protocol.codec import JSON
from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID, Strict, parse_value
from server.auth import Authenticator
from server.compression import Coding, chosen, packed
from server.http import Operation, json_response, operation, read_json_body, read_query
from server.live.hub import Hub
from server.services.activities import Activities
from storage.contract import ActivityLog, Conversation, Range

EPOCH_HEADER = "Buzz-Log-Epoch"
REPLAYED_HEADER = "Idempotent-Replayed"
MAX_POST_BYTES = 512 * 1024
"""A message of 65,536 bytes can be six times that in JSON escapes."""
_COMPRESS_FROM_BYTES = 1_024
_MAX_CONVERSATIONS = 1_000


def _party_key(text: str) -> str:
    Party.parse(text)
    return text


def _unsigned(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MAX_ID):
        raise ValueError(f"should be an unsigned integer of at most {MAX_ID}")
    return text


def _page_limit(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 10_000):
        raise ValueError("should be 1 to 10000")
    return text


Unsigned = Annotated[
    str, AfterValidator(_unsigned), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_ID})
]
PageLimit = Annotated[
    str, AfterValidator(_page_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10_000})
]
PartyText = Annotated[
    str,
    AfterValidator(_party_key),
    WithJsonSchema({"type": "string", "pattern": "^(person|company):[1-9][0-9]{0,17}$", "examples": ["person:7"]}),
]


class NewerQuery(Strict):
    """What ``GET activity/<id>`` takes besides the id."""

    limit: PageLimit | None = None
    party: PartyText | None = None


class OlderQuery(Strict):
    """Backwards: the newest first, older than ``before``."""

    before: Unsigned | None = None
    limit: PageLimit = "100"
    party: PartyText | None = None


class ConversationsQuery(Strict):
    """How many conversations."""

    limit: PageLimit = "100"


_NEWER: TypeAdapter[NewerQuery] = TypeAdapter(NewerQuery)
_OLDER: TypeAdapter[OlderQuery] = TypeAdapter(OlderQuery)
_CONVERSATIONS: TypeAdapter[ConversationsQuery] = TypeAdapter(ConversationsQuery)


def routes(
    activities: Activities,
    store: ActivityLog,
    hub: Hub,
    auth: Authenticator,
    development: bool,
    also_clear: Sequence[Callable[[int], Awaitable[None]]] = (),
) -> list[web.RouteDef]:
    """The routes of this resource. ``clear``, in development mode only, calls ``also_clear`` with the person."""

    @operation(
        Operation(
            "Post an activity",
            "activity",
            body=NewActivity,
            answer=PostAnswer,
            errors=(400, 401, 403, 404, 413, 415, 422, 429, 503),
            flat_400=True,
            headers={"Idempotency-Key": "The same key again gets the first answer again, and nothing is stored twice"},
        )
    )
    async def post(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        key = _idempotency_key(request)
        new = read_new_activity(await read_json_body(request, MAX_POST_BYTES))
        stored = await activities.post(caller.person, new, key)
        headers = {REPLAYED_HEADER: "true"} if stored.duplicate else None
        return json_response({"success": True, "data": posted(stored.activity)}, headers=headers)

    @operation(
        Operation(
            "Everything newer than an id that the caller is a party to, oldest first",
            "activity",
            path={"id": Unsigned},
            query=NewerQuery,
            answer=list[ActivityAnswer],
            errors=(400, 401, 503),
            flat_400=True,
        )
    )
    async def newer(request: web.Request) -> web.StreamResponse:
        caller = await auth.person(request)
        after = int(parse_value(TypeAdapter(_IdPath), {"id": request.match_info["id"]}).id)
        query = read_query(request, _NEWER)
        wanted = Range(await activities.parties_of(caller.person), after=after, with_party=_key(query.party))
        if query.limit is None:
            return await _streamed(request, activities, hub.epoch, wanted)
        return await _paged(request, activities, hub.epoch, wanted._replace(limit=int(query.limit)))

    @operation(
        Operation(
            "The newest first, older than `before`",
            "activity",
            query=OlderQuery,
            answer=list[ActivityAnswer],
            errors=(400, 401, 503),
            flat_400=True,
        )
    )
    async def older(request: web.Request) -> web.StreamResponse:
        caller = await auth.person(request)
        query = read_query(request, _OLDER)
        wanted = Range(
            await activities.parties_of(caller.person),
            before=int(query.before) if query.before is not None else MAX_ID,
            limit=int(query.limit),
            with_party=_key(query.party),
            newest_first=True,
        )
        return await _paged(request, activities, hub.epoch, wanted)

    @operation(
        Operation(
            "Whom the caller has talked with, the latest first",
            "activity",
            query=ConversationsQuery,
            answer=list[ConversationAnswer],
            errors=(400, 401, 503),
        )
    )
    async def conversations(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        query = read_query(request, _CONVERSATIONS)
        found = await activities.conversations(caller.person, int(query.limit))
        return json_response([_conversation(activities, caller.person, row) for row in found])

    @operation(
        Operation("Wipe the caller's history (development only)", "activity", status=204, errors=(401,), flat_400=True)
    )
    async def clear(request: web.Request) -> web.Response:
        caller = await auth.person(request)
        for wipe in also_clear:
            await wipe(caller.person)
        epoch = await store.clear(caller.person)
        hub.rewritten(epoch, (await store.state()).head)
        return web.Response(status=204)

    found = [
        web.post("/apps/buzz/activity", post),
        web.get("/apps/buzz/activity", older),
        web.get("/apps/buzz/activity/{id}", newer),
        web.get("/apps/buzz/conversations", conversations),
    ]
    return [*found, web.delete("/apps/buzz/clear", clear)] if development else found


class _IdPath(Strict):
    id: Unsigned


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_idempotency_key(key):
        raise ApiError(
            ErrorCode.BAD_REQUEST,
            f"Invalid header: 'Idempotency-Key': should be 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} characters of"
            " printable ASCII",
        )
    return key


def _key(party: str | None) -> int | None:
    return None if party is None else Party.parse(party).key


def _conversation(activities: Activities, person: int, row: Conversation) -> dict[str, Any]:
    party = Party.of_key(row.party)
    shown: dict[str, Any] = {
        "party": {"type": party.type.value, "id": party.id, **activities.name(row.party)},
        "last_activity": msgspec.Raw(activities.encoded(row.last, JSON)),
        "unread": row.unread,
    }
    if row.mine != person:
        shown["as"] = {"type": "company", "id": -row.mine, **activities.name(row.mine)}
    return shown


# --- the body: one JSON array, in the memory of a page ------------------------------------------------------------


async def _paged(request: web.Request, activities: Activities, epoch: str, wanted: Range) -> web.StreamResponse:
    page = await activities.read(wanted._replace(limit=wanted.limit + 1))
    more, page = len(page) > wanted.limit, page[: wanted.limit]
    headers = _headers(epoch)
    if more:
        headers["Link"] = f'<{_next_page(request, wanted, page[-1].id)}>; rel="next"'
    body = b"[" + _encoded(activities, page) + b"]"
    coding = _coding(request, body)
    if coding is not None:
        return await _write_all(request, headers, packed(_once(body), coding), coding)
    return web.Response(body=body, content_type="application/json", headers=headers)


def _next_page(request: web.Request, wanted: Range, last: int) -> URL:
    here = request.rel_url
    if wanted.newest_first:
        return here.update_query(before=str(last))
    return here.with_path(f"/apps/buzz/activity/{last}").with_query(here.query)


async def _streamed(request: web.Request, activities: Activities, epoch: str, wanted: Range) -> web.StreamResponse:
    pages = activities.stream(wanted)
    body = _encoded(activities, await anext(pages, []))
    coding = _coding(request, body)
    chunks = _chunks(body, pages, activities)
    return await _write_all(request, _headers(epoch), packed(chunks, coding) if coding else chunks, coding)


def _headers(epoch: str) -> dict[str, str]:
    return {EPOCH_HEADER: epoch, "Vary": "Accept-Encoding"}


def _coding(request: web.Request, body: bytes) -> Coding | None:
    """How the answer that begins with ``body`` is to be compressed."""
    return chosen(request.headers.get("Accept-Encoding", "")) if len(body) >= _COMPRESS_FROM_BYTES else None


def _encoded(activities: Activities, page: Sequence[Activity]) -> bytes:
    return b",".join(activities.encoded(activity, JSON) for activity in page)


async def _write_all(
    request: web.Request, headers: Mapping[str, str], chunks: AsyncIterator[bytes], coding: Coding | None
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/json"
    if coding is not None:
        response.headers["Content-Encoding"] = coding
    await response.prepare(request)
    async for chunk in chunks:
        await response.write(chunk)
    await response.write_eof()
    return response


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _chunks(first: bytes, pages: AsyncIterator[list[Activity]], activities: Activities) -> AsyncIterator[bytes]:
    yield b"[" + first
    async for page in pages:
        yield b"," + _encoded(activities, page)
    yield b"]"
