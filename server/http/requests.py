"""Reads a request's body and query, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from pydantic import TypeAdapter

from protocol.errors import ApiError, ErrorCode
from protocol.validation import parse_json, parse_value

T = TypeVar("T")
MAX_BODY_BYTES = 128 * 1024
BODY_SECONDS = 120.0
"""A body that has not come whole by then is given up: nobody holds a handler by sending it byte by byte."""
BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
STILL_MAY: web.RequestKey[Callable[[], Awaitable[None]]] = web.RequestKey("still_may")
"""Set by who checked the request's credential: raises ApiError(unauthorized) if it has ended since."""


async def read_body(request: web.Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Read the whole body once; a second call returns it again.

    Raises ApiError: too_large beyond the limit, before the rest of it is read; bad_request if it can't be read whole,
    or does not arrive in time; unauthorized if the request's credential has become invalid meanwhile.
    """
    if BODY not in request:
        too_large = ApiError(
            ErrorCode.TOO_LARGE, f"Content Too Large: the limit for this route is {limit_bytes} bytes."
        )
        if (request.content_length or 0) > limit_bytes:
            raise too_large
        chunks, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                    if size > limit_bytes:
                        raise too_large
                    chunks.append(chunk)
        except TimeoutError as error:
            raise ApiError(ErrorCode.BAD_REQUEST, "The body did not arrive in time.") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise ApiError(ErrorCode.BAD_REQUEST, "The body is incomplete, or does not match its headers.") from error
        # A body may take two minutes to arrive: the request is refused if its credential was revoked meanwhile.
        if (still_may := request.get(STILL_MAY)) is not None:
            await still_may()
        request[BODY] = b"".join(chunks)
    return request[BODY]


async def read_json_body(request: web.Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Read the bytes of a JSON body, or of a body without a content type.

    Raises ApiError: unsupported_media_type or too_large.
    """
    declared = "Content-Type" in request.headers
    if declared and request.content_type != "application/json" and request.can_read_body:
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type: send application/json.")
    return await read_body(request, limit_bytes)


async def read_json(request: web.Request, adapter: TypeAdapter[T], limit_bytes: int = MAX_BODY_BYTES) -> T:
    """Read the body as a validated value. Raises ApiError: unsupported_media_type, too_large or bad_request."""
    return parse_json(adapter, await read_json_body(request, limit_bytes))


def read_query(request: web.Request, adapter: TypeAdapter[T]) -> T:
    """Read the query as the adapter's type. Raises ApiError(bad_request) naming the parameter.

    A parameter that is given twice is refused, because the intended one can't be known.
    """
    query = request.query
    for name in query:
        if len(query.getall(name)) > 1:
            raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: '{name}': is given more than once")
    return parse_value(adapter, dict(query))
