"""What every HTTP route shares: reading bodies within limits, answering, the two error shapes, and the description of
each operation from which ``/openapi.json`` is made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import msgspec
import structlog
from aiohttp import web
from pydantic import TypeAdapter

from protocol.errors import ERRORS, ApiError, ErrorCode
from protocol.validation import parse_json, parse_value
from storage.errors import StorageUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Awaitable[web.StreamResponse]])

MAX_BODY_BYTES = 128 * 1024
BODY_SECONDS = 120.0
"""A body that has not come whole by then is given up: nobody holds a handler by sending it byte by byte."""
_log = structlog.get_logger("http")
_json = msgspec.json.Encoder()
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
PREFLIGHT: web.AppKey[Callable[[web.Request], web.StreamResponse | None]] = web.AppKey("preflight")
_ids = random.Random()
BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)
STILL_MAY: web.RequestKey[Callable[[], Awaitable[None]]] = web.RequestKey("still_may")
"""Set by who checked the request's credential: raises ApiError(unauthorized) if it has ended since."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What ``/openapi.json`` says of one route. Models are the very types that check the request.

    ``body``/``query``/``answer`` are pydantic models or types a TypeAdapter takes; ``path`` has the type of each
    parameter in the path that is not plain text. ``errors`` are HTTP statuses.
    ``flat_400``: this route's 400 has the seed's flat shape ``{"error": true, "message": …}``.
    """

    summary: str
    tag: str
    credential: str = "person"
    body: Any = None
    body_types: tuple[str, ...] = ("application/json",)
    query: Any = None
    answer: Any = None
    status: int = 200
    content_type: str = "application/json"
    errors: tuple[int, ...] = ()
    flat_400: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, Any] = field(default_factory=dict)


def operation(description: Operation) -> Callable[[F], F]:
    """Attach a description to a handler (read back by :func:`operation_of`)."""

    def attach(handler: F) -> F:
        handler.operation = description  # type: ignore[attr-defined]
        return handler

    return attach


def operation_of(handler: object) -> Operation | None:
    """The description of a handler, or None."""
    found = getattr(handler, "operation", None)
    return found if isinstance(found, Operation) else None


async def read_body(request: web.Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body, read once: a second call gives it again.

    Raises ApiError: too_large beyond the limit, before the rest of it is read; bad_request if it can't be read whole,
    or does not come in time; unauthorized if the request's credential has ended meanwhile.
    """
    if BODY not in request:
        too_large = ApiError(ErrorCode.TOO_LARGE, f"Content Too Large: at most {limit_bytes} bytes are taken here.")
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
            raise ApiError(ErrorCode.BAD_REQUEST, "The body did not come in time.") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise ApiError(ErrorCode.BAD_REQUEST, "The body is cut short, or not what its headers say.") from error
        # A body may take two minutes to come: who was removed or revoked meanwhile does nothing any more.
        if (still_may := request.get(STILL_MAY)) is not None:
            await still_may()
        request[BODY] = b"".join(chunks)
    return request[BODY]


