"""Responses: JSON, the two forms of errors, request ids, and the handling of exceptions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NoReturn, TypeVar

import msgspec
import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from protocol.errors import ERRORS, ApiError, ErrorCode, InvalidToken
from server.http.operations import Handler, operation_of
from storage.errors import StorageUnavailable

T = TypeVar("T")
_logger = structlog.get_logger("http")
_json = msgspec.json.Encoder()
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
SERVER = "buzz"
"""Names the server without the versions of what it is built with."""
PREFLIGHT: web.AppKey[Callable[[web.Request], web.StreamResponse | None]] = web.AppKey("preflight")
NOT_FOUND: web.AppKey[Callable[[web.Request], web.StreamResponse | None]] = web.AppKey("not_found")
_WITHOUT_BODY = (204, 304)
_CLOSE = "Connection: close\r\n"
_CHALLENGE = 'Bearer realm="buzz"'
_ids = random.Random()


class ErrorDetail(msgspec.Struct, frozen=True):
    """What was refused, and why."""

    code: str
    """The HTTP status, as text."""
    message: str
    """What was wrong and what was expected. Its beginning says which status it is."""


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Every refusal except those in the form of ``FlatErrorAnswer``."""

    error: ErrorDetail
    """What was refused, and why."""


class FlatErrorAnswer(msgspec.Struct, frozen=True):
    """A 400 of the routes that have this form."""

    error: Literal[True]
    """Always true."""
    message: str
    """The first parameter at fault, and what was expected of it."""


class JsonResponse(web.Response, Generic[T]):
    """A response with a T in JSON.

    A handler says in its return type what it answers, the type checker holds it to that, and ``/openapi.json`` is made
    of it.
    """


def json_response(
    value: T, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> JsonResponse[T]:
    """Answer with JSON. Accepts what msgspec encodes: dicts, lists, structs, dataclasses, ``msgspec.Raw``."""
    return JsonResponse(body=_json.encode(value), status=status, headers=headers, content_type=content_type)


def whole_json(value: Any) -> bytes:
    """Return a response with JSON as it is sent, for one that is not sent by aiohttp and keeps its connection."""
    body = _json.encode(value)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{marks()}\r\n"
    return head.encode() + body


def whole_answer(request: web.Request, response: JsonResponse[Any]) -> bytes | None:
    """Return a response as it is sent, with the headers of every response (:func:`mark`).

    None if only aiohttp can send it: it has further headers, a page of a browser asks for it, it has no body, it has
    begun, or it is not in answer to HTTP/1.1. The response then counts as sent.
    """
    body, headers = response.body, response.headers
    if (
        not isinstance(body, bytes)
        or not body
        or response.status in _WITHOUT_BODY
        or len(headers) != 1
        or hdrs.CONTENT_TYPE not in headers
        or hdrs.ORIGIN in request.headers
        or request.method == hdrs.METH_HEAD
        or request.version != HttpVersion11
        or response.prepared
        or response.compression
        or response._cookies  # noqa: SLF001 - the public property makes an object
    ):
        return None
    keep_alive = response.keep_alive
    if keep_alive is None:
        keep_alive = response._keep_alive = request.keep_alive  # noqa: SLF001 - aiohttp sets it here too, for itself
    head = (
        f"HTTP/1.1 {response.status} {response.reason}\r\n"
        f"Content-Type: {headers[hdrs.CONTENT_TYPE]}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{marks(request)}{'' if keep_alive else _CLOSE}\r\n"
    )
    return head.encode() + body


def marks(request: web.BaseRequest | None = None) -> str:
    """Return the header lines of every response, for one that is not sent by aiohttp."""
    request_id = None if request is None else request.get(REQUEST_ID)
    return f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER}\r\nX-Request-Id: {request_id or _new_request_id()}\r\n"


