"""Activities as JSON arrays for HTTP: a whole history as a stream, or one page of about 1 MiB.

Each step reads, encodes and writes a bounded amount, and encoding yields to the event loop: 64 KiB of control
characters, six bytes each in JSON, take a millisecond.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

from protocol.activity import Activity
from protocol.codec import JSON
from server.http.pages import array, fitting
from server.http.sending import ANSWER_BYTES, PIECE_BYTES
from server.runtime.turns import Turns
from server.services.activities import Activities
from storage.contract import Range


class Body(NamedTuple):
    """One page as a JSON array. ``last``: the id where it ends; ``more``: the range has further activities."""

    json: bytes
    last: int
    more: bool


async def pieces(activities: Activities, wanted: Range) -> AsyncGenerator[bytes]:
    """Yield all of a range as one JSON array, in pieces of about ``PIECE_BYTES``."""
    turns = Turns()
    piece, size, between = [b"["], 0, b""
    async for page in activities.stream(wanted):
        for activity in page:
            encoded = activities.encoded(activity, JSON)
            piece += (between, encoded)
            between = b","
            size += len(encoded)
            if size >= PIECE_BYTES:
                yield b"".join(piece)
                piece, size = [], 0
                await turns.give()
    yield b"".join([*piece, b"]"])


async def one_page(activities: Activities, wanted: Range) -> Body:
    """Return the first page of a range: ``wanted.limit`` activities, or fewer if they reach ``ANSWER_BYTES``."""
    found: list[bytes] = []
    last, size, more = wanted.after, 0, True
    while more and len(found) < wanted.limit and size < ANSWER_BYTES:
        page: list[Activity]
        page, more = await activities.read(wanted._replace(limit=wanted.limit - len(found)))
        encoded = await fitting(page, lambda each: activities.encoded(each, JSON), ANSWER_BYTES - size)
        more = more or len(encoded) < len(page)
        if encoded:
            found += encoded
            size += sum(map(len, encoded))
            last = page[len(encoded) - 1].id
            wanted = wanted.beyond(last)
    return Body(array(found), last, more)
