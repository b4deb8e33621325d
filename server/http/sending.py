"""Responses that may be large: sent in pieces, at the reader's speed, and a limited number at once.

A response that is being sent holds its page and the bytes that its socket has not accepted, about 1 MiB. A reader that
reads nothing for :data:`STALL_SECONDS` is disconnected. One person may have a few such responses, the node
:data:`MAX_ANSWERS`: beyond that the one that has waited longest for its reader is ended, and if none has waited, the
new request is refused for now.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, unique

from aiohttp import hdrs, web

from protocol.errors import ApiError, ErrorCode
from server.http.compression import Coding, chosen, packed

ANSWER_BYTES = 1024 * 1024
"""An answer that is not a stream ends at about this size."""
PIECE_BYTES = 64 * 1024
STALL_SECONDS = 30.0
"""Within this time a reader takes a piece, or is cut off."""
MAX_ANSWERS = 64
"""Under way on one node, at about 1 MiB each."""
MAKES_ROOM_SECONDS = 2.0
"""Who has kept its answer waiting for so long may be cut off for somebody else when the node is full."""
RETRY_SECONDS = 5.0
_COMPRESS_FROM_BYTES = 1_024
ENDINGS = ("refused", "stalled", "made room")
"""Why a response was not sent completely, for the metrics."""


@unique
class AnswerKind(Enum):
    """What is sent, and how many responses of this kind a person (or a webhook endpoint) may have at once."""

    HISTORY = 4
    PAGE = 16
    RECORDING = 8


class Answer:
    """One response that is being sent."""

    __slots__ = ("_sending", "request", "waiting_since")

    def __init__(self, sending: Sending, request: web.Request) -> None:
        self._sending = sending
        self.request = request
        self.waiting_since: float | None = None

    async def send(
        self,
        headers: Mapping[str, str],
        pieces: AsyncIterator[bytes],
        coding: Coding | None,
        content_type: str = "application/json",
    ) -> web.StreamResponse:
        """Send a body; to a HEAD only the headers, and ``pieces`` is not read.

        Raises ConnectionResetError if the reader has disconnected, or was disconnected.
        """
        response = web.StreamResponse(headers={**headers, "Vary": "Accept-Encoding"})
        response.content_type = content_type
        if coding is not None:
            response.headers["Content-Encoding"] = coding
            pieces = packed(pieces, coding)
        await response.prepare(self.request)
        if self.request.method != hdrs.METH_HEAD:
            async for piece in pieces:
                await self._write(response, piece)
        await response.write_eof()
        return response

    async def send_whole(self, headers: Mapping[str, str], body: bytes) -> web.StreamResponse:
        """Send a complete JSON body."""
        coding = self.coding(body)
        if coding is None:
            headers = {**headers, "Content-Length": str(len(body))}
        return await self.send(headers, _in_pieces(body), coding)

    async def send_plain(self, headers: Mapping[str, str], body: bytes, content_type: str) -> web.StreamResponse:
        """Send a complete body that is compressed already, such as a recording."""
        return await self.send({**headers, "Content-Length": str(len(body))}, _in_pieces(body), None, content_type)

    def coding(self, begin: bytes) -> Coding | None:
        """Return the coding for a response that begins like this."""
        accepted = self.request.headers.get("Accept-Encoding", "")
        return chosen(accepted) if len(begin) >= _COMPRESS_FROM_BYTES else None

    def cut(self) -> None:
        """Close the connection, so that the client does not take the response as complete."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def _write(self, response: web.StreamResponse, piece: bytes) -> None:
        self.waiting_since = self._sending.now()
        try:
            async with asyncio.timeout(self._sending.stall_seconds):
                await response.write(piece)
        except TimeoutError:
            self._sending.counts["stalled"] += 1
            self.cut()
            raise ConnectionResetError("the reader took nothing for too long") from None
        self.waiting_since = None


class Sending:
    """The responses that this node is sending. ``counts`` is for the metrics: how often one was refused or ended."""

    def __init__(
        self,
        max_answers: int = MAX_ANSWERS,
        stall_seconds: float = STALL_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_answers = max_answers
        self.stall_seconds = stall_seconds
        self.now = now
        self._under_way: dict[Answer, None] = {}
        self._of: Counter[tuple[AnswerKind, int]] = Counter()
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._under_way)

    @contextmanager
    def begun(self, request: web.Request, kind: AnswerKind, person: int) -> Iterator[Answer]:
        """Count one response from before it is read until the block ends.

        Raises ApiError: rate_limited, unavailable.
        """
        mine = (kind, person)
        if self._of[mine] >= kind.value:
            self.counts["refused"] += 1
            message = f"Too Many Requests: the server is sending you {kind.value} of these already; read them first."
            raise ApiError(ErrorCode.RATE_LIMITED, message, RETRY_SECONDS)
        if len(self._under_way) >= self._max_answers:
            self._make_room()
        answer = Answer(self, request)
        self._under_way[answer] = None
        self._of[mine] += 1
        try:
            yield answer
        finally:
            self._under_way.pop(answer, None)
            self._of[mine] -= 1
            if not self._of[mine]:
                del self._of[mine]

    def _make_room(self) -> None:
        now = self.now()
        waiting = [(each.waiting_since, number) for number, each in enumerate(self._under_way) if each.waiting_since]
        since, number = min(waiting, default=(now, 0))
        if now - since < MAKES_ROOM_SECONDS:
            self.counts["refused"] += 1
            raise ApiError(
                ErrorCode.UNAVAILABLE, "Service Unavailable: the server is sending too many answers.", RETRY_SECONDS
            )
        longest = list(self._under_way)[number]
        self.counts["made room"] += 1
        del self._under_way[longest]
        longest.cut()


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