def error_response(error: ApiError, flat: bool = False) -> web.Response:
    """Return an error in one of the two forms. Retry-After is in whole seconds, rounded up; a 401 has a challenge."""
    status = error.kind.http_status
    flat = flat and status == 400
    body = FlatErrorAnswer(True, error.message) if flat else ErrorAnswer(ErrorDetail(str(status), _with_words(error)))
    response = json_response(body, status)
    if error.kind.retry and status in (429, 503):
        response.headers["Retry-After"] = str(max(1, -int(-(error.retry_after_seconds or 1) // 1)))
    if status == 401:
        response.headers["WWW-Authenticate"] = challenge(error)
    return response


def challenge(error: ApiError) -> str:
    """Return the WWW-Authenticate of a 401 (RFC 6750, section 3). Without a refused token it names no error."""
    if not isinstance(error, InvalidToken) or error.missing:
        return _CHALLENGE
    return f'{_CHALLENGE}, error="invalid_token", error_description="{error.reason}"'


def _with_words(error: ApiError) -> str:
    title = error.kind.words.partition(":")[0]
    return error.message if error.message.startswith(title) else f"{title}: {error.message}"


@web.middleware
async def errors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every response a request id, turn every refusal into its documented form, and log server errors."""
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
            return _preflight(request) or _not_found(request, error) or of_aiohttp(error, _is_flat(request))
        case StorageUnavailable():
            _logger.error("storage unavailable", reason=str(error), **_named(request))
            return error_response(ApiError(ErrorCode.UNAVAILABLE, retry_after_seconds=1))
        case _:
            _logger.error("request failed", exc_info=error, **_named(request))
            return error_response(ApiError(ErrorCode.INTERNAL))


def _break_off(request: web.Request, error: Exception) -> NoReturn:
    """Close the connection of a response that has begun, so that the client does not take it as complete."""
    if not isinstance(error, ConnectionError):  # then the client has disconnected
        _logger.error("answer interrupted", exc_info=error, **_named(request))
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the answer was broken off") from error


def _named(request: web.Request) -> dict[str, str]:
    return {"request_id": request[REQUEST_ID], "path": route_of(request)}


async def mark(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response, also of streamed ones (an ``on_response_prepare`` signal)."""
    mark_response(response, request.get(REQUEST_ID))


def mark_response(response: web.StreamResponse, request_id: str | None = None) -> str:
    """Add the server's name and the request's id, or a new id, to the headers. Returns the id."""
    response.headers["Server"] = SERVER
    shown = response.headers["X-Request-Id"] = request_id or _new_request_id()
    return shown


def _new_request_id() -> str:
    # Unique, not secret, so it needs no system call.
    return f"{_ids.getrandbits(64):016x}"


def _preflight(request: web.Request) -> web.StreamResponse | None:
    """Answer a preflight request, which has no route of its own and arrives here as 405."""
    answer = request.app.get(PREFLIGHT)
    return answer(request) if answer is not None and request.method == "OPTIONS" else None


def _not_found(request: web.Request, error: web.HTTPException) -> web.StreamResponse | None:
    """Answer a browser that opens a path without a route with a page; None: it is another client or another error."""
    answer = request.app.get(NOT_FOUND)
    return answer(request) if answer is not None and error.status == 404 else None


def of_aiohttp(error: web.HTTPException, flat: bool = False) -> web.StreamResponse:
    """Return a refusal by aiohttp in the documented form. Anything but a refusal is raised again."""
    if error.status < 400:
        raise error
    by_status = {kind.http_status: kind.code for kind in reversed(ERRORS.values())}
    code = by_status.get(error.status)
    if code is None:
        return json_response(ErrorAnswer(ErrorDetail(str(error.status), error.reason)), error.status)
    response = error_response(ApiError(code), flat)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _is_flat(request: web.Request) -> bool:
    found = operation_of(request.match_info.handler)
    return found is not None and found.flat_400


def route_of(request: web.Request) -> str:
    """Return the pattern of the request's route, without its values; ``unknown`` if it has none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
