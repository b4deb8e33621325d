"""Connections below the routes: answers requests that reach no handler.

A request that can't be parsed as HTTP, or that has a compressed body, gets its documented answer here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from protocol.errors import ApiError, ErrorCode
from server.http.responses import error_response, mark_response, of_aiohttp

IDLE_SECONDS = 75.0
"""A connection on which no whole request came for so long is closed: idle, or a head that is sent byte by byte. Longer
than the 60 seconds for which nginx keeps an idle upstream, so that it never picks one that is being closed."""
_logger = structlog.get_logger("http")


QUIET_SECONDS = 5.0
"""A connection on which no request is under way for so long may be closed to make room for others."""
_LOOKED_AT = 256


class Lobby:
    """Limits the connections that are not live sockets: idle ones are closed for new ones.

    Otherwise a client that opens connections and sends nothing could use up the process's file descriptors.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: dict[HttpConnection, None] = {}

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, connection: HttpConnection) -> None:
        """Add an accepted connection."""
        self._inside[connection] = None

    def leave(self, connection: HttpConnection) -> None:
        """Remove a connection that was closed or became a live socket. Does nothing if it is not in here."""
        self._inside.pop(connection, None)

    def has_room(self, count: int) -> bool:
        """Return whether so many more may be accepted; closes idle connections for them if there are too many."""
        missing = len(self._inside) + count - self._most
        now = asyncio.get_running_loop().time()
        for connection in list(islice(self._inside, _LOOKED_AT)) if missing > 0 else ():
            del self._inside[connection]
            if connection.quiet_seconds(now) >= QUIET_SECONDS:
                connection.force_close()
                missing -= 1
                if missing <= 0:
                    break
            else:
                self._inside[connection] = None  # checked again after all others
        return missing <= 0


class HttpConnection(web.RequestHandler):
    """aiohttp's connection.

    The answer to a client's mistake does not repeat its input, and is not logged as an error.
    """

    __slots__ = ("_lobby",)

    def __init__(self, manager: web.Server, lobby: Lobby, **more: Any) -> None:
        self._lobby = lobby
        super().__init__(manager, **more)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lobby.enter(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lobby.leave(self)
        super().connection_lost(exc)

    def set_parser(self, *parser: Any, **more: Any) -> None:
        """Leave the lobby, because the connection was upgraded: sockets have limits of their own."""
        self._lobby.leave(self)
        super().set_parser(*parser, **more)

    def quiet_seconds(self, now: float) -> float:
        """Return for how many seconds no complete request has been handled; 0 while one is."""
        waiting = self._waiter is not None and not self._waiter.done()
        return now - (self._next_keepalive_close_time - self._keepalive_timeout) if waiting else 0.0

    @property
    def spoke_early(self) -> bool:
        """Whether bytes arrived after a request to upgrade, before its answer."""
        return bool(self._message_tail)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that reached no handler (400), or that a handler failed to answer."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer has begun: there can't be another.") from exc
        response = error_response(ApiError(ErrorCode.BAD_REQUEST if status == 400 else ErrorCode.INTERNAL))
        request_id = mark_response(response)
        if status == 400:
            _logger.debug("not an HTTP request", request_id=request_id, reason=type(exc).__name__)
        else:
            _logger.error("request failed", request_id=request_id, exc_info=exc)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response.

        A refusal by aiohttp before any handler (an unknown ``Expect``) gets the documented form.
        """
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = of_aiohttp(resp)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an exception, except for a body that does not match its headers: that is a client's mistake."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError | HttpProcessingError):
            self.log_debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


def connections(runner: web.AppRunner, lobby: Lobby, **more: Any) -> Callable[[], asyncio.Protocol]:
    """Return the factory of the protocol of each accepted connection, for a set-up runner; ``more`` as for aiohttp."""
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    server.request_handler = _refusing_codings(server.request_handler)
    # By default aiohttp decompresses a body as it arrives, before any route or credential is checked.
    options = {"access_log": None, "keepalive_timeout": IDLE_SECONDS, **more, "auto_decompress": False}
    return lambda: HttpConnection(server, lobby, loop=loop, **options)


Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _refusing_codings(handle: Answering) -> Answering:
    """Answer a request with a compressed body with 415, before routes, middlewares and ``Expect``; handle others."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return _coding_refused() if _is_coded(request) else await handle(request)

    return answer


def _is_coded(request: web.BaseRequest) -> bool:
    if "Content-Encoding" not in request.headers:
        return False
    codings = ",".join(request.headers.getall("Content-Encoding")).lower().split(",")
    return any(coding.strip() not in ("", "identity") for coding in codings)


def _coding_refused() -> web.StreamResponse:
    refusal = "Unsupported Media Type: send the body uncompressed, without Content-Encoding."
    response = error_response(ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, refusal))
    response.headers["Accept-Encoding"] = "identity"  # RFC 9110, section 15.5.16
    mark_response(response)
    response.force_close()  # the body was not read
    return response
