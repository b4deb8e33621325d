"""POST and GET /apps/buzz/activity, /apps/buzz/conversations, DELETE /apps/buzz/clear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

import msgspec
from aiohttp import web
from pydantic import PlainValidator, TypeAdapter, WithJsonSchema
from yarl import URL

from protocol.activity import (
    MAX_IDEMPOTENCY_KEY_CHARACTERS,
    NewActivity,
    Party,
    is_idempotency_key,
    read_new_activity,
)
from protocol.answers import ActivityAnswer, ConversationAnswer, ConversationParty, PostAnswer, posted
from protocol.codec import JSON
from protocol.errors import ApiError, ErrorCode
from protocol.validation import MAX_ID, Strict, parse_value
from server.auth.contract import Authenticator, Caller
from server.http.operations import Operation, operation
from server.http.pages import array, fitting
from server.http.requests import read_json_body, read_query
from server.http.responses import JsonResponse, json_response
from server.http.sending import AnswerKind, Sending
from server.live.hub import Hub
from server.routes.change_list import NEXT_PAGE
from server.routes.history import Body, one_page, pieces
from server.services.activities import Activities
from server.services.receipts import Receipts
from storage.contract import ActivityLog, Conversation, Range

EPOCH_HEADER = "Buzz-Log-Epoch"
REPLAYED_HEADER = "Idempotent-Replayed"
_EPOCH = {EPOCH_HEADER: "The history that the ids belong to; if it has changed, start again at 0"}
MAX_POST_BYTES = 512 * 1024
"""A message of 65,536 bytes can be six times that in JSON escapes."""
_json = msgspec.json.Encoder()


def _party_key(text: str) -> int:
    return Party.parse(text).key


def _unsigned(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MAX_ID):
        raise ValueError(f"should be an unsigned integer of at most {MAX_ID}")
    return int(text)


def _page_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 10_000):
        raise ValueError("should be 1 to 10000")
    return int(text)


Unsigned = Annotated[
    int, PlainValidator(_unsigned), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_ID})
]
PageLimit = Annotated[
    int, PlainValidator(_page_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10_000})
]
PartyKey = Annotated[
    int,
    PlainValidator(_party_key),
    WithJsonSchema({"type": "string", "pattern": "^(person|company):[1-9][0-9]{0,17}$", "examples": ["person:7"]}),
]


class NewerQuery(Strict):
    """The query of ``GET activity/<id>``."""

    limit: PageLimit | None = None
    """How many to return at most; without it everything, as a stream."""
    party: PartyKey | None = None
    """Only the conversation with this party, such as `person:7`."""


class OlderQuery(Strict):
    """Activities older than ``before``, newest first."""

    before: Unsigned | None = None
    """Only activities older than this id; without it, from the newest."""
    limit: PageLimit = 100
    """How many to return at most."""
    party: PartyKey | None = None
    """Only the conversation with this party, such as `person:7`."""


class ConversationsQuery(Strict):
    """How many conversations: those whose newest activity is older than ``before``."""

    before: Unsigned | None = None
    """Only conversations whose newest activity is older than this id."""
    limit: PageLimit = 100
    """How many to return at most."""


class _IdPath(Strict):
    id: Unsigned


_ID: TypeAdapter[_IdPath] = TypeAdapter(_IdPath)
_NEWER: TypeAdapter[NewerQuery] = TypeAdapter(NewerQuery)
_OLDER: TypeAdapter[OlderQuery] = TypeAdapter(OlderQuery)
_CONVERSATIONS: TypeAdapter[ConversationsQuery] = TypeAdapter(ConversationsQuery)


@dataclass(frozen=True)
class ActivityResource:
    """Activities and conversations. ``clear``, in development mode only, calls ``also_clear`` with the person."""

    activities: Activities
    store: ActivityLog
    hub: Hub
    auth: Authenticator
    development: bool
    sending: Sending
    receipts: Receipts
    also_clear: Sequence[Callable[[int], Awaitable[None]]] = ()

    @operation(
        Operation(
            "postActivity",
            "Post an activity",
            "activity",
            body=NewActivity,
            answer_headers={REPLAYED_HEADER: "`true` if this was posted before and the first answer is returned"},
            errors=(400, 401, 403, 404, 413, 415, 422, 429, 503),
            flat_400=True,
            headers={
                "Idempotency-Key": "If the same key is sent again, nothing is stored and the first answer is returned"
            },
        )
    )
    async def post(self, request: web.Request) -> JsonResponse[PostAnswer]:
        caller = await self.auth.person(request)
        key = _idempotency_key(request)
        new = read_new_activity(await read_json_body(request, MAX_POST_BYTES))
        stored = await self.activities.post(caller.person, new, key)
        headers = {REPLAYED_HEADER: "true"} if stored.duplicate else None
        return json_response(PostAnswer(data=posted(stored.activity)), headers=headers)

    async def may_go_on(self, caller: Caller, wanted: Range) -> bool:
        theirs = await self.activities.parties_of(caller.person)
        return self.auth.ended(caller) is None and set(wanted.parties) <= set(theirs)

    @operation(
        Operation(
            "listNewerActivities",
            "List the caller's activities that are newer than an id, oldest first",
            "activity",
            path={"id": Unsigned},
            query=NewerQuery,
            answer=list[ActivityAnswer],
            answer_headers={**NEXT_PAGE, **_EPOCH},
            errors=(400, 401, 429, 503),
            flat_400=True,
        )
    )
    async def newer(self, request: web.Request) -> web.StreamResponse:
        caller = await self.auth.person(request)
        after = parse_value(_ID, {"id": request.match_info["id"]}).id
        query = read_query(request, _NEWER)
        wanted = Range(await self.activities.parties_of(caller.person), after=after, with_party=query.party)
        if query.limit is not None:
            return await self.page(request, caller.person, wanted._replace(limit=query.limit))
        with self.sending.begun(request, AnswerKind.HISTORY, caller.person) as answer:
            async with aclosing(pieces(self.activities, wanted)) as body:
                first = await anext(body)
                rest = _while_allowed(first, body, lambda: self.may_go_on(caller, wanted))
                return await answer.send(_headers(self.hub.epoch), rest, answer.coding(first))

    @operation(
        Operation(
            "listOlderActivities",
            "List activities older than `before`, newest first",
            "activity",
            query=OlderQuery,
            answer=list[ActivityAnswer],
            answer_headers={**NEXT_PAGE, **_EPOCH},
            errors=(400, 401, 429, 503),
            flat_400=True,
        )
    )
    async def older(self, request: web.Request) -> web.StreamResponse:
        caller = await self.auth.person(request)
        query = read_query(request, _OLDER)
        wanted = Range(
            await self.activities.parties_of(caller.person),
            before=MAX_ID if query.before is None else query.before,
            limit=query.limit,
            with_party=query.party,
            newest_first=True,
        )
        return await self.page(request, caller.person, wanted)

    async def page(self, request: web.Request, person: int, wanted: Range) -> web.StreamResponse:
        with self.sending.begun(request, AnswerKind.PAGE, person) as answer:
            found = await one_page(self.activities, wanted)
            headers = _headers(self.hub.epoch)
            if found.more:
                headers["Link"] = f'<{_next_page(request, wanted, found)}>; rel="next"'
            return await answer.send_whole(headers, found.json)

    @operation(
        Operation(
            "listConversations",
            "List the parties that the caller has talked with, latest first",
            "activity",
            query=ConversationsQuery,
            answer=list[ConversationAnswer],
            answer_headers=NEXT_PAGE,
            errors=(400, 401, 429, 503),
        )
    )
    async def conversations(self, request: web.Request) -> web.StreamResponse:
        caller = await self.auth.person(request)
        query = read_query(request, _CONVERSATIONS)
        before = MAX_ID if query.before is None else query.before
        with self.sending.begun(request, AnswerKind.PAGE, caller.person) as answer:
            rows, more = await self.activities.conversations(caller.person, query.limit, before)
            delivered = await self.receipts.delivered(caller.person, {row.party for row in rows})

            def shown_as_json(row: Conversation) -> bytes:
                return _json.encode(_conversation(self.activities, caller.person, row, delivered.get(row.party)))

            shown = await fitting(rows, shown_as_json)
            # A page never ends between two conversations that have the same newest activity.
            while 0 < len(shown) < len(rows) and rows[len(shown)].last.id == rows[len(shown) - 1].last.id:
                shown.append(shown_as_json(rows[len(shown)]))
            headers = {}
            if more or len(shown) < len(rows):
                link = request.rel_url.update_query(before=str(rows[len(shown) - 1].last.id))
                headers["Link"] = f'<{link}>; rel="next"'
            return await answer.send_whole(headers, array(shown))

    @operation(
        Operation(
            "clearHistory",
            "Delete what the caller sent and received, for the other side too (development mode only)",
            "activity",
            status=204,
            errors=(401,),
            flat_400=True,
        )
    )
    async def clear(self, request: web.Request) -> web.Response:
        caller = await self.auth.person(request)
        for wipe in self.also_clear:
            await wipe(caller.person)
        epoch = await self.store.clear(caller.person)
        self.hub.rewritten(epoch, (await self.store.state()).head)
        return web.Response(status=204)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        found = [
            web.post("/apps/buzz/activity", self.post),
            web.get("/apps/buzz/activity", self.older),
            web.get("/apps/buzz/activity/{id}", self.newer),
            web.get("/apps/buzz/conversations", self.conversations),
        ]
        return [*found, web.delete("/apps/buzz/clear", self.clear)] if self.development else found


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_idempotency_key(key):
        raise ApiError(
            ErrorCode.BAD_REQUEST,
            f"Invalid header: 'Idempotency-Key': should be 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} characters of"
            " printable ASCII",
        )
    return key


def _conversation(
    activities: Activities, person: int, row: Conversation, delivered_id: int | None
) -> ConversationAnswer:
    own = msgspec.UNSET if row.mine == person else ConversationParty.of(activities.name(row.mine))
    return ConversationAnswer(
        ConversationParty.of(activities.name(row.party)),
        msgspec.Raw(activities.encoded(row.last, JSON)),
        row.unread,
        row.read_id,
        # What was read has been delivered, whether or not a device has confirmed it.
        None if delivered_id is None else max(delivered_id, row.read_id),
        own,
    )


def _next_page(request: web.Request, wanted: Range, found: Body) -> URL:
    here = request.rel_url
    if wanted.newest_first:
        return here.update_query(before=str(found.last))
    return here.with_path(f"/apps/buzz/activity/{found.last}").with_query(here.query)


def _headers(epoch: str) -> dict[str, str]:
    return {EPOCH_HEADER: epoch}


async def _while_allowed(
    first: bytes, rest: AsyncIterator[bytes], allowed: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """Yield the pieces until the reader's right to them ends, so that a slow reader gets none after that."""
    yield first
    async for piece in rest:
        if not await allowed():
            raise ConnectionResetError("the right to read this history has ended")
        yield piece
