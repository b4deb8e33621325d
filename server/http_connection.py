"""The connection below the routes: what can't be read as HTTP, or has a packed body, meets no handler, and gets the
documented answer here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from protocol.errors import ApiError, ErrorCode
from server.http import error_response, give_request_id, of_aiohttp

IDLE_SECONDS = 75.0
"""A connection on which no whole request came for so long is closed: idle, or a head that is sent byte by byte. Longer
than the 60 seconds for which nginx keeps an idle upstream, so that it never picks one that is being closed."""
_log = structlog.get_logger("http")


class HttpConnection(web.RequestHandler):
    """aiohttp's connection. A client's mistake is answered without its own words, and is no error in our log."""

    __slots__ = ()

    @property
    def spoke_early(self) -> bool:
        """Whether bytes came with a request to upgrade, before its answer."""
        return bool(self._message_tail)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what never reached a handler (400), or fell through all of them."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer has begun: there can't be another.") from exc
        response = error_response(ApiError(ErrorCode.BAD_REQUEST if status == 400 else ErrorCode.INTERNAL))
        request_id = give_request_id(response)
        if status == 400:
            _log.debug("this is no HTTP", request_id=request_id, reason=type(exc).__name__)
        else:
            _log.error("request failed", request_id=request_id, exc_info=exc)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send it. What aiohttp refuses before any handler (an unknown ``Expect``) gets the documented shape."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = of_aiohttp(resp)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Faults of ours are logged. A body that is not what its headers say is not one."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError | HttpProcessingError):
            self.log_debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


def connections(runner: web.AppRunner, **more: Any) -> Callable[[], asyncio.Protocol]:
    """Makes the protocol of each connection that is accepted for a runner that was set up; ``more`` as for aiohttp."""
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    server.request_handler = _refusing_codings(server.request_handler)
    # Left to itself aiohttp unpacks a body as it comes, before any route or credential is looked at.
    options = {"access_log": None, "keepalive_timeout": IDLE_SECONDS, **more, "auto_decompress": False}
    return lambda: HttpConnection(server, loop=loop, **options)


Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _refusing_codings(handle: Answering) -> Answering:
    """Answer a request whose body is packed with 415, before routes, middlewares and ``Expect``; others go on."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return _coding_refused() if _is_coded(request) else await handle(request)

    return answer


def _is_coded(request: web.BaseRequest) -> bool:
    if "Content-Encoding" not in request.headers:
        return False
    codings = ",".join(request.headers.getall("Content-Encoding")).lower().split(",")
    return any(coding.strip() not in ("", "identity") for coding in codings)


def _coding_refused() -> web.StreamResponse:
    refusal = "Unsupported Media Type: send the body as it is, without Content-Encoding."
    response = error_response(ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, refusal))
    response.headers["Accept-Encoding"] = "identity"  # RFC 9110, section 15.5.16
    give_request_id(response)
    response.force_close()  # the body was not read
    return response
