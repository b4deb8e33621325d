"""Responses: JSON, the two forms of errors, request ids, and the handling of exceptions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Generic, Literal, NoReturn, TypeVar

import msgspec
import structlog
from aiohttp import web

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
            return _preflight(request) or of_aiohttp(error, _is_flat(request))
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