async def read_json_body(request: web.Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The bytes of a JSON body, or of one that does not say what it is.

    Raises ApiError: unsupported_media_type or too_large.
    """
    declared = "Content-Type" in request.headers
    if declared and request.content_type != "application/json" and request.can_read_body:
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type: send application/json.")
    return await read_body(request, limit_bytes)


async def read_json(request: web.Request, adapter: TypeAdapter[T], limit_bytes: int = MAX_BODY_BYTES) -> T:
    """The body as a validated value. Raises ApiError: unsupported_media_type, too_large or bad_request."""
    return parse_json(adapter, await read_json_body(request, limit_bytes))


def read_query(request: web.Request, adapter: TypeAdapter[T]) -> T:
    """The query as the adapter's type. Raises ApiError(bad_request) naming the parameter.

    One that is given twice is refused: which was meant can't be known.
    """
    query = request.query
    for name in query:
        if len(query.getall(name)) > 1:
            raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: '{name}': is given more than once")
    return parse_value(adapter, dict(query))


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> web.Response:
    """Answer with JSON. Takes what msgspec encodes: dicts, lists, structs, dataclasses, ``msgspec.Raw``."""
    return web.Response(body=_json.encode(value), status=status, headers=headers, content_type=content_type)


def error_response(error: ApiError, flat: bool = False) -> web.Response:
    """One of the two shapes. Retry-After is in whole seconds, rounded up."""
    status = error.kind.http_status
    body: object
    if flat and status == 400:
        body = {"error": True, "message": error.message}
    else:
        body = {"error": {"code": str(status), "message": _with_words(error)}}
    response = json_response(body, status)
    if error.kind.retry and status in (429, 503):
        response.headers["Retry-After"] = str(max(1, -int(-(error.retry_after_seconds or 1) // 1)))
    return response


def _with_words(error: ApiError) -> str:
    title = error.kind.words.partition(":")[0]
    return error.message if error.message.startswith(title) else f"{title}: {error.message}"


@web.middleware
async def errors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer a request id, turn every refusal into its documented shape, and log what was our fault."""
    request[REQUEST_ID] = _new_request_id()
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - the last line of defence: logged with its request id, answered with 500
        if request.writer.output_size > 0:
            _break_off(request, error)
        response = _refusal(request, error)
    return response


def _refusal(request: web.Request, error: Exception) -> web.StreamResponse:
    match error:
        case ApiError():
            return error_response(error, _is_flat(request))
        case web.HTTPException():
            return _preflight(request) or of_aiohttp(error, _is_flat(request))
        case StorageUnavailable():
            _log.error("storage unavailable", reason=str(error), **_named(request))
            return error_response(ApiError(ErrorCode.UNAVAILABLE, retry_after_seconds=1))
        case _:
            _log.error("request failed", exc_info=error, **_named(request))
            return error_response(ApiError(ErrorCode.INTERNAL))


def _break_off(request: web.Request, error: Exception) -> NoReturn:
    """The answer has begun, so no other can follow: cut, that its end is not taken for the end of what was asked."""
    if not isinstance(error, ConnectionError):  # then it is the client that has gone
        _log.error("answer broken off", exc_info=error, **_named(request))
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the answer was broken off") from error


def _named(request: web.Request) -> dict[str, str]:
    return {"request_id": request[REQUEST_ID], "path": _route(request)}


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Show the request's id in every answer, streamed ones too (an ``on_response_prepare`` signal)."""
    give_request_id(response, request.get(REQUEST_ID))


def give_request_id(response: web.StreamResponse, request_id: str | None = None) -> str:
    """Show it, or a new one, in the answer's headers."""
    shown = response.headers["X-Request-Id"] = request_id or _new_request_id()
    return shown


def _new_request_id() -> str:
    # Unique, not secret: no system call for it.
    return f"{_ids.getrandbits(64):016x}"


def _preflight(request: web.Request) -> web.StreamResponse | None:
    """A browser's question before its request meets no route of its own: it arrives here as 405."""
    answer = request.app.get(PREFLIGHT)
    return answer(request) if answer is not None and request.method == "OPTIONS" else None


def of_aiohttp(error: web.HTTPException, flat: bool = False) -> web.StreamResponse:
    """What aiohttp refuses by itself, in the documented shape. Anything but a refusal is raised on."""
    if error.status < 400:
        raise error
    by_status = {kind.http_status: kind.code for kind in reversed(ERRORS.values())}
    code = by_status.get(error.status)
    if code is None:
        return json_response({"error": {"code": str(error.status), "message": error.reason}}, error.status)
    response = error_response(ApiError(code), flat)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _is_flat(request: web.Request) -> bool:
    found = operation_of(request.match_info.handler)
    return found is not None and found.flat_400


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
