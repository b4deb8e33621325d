"""Reads a form's body from a browser or a program: multipart, urlencoded or JSON, within limits."""

from __future__ import annotations

import asyncio
import re
import warnings
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import parse_mimetype
from aiohttp.http_exceptions import BadHttpMessage

from protocol.errors import ApiError, ErrorCode
from protocol.forms import MAX_FIELDS, FormError, Tree, nest, tree_of

_SMALL_BYTES: Final = 64 * 1024
"""What is decoded at once; the signs of a longer urlencoded form would keep the loop from everybody else."""

_PIECE_BYTES: Final = 16 * 1024
"""The reader copies what is left of a piece for each part that it begins."""
_MAX_LIKE_BOUNDARIES: Final = 100

TYPES: Final = ("multipart/form-data", "application/x-www-form-urlencoded", "application/json")


async def tree_of_body(request: web.Request, body: bytes) -> Tree:
    """Return the fields of a body that was already read, nested according to their names.

    Raises ApiError: unsupported_media_type, or bad_request naming the field.
    """
    try:
        if request.content_type == "multipart/form-data":
            return nest(await _multipart_fields(request.headers["Content-Type"], body))
        if request.content_type == "application/x-www-form-urlencoded":
            small = len(body) <= _SMALL_BYTES
            return nest(_urlencoded_fields(body) if small else await asyncio.to_thread(_urlencoded_fields, body))
        if request.content_type == "application/json":
            return tree_of(_json(body))
    except FormError as error:
        raise ApiError(ErrorCode.BAD_REQUEST, str(error)) from error
    raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"Unsupported Media Type: send one of {', '.join(TYPES)}.")


def _urlencoded_fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError as error:
        raise FormError("body", "should be UTF-8") from error
    except ValueError as error:
        raise FormError("body", f"should have at most {MAX_FIELDS} fields") from error


def _json(body: bytes) -> object:
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormError("body", "should be a JSON object in UTF-8") from error
    return found


async def _multipart_fields(content_type: str, body: bytes) -> list[tuple[str, str]]:
    # The whole body is in memory, because its signature covers it; aiohttp's reader parses it from there. Its limit is
    # never reached: there is no transport that could be paused.
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), limit=len(body) + 1)
    body = _from_first_boundary(content_type, body)
    for start in range(0, len(body), _PIECE_BYTES):
        stream.feed_data(body[start : start + _PIECE_BYTES])
    stream.feed_eof()
    try:
        with warnings.catch_warnings():
            # aiohttp would guess at a malformed header. Nothing waits here, because all data is in memory.
            warnings.simplefilter("error", RuntimeWarning)
            return await _fields(MultipartReader({"Content-Type": content_type}, stream))
    except FormError:
        raise
    except (*_MALFORMED, RuntimeWarning) as error:
        raise FormError("body", "should be well-formed multipart/form-data (RFC 7578)") from error


def _from_first_boundary(content_type: str, body: bytes) -> bytes:
    """Return the body without the lines that may come before its first part (RFC 2046, 5.1.1).

    aiohttp's reader would read them one by one: for 4 MiB of line feeds it needs 16 seconds.
    """
    boundary = b"--" + parse_mimetype(content_type).parameters.get("boundary", "").encode()
    at = 0 if body.startswith(boundary) else body.find(b"\n" + boundary) + 1 or -1
    for _ in range(_MAX_LIKE_BOUNDARIES):
        if at < 0 or boundary == b"--":
            break
        if _ENDS_BOUNDARY.match(body, at + len(boundary)):
            return body[at:]
        at = body.find(b"\n" + boundary, at) + 1 or -1
    raise FormError("body", "should be well-formed multipart/form-data (RFC 7578)")


async def _fields(reader: MultipartReader) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    while (part := await reader.next()) is not None:
        if len(fields) == MAX_FIELDS:
            raise FormError("body", f"should have at most {MAX_FIELDS} fields")
        fields.append(await _field(part))
    return fields


async def _field(part: MultipartReader | BodyPartReader) -> tuple[str, str]:
    if not isinstance(part, BodyPartReader) or part.name is None:
        raise FormError("body", "every part should be a field with a name")
    if "Content-Encoding" in part.headers or part.headers.get("Content-Transfer-Encoding", "binary") not in _AS_IT_IS:
        raise FormError(part.name, "should be sent as it is, without an encoding of its own")
    try:
        return part.name, bytes(await part.read()).decode()
    except UnicodeDecodeError as error:
        raise FormError(part.name, "should be UTF-8") from error


_MALFORMED: Final = (ValueError, LookupError, AssertionError, RuntimeError, BadHttpMessage, EOFError)
"""What aiohttp's reader raises for bodies that are no multipart."""

_ENDS_BOUNDARY: Final = re.compile(rb"(?:--)?[ \t]*\r?(?:\n|\Z)")
"""What follows a boundary on its line; a line that only begins like one is none."""

_AS_IT_IS: Final = frozenset({"7bit", "8bit", "binary"})
