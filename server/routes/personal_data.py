"""GET /apps/buzz/export and GET /admin/people/{id}/export: one person's data, one JSON object a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog
from aiohttp import web

from protocol.activity import Id
from protocol.errors import ApiError, ErrorCode
from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.sending import PIECE_BYTES, AnswerKind, Sending
from server.runtime.limits import Buckets
from server.runtime.turns import Turns
from server.services.operator.personal_data import Line, PersonalData

NDJSON: Final = "application/x-ndjson"
EXPORTS_AT_ONCE: Final = 4
EXPORT_EVERY_SECONDS: Final = 600.0
"""A person may export their data so many times at once, then once in so many seconds: each reads all they wrote."""

_json = msgspec.json.Encoder()
_logger = structlog.get_logger("export")


def _exports() -> Buckets[int]:
    return Buckets(1 / EXPORT_EVERY_SECONDS, EXPORTS_AT_ONCE)


async def _always() -> bool:
    return True


@dataclass(frozen=True)
class ExportResource:
    """The exports of a person's data."""

    data: PersonalData
    auth: Authenticator
    sending: Sending
    limit: Buckets[int] = field(default_factory=_exports)

    @operation(
        Operation(
            "exportMyData",
            "Everything that is stored about the caller and that an erasure would take away, one JSON object a line",
            "operation",
            content_type=NDJSON,
            answer=str,
            errors=(401, 429, 503),
        )
    )
    async def mine(self, request: web.Request) -> web.StreamResponse:
        caller = await self.auth.person(request)
        wait = self.limit.take(caller.person)
        if wait:
            raise ApiError(ErrorCode.RATE_LIMITED, "Too Many Requests: you have exported your data too often.", wait)

        async def allowed() -> bool:
            return self.auth.ended(caller) is None

        return await self._send(request, caller.person, caller.person, allowed)

    @operation(
        Operation(
            "exportPersonalData",
            "Everything that is stored about a person and that an erasure would take away, one JSON object a line",
            "operation",
            credential="admin",
            content_type=NDJSON,
            answer=str,
            path={"id": Id},
            errors=(401, 403, 404, 429, 503),
        )
    )
    async def of_person(self, request: web.Request) -> web.StreamResponse:
        caller = await self.auth.admin(request)
        person_id = int(request.match_info["id"])
        _logger.info("personal data exported", by=caller.subject, person_id=person_id)
        return await self._send(request, person_id, 0, _always)

    async def _send(
        self, request: web.Request, person_id: int, reader: int, allowed: Callable[[], Awaitable[bool]]
    ) -> web.StreamResponse:
        with self.sending.begun(request, AnswerKind.HISTORY, reader) as answer:
            headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
            async with aclosing(_pieces(self.data.lines(person_id), allowed)) as pieces:
                first = await anext(pieces)
                return await answer.send(headers, _joined(first, pieces), answer.coding(first), NDJSON)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/apps/buzz/export", self.mine),
            web.get("/admin/people/{id:[0-9]{1,18}}/export", self.of_person),
        ]


async def _pieces(lines: AsyncIterator[Line], allowed: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes]:
    """Yield the lines in pieces of about ``PIECE_BYTES``, and at the end how many there were.

    Raises ConnectionResetError when the reader's right to them has ended.
    """
    turns, piece, size, count = Turns(), list[bytes](), 0, 0
    async for line in lines:
        count += 1
        piece.append(_json.encode(line) + b"\n")
        size += len(piece[-1])
        if size >= PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
            await turns.give()
            if not await allowed():
                raise ConnectionResetError("the right to read this export has ended")
    yield b"".join([*piece, _json.encode({"kind": "end", "lines": count}) + b"\n"])


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
