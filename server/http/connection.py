"""The connection below the routes: what can't be read as HTTP, or has a packed body, meets no handler, and gets the
documented answer here.
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
from server.http.responses import error_response, give_request_id, of_aiohttp

IDLE_SECONDS = 75.0
"""A connection on which no whole request came for so long is closed: idle, or a head that is sent byte by byte. Longer
than the 60 seconds for which nginx keeps an idle upstream, so that it never picks one that is being closed."""
_logger = structlog.get_logger("http")


QUIET_SECONDS = 5.0
"""A connection on which no request is under way for so long may be closed to make room for others."""
_LOOKED_AT = 256


class Lobby:
    """The connections that are no live sockets: at most so many, and those that wait for nothing make room for others.

    Somebody who opens connections and says nothing would otherwise take every descriptor that the process has.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: dict[HttpConnection, None] = {}

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, connection: HttpConnection) -> None:
        """It was accepted."""
        self._inside[connection] = None

    def leave(self, connection: HttpConnection) -> None:
        """It has become a live socket, or is gone. Harmless if it is not here."""
        self._inside.pop(connection, None)

    def has_room(self, count: int) -> bool:
        """Whether so many more may be accepted; closes quiet ones for them where it is full."""
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
                self._inside[connection] = None  # looked at again after all others
        return missing <= 0


class HttpConnection(web.RequestHandler):
    """aiohttp's connection. A client's mistake is answered without its own words, and is no error in our log."""

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
        """It was upgraded: a socket has limits of its own."""
        self._lobby.leave(self)
        super().set_parser(*parser, **more)

    def quiet_seconds(self, now: float) -> float:
        """For how long no whole request has been under way; 0 while one is."""
        waiting = self._waiter is not None and not self._waiter.done()
        return now - (self._next_keepalive_close_time - self._keepalive_timeout) if waiting else 0.0

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
            _logger.debug("not an HTTP request", request_id=request_id, reason=type(exc).__name__)
        else:
            _logger.error("request failed", request_id=request_id, exc_info=exc)
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


def connections(runner: web.AppRunner, lobby: Lobby, **more: Any) -> Callable[[], asyncio.Protocol]:
    """Makes the protocol of each connection that is accepted for a runner that was set up; ``more`` as for aiohttp."""
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    server.request_handler = _refusing_codings(server.request_handler)
    # Left to itself aiohttp unpacks a body as it comes, before any route or credential is looked at.
    options = {"access_log": None, "keepalive_timeout": IDLE_SECONDS, **more, "auto_decompress": False}
    return lambda: HttpConnection(server, lobby, loop=loop, **options)


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
    refusal = "Unsupported Media Type: send the body uncompressed, without Content-Encoding."
    response = error_response(ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, refusal))
    response.headers["Accept-Encoding"] = "identity"  # RFC 9110, section 15.5.16
    give_request_id(response)
    response.force_close()  # the body was not read
    return response
